package e2e

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// interrupted runs diskport and sends it Ctrl-C's signal once a line of its
// standard error or output begins with mark. It returns all that it printed.
//
// The pipe holds one write: however slowly it is read, the program is at most two
// lines further when the signal is sent, not at its end.
func interrupted(t *testing.T, cmd *exec.Cmd, mark string) (output string, err error) {
	t.Helper()
	r, w := pipeOfOne(t)
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	lines := bufio.NewScanner(io.TeeReader(r, &all))
	for sent := false; lines.Scan(); {
		if !sent && mark != "" && strings.HasPrefix(strings.TrimSpace(lines.Text()), mark) {
			sent = true
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all.String(), cmd.Wait()
}

// pipeOfOne returns a pipe that holds one write of up to a page until it is read.
func pipeOfOne(t *testing.T) (r, w *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_DIRECT|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(fds[0]), "|0"), os.NewFile(uintptr(fds[1]), "|1")
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize()); err != nil {
		t.Fatal(err)
	}
	return r, w
}

// endedAs reports whether a program ended well, or as shells expect after Ctrl-C.
func endedAs(err error, interrupted bool) bool {
	var exit *exec.ExitError
	if !interrupted {
		return err == nil
	}
	return errors.As(err, &exit) && exit.ExitCode() == 130
}

func TestDemo(t *testing.T) {
	for _, tt := range []struct{ name, mark, want string }{
		{"to its end", "", "It works."},
		{"interrupted making the disk", "1. ", "nothing was left behind"},
		{"interrupted starting the service", "2. ", "nothing was left behind"},
		{"interrupted uploading", "vms/disk.vmdk: uploading", "nothing was left behind"},
		{"interrupted importing", "import: ", "nothing was left behind"},
		{"interrupted reading back", "6. ", "nothing was left behind"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tmp, home := t.TempDir(), t.TempDir()
			cmd := exec.Command("diskport", "demo")
			cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "HOME="+home, "XDG_DATA_HOME=", "AWS_REGION=eu-west-1")
			output, err := interrupted(t, cmd, tt.mark)
			if !endedAs(err, tt.mark != "") || !strings.Contains(output, tt.want) {
				t.Errorf("the demo ended with %v, want %q in what it says:\n%s", err, tt.want, output)
			}
			if left := append(tree(t, tmp), tree(t, home)...); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestInterruptedImportIsCancelled(t *testing.T) {
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	makeText(t, raw, 128)
	third := startThirdParty(t, smallRaw(t, dir, "there.raw"))
	third.hold(theMiddle)
	elsewhere(t, "SOURCE", "THIRD", "third secret")
	t.Setenv("DISKPORT_SOURCE_ENDPOINT", third.URL)
	t.Setenv("DISKPORT_SOURCE_STS", "none")
	const there = "s3://images/disk.raw"
	for _, tt := range []struct {
		name    string
		running bool
		image   string
		mark    string
		tasks   int
	}{
		{"with a service in the process", false, there, "disk.raw: downloading/converting", 1},
		{"while it uploads", true, raw, "disk.raw: uploading", 0},
		{"with a service that runs", true, there, "disk.raw: downloading/converting", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			var s *service
			if tt.running {
				s = start(t, data)
			}
			cmd := exec.Command("diskport", "import", tt.image)
			if tt.image == raw { // by its data directory it would be handed the file
				cmd.Args = append(cmd.Args, "--endpoint", s.endpoint, "--data", t.TempDir())
			}
			cmd.Env = append(os.Environ(), "DISKPORT_DATA="+data, "AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_REGION="+region,
				"DISKPORT_ROOT_ACCESS_KEY_ID="+keyID, "DISKPORT_ROOT_SECRET_ACCESS_KEY="+secret)
			output, err := interrupted(t, cmd, tt.mark)
			t.Logf("the import said:\n%s", output)
			if !endedAs(err, true) || !strings.HasSuffix(output, "diskport: interrupted\n") {
				t.Fatalf("the import ended with %v, want it interrupted", err)
			}
			if !tt.running {
				s = start(t, data)
			}
			s.nothingLeft(t, tt.tasks)
		})
	}
}

// nothingLeft checks that nothing is left of n tasks, all of which were cancelled.
func (s *service) nothingLeft(t *testing.T, n int) {
	t.Helper()
	tasks, err := s.Tasks(t.Context())
	if err != nil || len(tasks) != n {
		t.Errorf("%d tasks, %v, want %d", len(tasks), err, n)
	}
	for _, task := range tasks {
		if task.Status != "deleted" {
			t.Errorf("task %s is %s, want deleted", task.ID, task.Status)
		}
	}
	if snapshots, err := s.Snapshots(t.Context()); err != nil || len(snapshots) != 0 {
		t.Errorf("%d snapshots are left, %v", len(snapshots), err)
	}
	if _, err := s.CollectGarbage(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{s.blocks(t), filepath.Join(s.data, "objects")} {
		if _, err := os.Stat(folder); os.IsNotExist(err) {
			continue
		}
		if left := tree(t, folder); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// Once a service says that it listens, other commands on its data directory find it.
func TestAServiceThatListensIsFound(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	for range 3 {
		s := start(t, data)
		if text, err := os.ReadFile(filepath.Join(data, "endpoint")); string(text) != s.endpoint+"\n" {
			t.Errorf("%q, %v is announced, want %s", text, err, s.endpoint)
		}
		s.stop(t)
	}
}
