package source

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/diskport/diskport/internal/imports/objects"
)

// Handovers are the open files that programs on this machine hand over to the service, so
// that they need not be uploaded: the program that the service runs in, and programs of the
// same user over a socket. No request can name a file: a program that can open one itself
// offers it, and gets a token that is good for one import. What is read is the open file,
// whatever becomes of its name. All methods may be called concurrently.
type Handovers struct {
	process string // names this process in pins

	mu      sync.Mutex // guards what follows
	offered map[string]offer
	pinned  map[string]*os.File // by the pin's id
}

// offer is a file that no import has taken yet.
type offer struct {
	file *os.File
	name string
}

// handoverScheme begins Urls that stand for handed-over files.
const handoverScheme = "diskport:"

// NewHandovers returns the registry of this process.
func NewHandovers() *Handovers {
	return &Handovers{process: rand.Text(), offered: map[string]offer{}, pinned: map[string]*os.File{}}
}

// Offer takes over an open file, or closes it if it fails, and returns a Url that stands for
// it for one import. The file must be regular, or a block device, and open for reading
// alone. name is for people.
func (h *Handovers) Offer(f *os.File, name string) (url string, err error) {
	if _, err := identify(f); err != nil {
		return "", errors.Join(fmt.Errorf("handing over %s: %w", name, err), f.Close())
	}
	token := rand.Text()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.offered[token] = offer{f, name}
	return handoverScheme + token, nil
}

// Withdraw closes an offered file unless an import has taken it.
func (h *Handovers) Withdraw(url string) {
	if o, ok := h.take(strings.TrimPrefix(url, handoverScheme)); ok {
		_ = o.file.Close() // it was never read
	}
}

// known reports whether the token can be taken.
func (h *Handovers) known(token string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.offered[token]
	return ok
}

// take returns what a token stands for, once.
func (h *Handovers) take(token string) (o offer, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o, ok = h.offered[token]
	delete(h.offered, token)
	return o, ok
}

// pin notes the present state of the file, and keeps it open until release.
func (h *Handovers) pin(id, token string) (Pin, error) {
	o, ok := h.take(token)
	if !ok {
		return Pin{}, ErrNotFound
	}
	found, err := identify(o.file)
	if err != nil {
		return Pin{}, errors.Join(err, o.file.Close())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pinned[id] = o.file
	return Pin{Kind: Handover, ID: id, Path: o.name, Process: h.process, Size: found.size, Modified: found.modified, Inode: found.inode}, nil
}

// open opens a pinned file if it is as it was when it was pinned.
func (h *Handovers) open(p Pin) (Object, error) {
	f, err := h.reopen(p)
	if err != nil {
		return nil, err
	}
	found, err := identify(f)
	if err == nil && found != (identity{p.Size, p.Modified, p.Inode, found.device}) {
		err = ErrChanged
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if found.device {
		return device{f, p.Size}, nil
	}
	return object{objects.NewFile(f, p.Size, p.modTime())}, nil
}

// reopen returns the file of a pin for the caller to close.
func (h *Handovers) reopen(p Pin) (*os.File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.pinned[p.ID]
	if f == nil || p.Process != h.process {
		return nil, ErrOrphaned
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// release closes the file of a pin. Those that open returned stay open.
func (h *Handovers) release(id string) error {
	h.mu.Lock()
	f := h.pinned[id]
	delete(h.pinned, id)
	h.mu.Unlock()
	if f == nil {
		return nil
	}
	return f.Close()
}

// sweep releases the files of pins that keep doesn't keep.
func (h *Handovers) sweep(keep func(id string) bool) error {
	var gone []string
	h.mu.Lock()
	for id := range h.pinned {
		if !keep(id) {
			gone = append(gone, id)
		}
	}
	h.mu.Unlock()
	var err error
	for _, id := range gone {
		err = errors.Join(err, h.release(id))
	}
	return err
}

// identity is what shows that a file was changed.
type identity struct {
	size     int64 // bytes
	modified int64 // Unix nanoseconds; 0 of a device, which does not tell
	inode    string
	device   bool
}

// identify returns the identity of an open file. It refuses what can't be read as an image,
// and what is open for more than reading: whoever offers it would give away the right to
// write.
func identify(f *os.File) (identity, error) {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return identity{}, os.NewSyscallError("fcntl", err)
	}
	if flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_PATH != 0 {
		return identity{}, fmt.Errorf("%w: it is not open for reading alone", ErrLocation)
	}
	info, err := f.Stat()
	if err != nil {
		return identity{}, err
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return identity{info.Size(), info.ModTime().UnixNano(), inodeOf(info), false}, nil
	case mode&fs.ModeDevice != 0 && mode&fs.ModeCharDevice == 0:
		size, err := f.Seek(0, io.SeekEnd)
		return identity{size, 0, inodeOf(info), true}, err
	}
	return identity{}, fmt.Errorf("%w: it is neither a regular file nor a block device", ErrLocation)
}

func inodeOf(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// device is a block device as an Object. Nothing tells whether it was written meanwhile.
type device struct {
	*os.File
	size int64 // bytes
}

// Size implements Object.
func (d device) Size() int64 { return d.size }

// Check implements Object.
func (d device) Check() error { return nil }
