// Package sandboxtest runs a package's tests where nothing can be opened: no file,
// no socket, no other program. It proves that a decoder reads the bytes it is
// given and nothing else, whatever an image names.
//
// A package of a decoder uses it with two functions:
//
//	func TestMain(m *testing.M) { os.Exit(sandboxtest.Main(m)) }
//	func TestSandboxed(t *testing.T) { imagetest.Volume(t); sandboxtest.Run(t) }
//
// TestSandboxed runs the package's other tests again, in a process under a seccomp
// policy (sandbox_linux.go) that kills it as soon as it tries. On a kernel without
// such policies the test fails. Tests that are Outside are skipped.
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

// Main runs the tests of a package. In a process that Run started, it first calls
// prepare, which reads the files that the tests need, and then enters the sandbox.
// It returns the process's exit code.
func Main(m *testing.M, prepare ...func()) int {
	if inside() {
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

// Outside marks a test that is left out in the sandbox: it opens files or runs
// programs itself, or does at length what other tests do in the sandbox.
func Outside(t *testing.T) {
	t.Helper()
	if inside() {
		t.Skip("runs outside the sandbox")
	}
}

// inside reports whether this process is in the sandbox.
func inside() bool { return os.Getenv(sandboxVar) != "" }

// Run fails t unless the other tests of its package, except those that are Outside,
// pass in the sandbox. Fuzz targets, whose seeds are files, are left out.
func Run(t *testing.T) {
	t.Helper()
	Outside(t)
	out, err := child("-test.v", "-test.run=^Test").CombinedOutput()
	if err != nil {
		t.Fatalf("in the sandbox: %v\n%s", err, last(out))
	}
	if n := bytes.Count(out, []byte("\n--- PASS: ")); n < 3 {
		t.Errorf("%d tests passed in the sandbox, want some\n%s", n, last(out))
	}
}

// child returns a command that runs this test program again.
func child(args ...string) *exec.Cmd {
	path, err := os.Executable()
	if err != nil {
		path = os.Args[0]
	}
	cmd := exec.Command(path, args...)
	// UTC does not need a time zone file.
	cmd.Env = append(os.Environ(), sandboxVar+"=1", "TZ=UTC")
	return cmd
}

// last returns the end of a process's output.
func last(out []byte) string {
	lines := strings.Split(string(out), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}
