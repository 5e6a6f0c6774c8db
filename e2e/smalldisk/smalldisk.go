// Package smalldisk makes small file systems, so that tests can fill a disk to the last
// byte. Nothing but the processes that enter one see it, and no privileges are needed for it
// but that of making user namespaces; where a machine does not grant it, the test fails.
package smalldisk

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// Disk is a file system of its own. Its methods belong to one goroutine.
type Disk struct {
	Dir   string   // as the processes on it see it
	Here  string   // Dir as this process sees it
	Enter []string // the command that another command is appended to, which then sees it

	filled int64 // bytes of the file that takes what is free
}

// Mount mounts a file system of some MiB, which lasts as long as the test. A process
// without privileges may do so in a user namespace.
func Mount(t *testing.T, mib int) *Disk {
	t.Helper()
	d := &Disk{Dir: t.TempDir()}
	flags := []string{"--mount"}
	if os.Getuid() != 0 {
		flags = append([]string{"--user", "--map-root-user"}, flags...)
	}
	script := fmt.Sprintf("mount -t tmpfs -o size=%dm tmpfs %q && echo mounted && exec cat", mib, d.Dir)
	holder := exec.Command("unshare", append(flags, "sh", "-c", script)...)
	holder.Stderr = os.Stderr
	stdin, err1 := holder.StdinPipe()
	stdout, err2 := holder.StdoutPipe()
	if err := errors.Join(err1, err2, holder.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // ends it
		_ = holder.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "mounted\n" {
		t.Fatalf("mounting a small file system, for which root or user namespaces are needed: %q, %v", line, err)
	}
	pid := strconv.Itoa(holder.Process.Pid)
	d.Here = filepath.Join("/proc", pid, "root", d.Dir)
	d.Enter = []string{"nsenter", "--target", pid, "--mount"}
	if os.Getuid() != 0 {
		d.Enter = append(d.Enter, "--user", "--preserve-credentials")
	}
	return d
}

// dirOf is the environment variable with the folder of the file system that a process of On
// is in.
const dirOf = "SMALLDISK"

// On runs the test that calls it once more, in a process that has a file system of some MiB,
// which is what is returned there. Once that process has ended it returns nil, and the test is
// over: what the other one said, and whether it failed, is its own. args are for the other
// process, which gets no flags but those.
func On(t *testing.T, mib int, args ...string) *Disk {
	t.Helper()
	if dir := os.Getenv(dirOf); dir != "" {
		return &Disk{Dir: dir, Here: dir}
	}
	d := Mount(t, mib)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args = append(append(slices.Clone(d.Enter), program, "-test.run=^"+t.Name()+"$", "-test.v"), args...)
	inside := exec.CommandContext(t.Context(), args[0], args[1:]...)
	inside.Env = append(os.Environ(), dirOf+"="+d.Dir)
	inside.Cancel = func() error { return inside.Process.Signal(unix.SIGTERM) }
	said, err := inside.CombinedOutput()
	t.Logf("on a disk of %d MiB:\n%s", mib, said)
	if err != nil {
		t.Errorf("it ended with %v", err)
	}
	return nil
}

// Fill takes all that is free but some bytes, besides what it has taken already. Others may
// take those meanwhile.
func (d *Disk) Fill(t *testing.T, leave int64) {
	t.Helper()
	f, err := os.OpenFile(d.file(), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		var st unix.Statfs_t
		if err := unix.Statfs(d.Here, &st); err != nil {
			t.Fatal(err)
		}
		more := (int64(st.Bavail)*st.Bsize - leave) / st.Bsize * st.Bsize
		if more <= 0 {
			return
		}
		switch err := unix.Fallocate(int(f.Fd()), 0, d.filled, more); {
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EINTR):
		case err != nil:
			t.Fatal(err)
		default:
			d.filled += more
		}
	}
}

func (d *Disk) file() string { return filepath.Join(d.Here, "fill") }

// Empty gives back what Fill took.
func (d *Disk) Empty(t *testing.T) {
	t.Helper()
	if err := os.Remove(d.file()); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	d.filled = 0
}
