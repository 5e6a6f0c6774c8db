package audit

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// File takes records as lines of a file. Elsewhere is set before the first.
type File struct {
	Elsewhere bool // it is not on the disk that Options.Disk is about

	path string
	now  func() time.Time
	line line

	file    *os.File
	checked time.Time // when it was last seen to be the one of that name
	broken  bool      // the last record could not be written
}

// OpenFile opens the file for appending, which it makes if necessary, for its owner alone.
func OpenFile(path string) (*File, error) {
	f := &File{path: path, now: time.Now}
	if err := f.reopen(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) reopen() error {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("audit: opening the audit log: %w", err)
	}
	if f.file != nil {
		_ = f.file.Close() // it was moved away; what it has is written
	}
	f.file, f.checked = file, f.now()
	return nil
}

// checkEvery is how soon a file that was moved away is noticed, so that logs can be
// rotated without a signal.
const checkEvery = time.Second

func (*File) name() string { return "file" }

func (f *File) elsewhere() bool { return f.Elsewhere }

func (f *File) append(text []byte) error {
	err := f.follow()
	if err == nil {
		err = f.line.write(f.file, text)
	}
	f.broken = err != nil
	return err
}

// follow opens a new file when the one that is open no longer has the name.
func (f *File) follow() error {
	if f.now().Sub(f.checked) < checkEvery && !f.broken {
		return nil
	}
	named, err := os.Stat(f.path)
	if err == nil {
		open, err := f.file.Stat()
		if err == nil && os.SameFile(named, open) {
			f.checked = f.now()
			return nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return f.reopen()
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// line writes lines to a file.
type line struct {
	torn bool // part of a line was written, on a full disk
}

// write writes a line at once. One that was torn before it spoils no other.
func (l *line) write(f *os.File, text []byte) error {
	whole := make([]byte, 0, len(text)+2)
	if l.torn {
		whole = append(whole, '\n')
	}
	whole = append(append(whole, text...), '\n')
	n, err := f.Write(whole)
	l.torn = err != nil && (n > 0 || l.torn)
	return err
}
