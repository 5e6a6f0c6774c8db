// Package scratch gives decoders room on disk for data that can't be read at random
// where it is: the contents of compressed objects. Its files have names for a moment
// only, so that nothing is left of them however the process ends, and each is encrypted under a
// key that is in memory alone: what they unpack may come from an object, and go to a
// snapshot, that must not lie on the disk in the clear.
package scratch

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/failpoint"
	"github.com/diskport/diskport/internal/space"
)

// Dir is a diskimage.Scratch in a folder. It may be used concurrently.
type Dir struct {
	Path string // made when it is not there
	// Free returns the bytes that files may still take; nil: as many as the file
	// system has.
	Free func() (int64, error)
	Room *Room // counts what the files take; nil: nobody does
}

var _ diskimage.Scratch = Dir{}

// FullError reports that there is no room for the contents of an object.
type FullError struct {
	Dir    string
	Quota  int64 // bytes; 0: it is the disk that is full
	Others int64 // bytes of the files of other objects, which will be given back
}

func (e *FullError) Error() string { return "scratch: no space left in " + e.Dir + ": " + e.Missing() }

// Missing says what there is too little of.
func (e *FullError) Missing() string {
	others := ""
	if e.Others > 0 {
		others = fmt.Sprintf(", of which other images take %d MiB", e.Others>>20)
	}
	if e.Quota == 0 {
		return "the disk has no more room for unpacked images" + others
	}
	return fmt.Sprintf("unpacked images may take %d MiB (--quota-scratch)%s", e.Quota>>20, others)
}

// Room counts the bytes that files take, and may bound them. It may be used concurrently.
type Room struct {
	Quota int64 // bytes; 0: no limit

	mu   sync.Mutex // guards used
	used int64
}

// Used returns the bytes that files take now.
func (r *Room) Used() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}

// take counts n more bytes, unless they are more than the quota has left.
func (r *Room) take(n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Quota > 0 && r.used+n > r.Quota {
		return false
	}
	r.used += n
	return true
}

func (r *Room) give(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= n
}

// names is what names are made from, for as long as files have them.
const names = "image-*"

// Clear removes files that processes left which died before they had taken their names
// away. No other process may use the folder.
func (d Dir) Clear() error {
	left, err := os.ReadDir(d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range left {
		if ok, _ := filepath.Match(names, e.Name()); ok {
			err = errors.Join(err, os.Remove(filepath.Join(d.Path, e.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("scratch: %w", err)
	}
	return nil
}

// Create implements diskimage.Scratch.
func (d Dir) Create() (diskimage.ScratchFile, error) {
	if err := os.MkdirAll(d.Path, 0o700); err != nil {
		return nil, fmt.Errorf("scratch: %w", err)
	}
	f, err := os.CreateTemp(d.Path, names)
	if err != nil {
		return nil, fmt.Errorf("scratch: %w", err)
	}
	failpoint.At("scratch: made")
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("scratch: %w", err)
	}
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if d.Room == nil {
		d.Room = &Room{}
	}
	return &file{File: f, dir: d, block: block}, nil
}

// page is where writes begin, in bytes, and what is known to have been written or not: a
// page of zeros was not, since encryption never comes to that.
const page = 4096

// file is encrypted in counter mode. Nothing is written twice, so no part of the key
// stream is used twice.
type file struct {
	*os.File
	dir     Dir
	block   cipher.Block
	buffers sync.Pool // of *[64 * page]byte
	taken   atomic.Int64
}

// Close gives the room back.
func (f *file) Close() error {
	f.dir.Room.give(f.taken.Swap(0))
	return f.File.Close()
}

// crypt encrypts or decrypts b in its place, which is at an offset that a page begins at.
func (f *file) crypt(b []byte, off int64) {
	var counter [aes.BlockSize]byte
	binary.BigEndian.PutUint64(counter[8:], uint64(off/aes.BlockSize))
	cipher.NewCTR(f.block, counter[:]).XORKeyStream(b, b)
}

func (f *file) buffer() *[64 * page]byte {
	if b, ok := f.buffers.Get().(*[64 * page]byte); ok {
		return b
	}
	return new([64 * page]byte)
}

// WriteAt implements io.WriterAt, for what decoders do: each page is written once, from
// its start.
func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	if off%page != 0 {
		return 0, fmt.Errorf("scratch: a write at %d, which is not at the start of a page", off)
	}
	b := f.buffer()
	defer f.buffers.Put(b)
	for n < len(p) && err == nil {
		part := b[:copy(b[:], p[n:])]
		f.crypt(part, off+int64(n))
		var c int
		c, err = f.write(part, off+int64(n))
		n += c
	}
	return n, err
}

// ReadAt implements io.ReaderAt.
func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	b := f.buffer()
	defer f.buffers.Put(b)
	for n < len(p) {
		at := off + int64(n)
		first, skip := at/page*page, int(at%page)
		want := min(len(b), (skip+len(p)-n+page-1)/page*page)
		got, err := f.File.ReadAt(b[:want], first)
		for from := 0; from < got; from += page {
			if part := b[from:min(from+page, got)]; len(part) < page || !zero(part) {
				f.crypt(part, first+int64(from))
			}
		}
		c := copy(p[n:], b[min(skip, got):got])
		if n += c; n < len(p) && err != nil {
			return n, err
		}
		if c == 0 {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}

func zero(b []byte) bool { return b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) }

// write checks the room before each write, since others use it too. What was given up
// counts until the file is closed.
func (f *file) write(p []byte, off int64) (int, error) {
	size := int64(len(p))
	if !f.dir.Room.take(size) {
		return 0, f.full(f.dir.Room.Quota)
	}
	f.taken.Add(size)
	if f.dir.Free != nil {
		free, err := f.dir.Free()
		if err != nil {
			return 0, err
		}
		if free < size {
			return 0, f.full(0)
		}
	}
	n, err := f.File.WriteAt(p, off)
	if space.IsFull(err) {
		err = f.full(0)
	}
	return n, err
}

func (f *file) full(quota int64) *FullError {
	return &FullError{Dir: f.dir.Path, Quota: quota, Others: max(0, f.dir.Room.Used()-f.taken.Load())}
}
