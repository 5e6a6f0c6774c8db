package space

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Disk is what a Guard needs of the system.
type Disk interface {
	// Room returns how many bytes are free on the file system of a folder, and how
	// many it has.
	Room(dir string) (free, total int64, err error)
	// Ballast returns the bytes that the ballast in a folder takes.
	Ballast(dir string) (int64, error)
	// SetBallast makes the ballast take n bytes. Making it smaller needs no room.
	SetBallast(dir string, n int64) error
}

// ballastName is the file of the ballast.
const ballastName = "ballast"

// system is the Disk of the operating system.
type system struct{}

// Room implements Disk.
func (system) Room(dir string) (free, total int64, err error) { return statfs(dir) }

// Ballast implements Disk. Blocks count, not the length: a copy of the file may be
// sparse.
func (system) Ballast(dir string) (int64, error) {
	var st unix.Stat_t
	err := unix.Stat(filepath.Join(dir, ballastName), &st)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return min(st.Blocks*512, st.Size), err
}

// SetBallast implements Disk.
func (s system) SetBallast(dir string, n int64) error {
	path := filepath.Join(dir, ballastName)
	if n == 0 {
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	}
	had, err := s.Ballast(dir)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if n <= had {
		return errors.Join(f.Truncate(n), f.Close())
	}
	if err = reserve(f, n); err != nil {
		_ = f.Truncate(had) // give back what there was
	}
	return errors.Join(err, f.Close())
}

// reserve makes a file take n bytes. Where the file system can't reserve them, they
// are written, at random, so that it can't compress them.
func reserve(f *os.File, n int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, n)
	if !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	noise := rand.NewChaCha8([32]byte{})
	buf := make([]byte, 1<<20)
	for off := int64(0); off < n; off += int64(len(buf)) {
		_, _ = noise.Read(buf) // never fails
		if _, err := f.WriteAt(buf[:min(int64(len(buf)), n-off)], off); err != nil {
			return err
		}
	}
	return f.Sync()
}

// bare is a Disk that keeps no ballast.
type bare struct{ Disk }

// Ballast implements Disk.
func (bare) Ballast(string) (int64, error) { return 0, nil }

// SetBallast implements Disk.
func (bare) SetBallast(string, int64) error { return errors.ErrUnsupported }
