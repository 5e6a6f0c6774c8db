// Package sandboxtest runs a package's tests where nothing can be opened: no file,
// no socket, no other program. It proves that a decoder reads the bytes it is
// given and nothing else, whatever an image names.
//
// A package of a decoder uses it with two functions:
//
//	func TestMain(m *testing.M) { os.Exit(sandboxtest.Main(m)) }
//	func TestSandboxed(t *testing.T) { sandboxtest.Run(t, "Qemu") }
//
// TestSandboxed runs the package's other tests again, in a process under a seccomp
// policy (sandbox_linux.go) that kills it when it only tries. A kernel without such
// policies fails the test.
package sandboxtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// sandboxVar tells a process that Run started to enter the sandbox itself.
const sandboxVar = "DISKPORT_SANDBOXED"

// Main runs the tests of a package; in a process that Run started it which
// first prepares what the tests need of files. It returns the process's exit code.
func Main(m *testing.M, prepare ...func()) int {
	if os.Getenv(sandboxVar) != "" {
		for _, p := range prepare {
			p()
		}
		if err := enter(); err != nil {
			fmt.Fprintln(os.Stderr, "entering the sandbox:", err)
			return 2
		}
	}
	return m.Run()
}

// Run fails t unless the other tests of its package pass in the sandbox. Tests whose names contain a word of skip, which open files themselves,
// are left out, and so are fuzz targets, whose seeds are files.
func Run(t *testing.T, skip ...string) {
	t.Helper()
	pattern := "^Fuzz|" + t.Name() + "$"
	for _, word := range skip {
		pattern += "|" + word
	}
	out, err := child("-test.v", "-test.skip="+pattern).CombinedOutput()
	if err != nil {
		t.Fatalf("in the sandbox: %v\n%s", err, last(out))
	}
	if n := bytes.Count(out, []byte("\n--- PASS: ")); n < 3 {
		t.Errorf("%d tests passed in the sandbox, want some\n%s", n, last(out))
	}
}

// child is this test program once more.
func child(args ...string) *exec.Cmd {
	path, err := os.Executable()
	if err != nil {
		path = os.Args[0]
	}
	cmd := exec.Command(path, args...)
	// UTC needs no file of time zones.
	cmd.Env = append(os.Environ(), sandboxVar+"=1", "TZ=UTC")
	return cmd
}

// last returns the end of what a process said.
func last(out []byte) string {
	lines := strings.Split(string(out), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}
