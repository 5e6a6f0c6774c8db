package client

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// directAlign is what O_DIRECT asks of offsets, lengths and addresses, in bytes.
const directAlign = 4096

// diskFile writes a file past the page cache where the file system can: that takes half
// of the time of a core, the disk works from the first piece on, and what other
// programs have in the cache stays there. What is not aligned, such as the end of a
// disk, goes through the cache.
type diskFile struct {
	f      *os.File
	direct *os.File // nil: only through the cache
	bufs   [][]byte
}

// newDiskFile returns a writer of f, which the caller still owns.
func newDiskFile(f *os.File) *diskFile {
	// By its name it might be another file by now.
	direct, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		direct = nil
	}
	return &diskFile{f: f, direct: direct}
}

func (d *diskFile) close() {
	if d.direct != nil {
		_ = d.direct.Close() // f is synced
	}
}

// write writes pieces that lie one behind the other, of a file of size bytes.
func (d *diskFile) write(some []piece, size int64) error {
	if last := some[len(some)-1]; d.direct != nil && some[0].off%directAlign == 0 && last.off+int64(len(last.data)) <= size {
		n, err := d.writeDirect(some)
		if err != nil {
			return err
		}
		some = skip(some, n)
	}
	for _, p := range some {
		if _, err := d.f.WriteAt(p.clip(size).data, p.off); err != nil {
			return err
		}
	}
	return nil
}

// writeDirect returns how many bytes it has written past the page cache.
func (d *diskFile) writeDirect(some []piece) (n int, err error) {
	d.bufs = d.bufs[:0]
	for _, p := range some {
		if len(p.data)%directAlign != 0 {
			break
		}
		d.bufs = append(d.bufs, p.data)
	}
	if len(d.bufs) == 0 {
		return 0, nil
	}
	n, err = unix.Pwritev(int(d.direct.Fd()), d.bufs, some[0].off)
	switch {
	case errors.Is(err, unix.EINTR):
		return 0, nil
	case errors.Is(err, unix.EINVAL): // the file system opens files so, and does not write them
		d.close()
		d.direct = nil
		return 0, nil
	}
	return max(n, 0), os.NewSyscallError("pwritev", err)
}

// neighbours returns how many of the first pieces lie one behind the other.
func neighbours(some []piece) int {
	n := 1
	for n < len(some) && some[n-1].off+int64(len(some[n-1].data)) == some[n].off {
		n++
	}
	return n
}

// skip returns what is left of pieces behind their first n bytes.
func skip(some []piece, n int) []piece {
	for n > 0 && n >= len(some[0].data) {
		n -= len(some[0].data)
		some = some[1:]
	}
	if n > 0 {
		rest := slices.Clone(some)
		rest[0].off += int64(n)
		rest[0].data = rest[0].data[n:]
		return rest
	}
	return some
}
