package wrap

import (
	"errors"
	"fmt"
	"io"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// Options are the options of Open. Scratch is needed.
type Options struct {
	Limits  diskimage.Limits
	Scratch diskimage.Scratch
	// Interrupted, if set, is called for each MiB that comes out; an error ends
	// the work with it. Give it a context's Err.
	Interrupted func() error
}

const unit = 1 << 20 // bytes unpacked at once

// Open unpacks the size bytes of r, an object of the format ("gzip", "bzip2",
// "xz", "zstd"), to a file of Options.Scratch, all of it, and checks it to the
// end. The caller closes the contents.
func Open(format string, r io.ReaderAt, size int64, opts Options) (*Contents, error) {
	src := bounded.Source{Format: format, R: r, Size: size}
	if err := src.NotEmpty(); err != nil {
		return nil, err
	}
	start, ok := unpackers[format]
	if !ok {
		return nil, fmt.Errorf("unpacking %q: not a format of this package", format)
	}
	if opts.Scratch == nil {
		return nil, src.NewPart("object", 0, nil).Fault(diskimage.Unsupported, "unpacking it needs scratch space, and there is none")
	}
	file, err := opts.Scratch.Create()
	if err != nil {
		return nil, fmt.Errorf("%s: making scratch space: %w", format, err)
	}
	c := &Contents{file: file}
	u := unpacking{in: newInput(src), out: c, limit: opts.Limits.WithDefaults().VirtualSize, interrupted: opts.Interrupted}
	if err := u.run(start); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// unpacking is the state of Open.
type unpacking struct {
	in          *input
	out         *Contents
	limit       int64
	interrupted func() error
}

func (u *unpacking) run(start unpacker) error {
	r, err := start(u.in)
	if err != nil {
		return u.in.fault(err)
	}
	if c, ok := r.(io.Closer); ok {
		defer c.Close() // reading is over
	}
	buf := make([]byte, unit)
	for {
		n, err := fill(r, buf)
		if int64(n) > u.limit-u.out.size {
			return u.in.part().Fault(diskimage.Limit, "more than %d bytes come out", u.limit)
		}
		if n > 0 {
			if err := diskimage.WriteSparse(spool{u.out}, buf[:n], u.out.size); err != nil {
				return fmt.Errorf("%s: writing scratch space: %w", u.in.src.Format, err)
			}
			u.out.size += int64(n)
		}
		var behind *behindError
		if errors.As(err, &behind) {
			warning, err := u.in.leftOut(behind.at)
			if warning != "" {
				u.out.warnings = append(u.out.warnings, warning)
			}
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return u.in.fault(err)
		}
		if u.interrupted != nil {
			if err := u.interrupted(); err != nil {
				return fmt.Errorf("%s: unpacking: %w", u.in.src.Format, err)
			}
		}
	}
}

// fill reads until p is full or an error, which is io.EOF at the end only.
func fill(r io.Reader, p []byte) (int, error) {
	n := 0
	for idle := 0; n < len(p); {
		k, err := r.Read(p[n:])
		n += k
		if err != nil {
			return n, err
		}
		if idle++; k > 0 {
			idle = 0
		}
		if idle > 100 {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}
