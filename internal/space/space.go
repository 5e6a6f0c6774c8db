// Package space knows how much room the service has on disk, and keeps some of it
// back.
//
// A disk that is full to the last byte locks itself: a deletion is a transaction,
// and a transaction has to be written before anything is freed. So a Guard does two
// things. Below a mark it refuses whatever stores more, while there is still room
// for the small writes of everything else. And it keeps a ballast, a file that does
// nothing but take room: when a write that has to succeed finds none, because other
// programs filled the disk, a piece of the ballast is let go, and the write is
// repeated. Once there is room again the ballast is made anew, and what was refused
// is taken again.
package space

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrFull is wrapped by every error that says that space has run out.
var ErrFull = errors.New("no space left")

// ErrSpent is an ErrFull of what may use all of the ballast, above all of a deletion: it is
// gone, and nothing that the service deletes makes room.
var ErrSpent = fmt.Errorf("%w, not even for a deletion", ErrFull)

// FullError reports a file system that has no room for more than what it holds.
// It wraps ErrFull.
type FullError struct {
	Dir  string
	Need int64 // bytes: what was to be stored, or what must stay free
	Free int64 // bytes
}

// Error says what is full and how to go on.
func (e *FullError) Error() string {
	return fmt.Sprintf("%v: %s", ErrFull, e.Missing())
}

// Missing says what has to return.
func (e *FullError) Missing() string {
	return fmt.Sprintf("%d MiB needed, %d MiB free in %s", mebibytes(e.Need), e.Free>>20, e.Dir)
}

// Is makes it an ErrFull.
func (e *FullError) Is(target error) bool { return target == ErrFull }

// mebibytes rounds up.
func mebibytes(n int64) int64 { return (n + 1<<20 - 1) >> 20 }

// IsFull reports whether err says that space has run out, in our words or in those
// of the system.
func IsFull(err error) bool {
	return errors.Is(err, ErrFull) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// Free returns the bytes that are left on the file system of path, for users that
// are not root.
func Free(path string) (int64, error) {
	free, _, err := statfs(path)
	return free, err
}

func statfs(path string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", path, err)
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}
