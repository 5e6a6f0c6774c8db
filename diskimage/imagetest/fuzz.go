package imagetest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/diskport/diskport/diskimage"
)

// Fuzz runs a decoder's fuzz target: for any bytes, open must either return a
// FormatError, or a disk that obeys the laws as far as it can be read. open must
// apply the limits it gets, under which every disk can be read completely. It may
// first correct the checksums in image, which a fuzzer can't find.
func Fuzz(f *testing.F, open func(image []byte, limits diskimage.Limits) (diskimage.Disk, error), seeds ...[]byte) {
	limits := diskimage.Limits{VirtualSize: 1 << 20, MetadataBytes: 1 << 20}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, image []byte) {
		var fault *diskimage.FormatError
		d, err := open(bytes.Clone(image), limits)
		if err == nil {
			c := checker{disk: d, size: d.Size()}
			err = c.sequential(c.spans()[:8])
		}
		if err != nil && !errors.As(err, &fault) {
			t.Error(err)
		}
	})
}
