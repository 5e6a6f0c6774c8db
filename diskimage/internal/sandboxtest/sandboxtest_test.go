package sandboxtest

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// attempts are the calls for which the policy must end the process.
var attempts = map[string]func(path string) error{
	"file": func(path string) error { _, err := os.Open(path); return err },
	"missing": func(path string) error {
		_, err := os.Stat(path + ".vmdk")
		_, err2 := os.Open(path + ".vmdk")
		return errors.Join(err, err2)
	},
	"new":     func(path string) error { return os.WriteFile(path+".new", nil, 0o600) },
	"folder":  func(path string) error { _, err := os.ReadDir(filepath.Dir(path)); return err },
	"network": func(string) error { _, err := net.Dial("tcp", "169.254.169.254:80"); return err },
	"local":   func(path string) error { _, err := net.Dial("unix", path); return err },
	"program": func(path string) error { return exec.Command(path).Run() },
}

// attemptVar names the attempt to make, and pathVar this program's own file.
const attemptVar, pathVar = "DISKPORT_SANDBOXED_ATTEMPT", "DISKPORT_SANDBOXED_PATH"

// TestAttempt makes an attempt, in a process that TestPolicy starts.
func TestAttempt(t *testing.T) {
	if attempt, ok := attempts[os.Getenv(attemptVar)]; ok {
		t.Errorf("the process lives on: %v", attempt(os.Getenv(pathVar)))
	}
}

// The policy ends a process that tries to open anything, and no other.
func TestPolicy(t *testing.T) {
	Outside(t)
	try := func(name string) ([]byte, error) {
		cmd := child("-test.run=^TestAttempt$")
		cmd.Env = append(cmd.Env, attemptVar+"="+name, pathVar+"="+cmd.Path)
		return cmd.CombinedOutput()
	}
	for name := range attempts {
		out, err := try(name)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGSYS {
			t.Errorf("trying to open a %s: got %v, want the policy to end the process\n%s", name, err, out)
		}
	}
	if out, err := try("none"); err != nil {
		t.Errorf("trying nothing: %v\n%s", err, out)
	}
}
