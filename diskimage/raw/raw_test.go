package raw_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
	"github.com/diskport/diskport/diskimage/raw"
)

func TestContents(t *testing.T) {
	for _, size := range []int{1, 3, 511, 512, 513, 1<<20 + 17, 5 << 20} {
		data := imagetest.Mixed(size, uint64(size))
		d, err := raw.Open(bytes.NewReader(data), int64(size), raw.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(size+511) / 512 * 512; d.Size() != want {
			t.Errorf("size of %d bytes: got %d, want %d", size, d.Size(), want)
		}
		imagetest.Run(t, d, imagetest.Padded(bytes.NewReader(data), int64(size)))
	}
}

func TestHolesOfTheSource(t *testing.T) {
	data := imagetest.Mixed(3<<20+100, 7)
	clear(data[1<<20 : 2<<20])
	src := imagetest.Sparse{Bytes: data, Unit: 64 << 10}
	d, err := raw.Open(src, int64(len(data)), raw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	imagetest.Run(t, d, imagetest.Padded(bytes.NewReader(data), int64(len(data))))
	for e, err := range d.Extents(1<<20, 1<<20) {
		if want := (diskimage.Extent{Off: 1 << 20, Len: 1 << 20, Kind: diskimage.Hole}); err != nil || e != want {
			t.Errorf("got %+v, %v, want %+v", e, err, want)
		}
	}
}

func TestRefused(t *testing.T) {
	var fault *diskimage.FormatError
	if _, err := raw.Open(bytes.NewReader(nil), 0, raw.Options{}); !errors.Is(err, diskimage.ErrEmpty) {
		t.Errorf("empty object: got %v, want ErrEmpty", err)
	}
	_, err := raw.Open(imagetest.Zeros{}, 65<<40, raw.Options{})
	if !errors.As(err, &fault) || fault.Class != diskimage.Limit {
		t.Errorf("65 TiB: got %v, want a Limit fault", err)
	}
}

func TestFailingSource(t *testing.T) {
	data := imagetest.Mixed(1<<20, 3)
	broken := errors.New("input/output error")
	for want, src := range map[error]*imagetest.Faulty{
		broken:              {R: bytes.NewReader(data), From: 1000, Err: broken},
		io.ErrUnexpectedEOF: {R: bytes.NewReader(data), From: 1000},
	} {
		d, err := raw.Open(src, int64(len(data)), raw.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.ReadAt(make([]byte, 4096), 512); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func TestDescribe(t *testing.T) {
	d, err := raw.Open(bytes.NewReader(make([]byte, 10)), 10, raw.Options{Warnings: []string{"odd"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Describe(); got.Format != "raw" || got.VirtualSize != 512 || len(got.Warnings) != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestQemuImg(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	data := imagetest.Mixed(64<<20+100, 6)
	f := imagetest.Convert(t, data, "raw", "")
	d, err := raw.Open(f, imagetest.Size(t, f), raw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	imagetest.Run(t, d, imagetest.Padded(bytes.NewReader(data), int64(len(data))))
}
