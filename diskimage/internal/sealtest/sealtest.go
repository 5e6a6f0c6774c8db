// Package sealtest runs a package's tests where nothing can be opened: no file,
// no socket, no other program. It proves that a decoder reads the bytes it is
// given and nothing else, whatever an image names.
//
// A package of a decoder uses it with two functions:
//
//	func TestMain(m *testing.M) { os.Exit(sealtest.Main(m)) }
//	func TestSealed(t *testing.T) { sealtest.Run(t, "Qemu") }
//
// TestSealed runs the package's other tests again, in a process under a seccomp
// policy (seal.go) that kills it when it only tries. A kernel without such
// policies fails the test.
package sealtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// sealVar tells a process that Run started to seal itself.
const sealVar = "DISKPORT_SEALED"

// Main runs the tests of a package, sealed in a process that Run started, which
// first prepares what the tests need of files. It returns the process's exit code.
func Main(m *testing.M, prepare ...func()) int {
	if os.Getenv(sealVar) != "" {
		for _, p := range prepare {
			p()
		}
		if err := seal(); err != nil {
			fmt.Fprintln(os.Stderr, "sealing the test process:", err)
			return 2
		}
	}
	return m.Run()
}

// Run fails t unless the other tests of its package pass sealed. Tests whose names contain a word of skip, which open files themselves,
// are left out, and so are fuzz targets, whose seeds are files.
func Run(t *testing.T, skip ...string) {
	t.Helper()
	pattern := "^Fuzz|" + t.Name() + "$"
	for _, word := range skip {
		pattern += "|" + word
	}
	out, err := child("-test.v", "-test.skip="+pattern).CombinedOutput()
	if err != nil {
		t.Fatalf("sealed: %v\n%s", err, last(out))
	}
	if n := bytes.Count(out, []byte("\n--- PASS: ")); n < 3 {
		t.Errorf("%d tests passed sealed, want some\n%s", n, last(out))
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
	cmd.Env = append(os.Environ(), sealVar+"=1", "TZ=UTC")
	return cmd
}

// last returns the end of what a process said.
func last(out []byte) string {
	lines := strings.Split(string(out), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}
