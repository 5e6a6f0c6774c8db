package importtask

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/work"
)

// Opener opens pinned sources.
type Opener interface {
	Open(ctx context.Context, p source.Pin) (source.Object, error)
}

// Images opens the images of imports.
type Images struct {
	Sources Opener
	Limits  diskimage.Limits
	Scratch diskimage.Scratch // for unpacking compressed ones
	Strict  bool              // refuse what AWS refuses

	detect func(r io.ReaderAt, size int64, opts detect.Options) (diskimage.Disk, error) // detect.Open; tests replace it
}

// open opens a pinned object as an image; ctx is that of its reads too. The caller
// closes both with closeImage.
func (i Images) open(ctx context.Context, pin source.Pin, format string) (d diskimage.Disk, object source.Object, err error) {
	object, err = i.Sources.Open(ctx, pin)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the source: %w", err)
	}
	if i.detect == nil {
		i.detect = detect.Open
	}
	err = work.Guard(func() (err error) { // without it a decoder that panics would leave the object open
		d, err = i.detect(object, object.Size(), detect.Options{Format: format, Name: nameOf(pin), Limits: i.Limits, Scratch: i.Scratch, Interrupted: ctx.Err})
		return err
	})
	if err != nil {
		return nil, nil, errors.Join(err, object.Close())
	}
	return d, object, nil
}

// nameOf returns the name of the source's file, without folders.
func nameOf(pin source.Pin) string {
	if pin.Key != "" {
		return path.Base(pin.Key)
	}
	return path.Base(pin.Path)
}

// accept refuses an image that AWS does not take, if the service is to be strict.
func (i Images) accept(about diskimage.Description) error {
	if !i.Strict {
		return nil
	}
	return asAWS(about)
}

// closeImage closes what open opened. Errors are ignored, since it was only read.
func closeImage(d diskimage.Disk, object source.Object) {
	if c, ok := d.(io.Closer); ok {
		_ = c.Close()
	}
	_ = object.Close()
}

// formatOf returns the format that opens the image again as it was found. Of raw
// bytes in a container it is the container's: declared as raw, the container itself
// would be taken for the disk.
func formatOf(about diskimage.Description) string {
	if container, _, _ := strings.Cut(about.Container, "/"); container != "" && about.Format == "raw" {
		return strings.ToUpper(container)
	}
	return strings.ToUpper(about.Format)
}

func describe(d diskimage.Disk) diskimage.Description {
	if x, ok := d.(diskimage.Describer); ok {
		return x.Describe()
	}
	return diskimage.Description{Format: "raw", VirtualSize: d.Size()}
}
