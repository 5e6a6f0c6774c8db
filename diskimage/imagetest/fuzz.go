package imagetest

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/diskport/diskport/diskimage"
)

// Fuzz runs a decoder's fuzz target: whatever the bytes, open refuses them with
// a FormatError, or gives a disk that obeys the laws as far as it can be read.
// The limits that open gets, and must apply, let every disk be read whole.
func Fuzz(f *testing.F, open func(io.ReaderAt, int64, diskimage.Limits) (diskimage.Disk, error), seeds ...[]byte) {
	limits := diskimage.Limits{VirtualSize: 8 << 20, MetadataBytes: 1 << 20}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, image []byte) {
		var fault *diskimage.FormatError
		d, err := open(bytes.NewReader(image), int64(len(image)), limits)
		if err == nil {
			err = Check(d, nil)
		}
		if err != nil && !errors.As(err, &fault) {
			t.Error(err)
		}
	})
}
