package vmdk_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
	"github.com/diskport/diskport/diskimage/vmdk"
)

func TestWriteStream(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	full := imagetest.Mixed(1<<20+7*512, 9)
	spans := make([]byte, 32<<20, 33<<20)
	copy(spans[32<<20-100_000:], full[:100_000])
	spans = append(spans, full...)
	holes := imagetest.Mixed(3<<20, 10)
	clear(holes[100_000:1_500_000])
	for name, want := range map[string][]byte{
		"full": full, "two tables": spans, "holes": holes, "one sector": full[:512], "a grain": full[:65536], "zeros": make([]byte, 33<<20),
		"not whole sectors": full[:100_001],
	} {
		t.Run(name, func(t *testing.T) {
			image := stream(t, want)
			d := mustOpen(t, image)
			padded := (int64(len(want)) + 511) / 512 * 512
			if d.Size() != padded {
				t.Errorf("size is %d, want %d", d.Size(), padded)
			}
			imagetest.Run(t, d, imagetest.Padded(bytes.NewReader(want), int64(len(want))))
		})
	}
}

// Only the metadata is written of a disk without data.
func TestWriteStreamEmpty(t *testing.T) {
	sandboxtest.Outside(t)
	if got := len(stream(t, make([]byte, 100<<20))); got > 70<<10 {
		t.Errorf("an empty disk takes %d bytes", got)
	}
}

func TestWriteStreamProgress(t *testing.T) {
	sandboxtest.Outside(t)
	var got []int64
	opts := vmdk.StreamOptions{Level: 6, Progress: func(off int64) { got = append(got, off) }}
	if err := vmdk.WriteStream(t.Context(), io.Discard, disk(t, make([]byte, 70<<20)), opts); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0] != 32<<20 || got[2] != 70<<20 {
		t.Errorf("progress: got %v", got)
	}
}

type brokenWriter struct{ left int }

var errBroken = errors.New("no space left")

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

func TestWriteStreamFails(t *testing.T) {
	sandboxtest.Outside(t)
	d := disk(t, imagetest.Mixed(2<<20, 12))
	for _, left := range []int{0, 65536, 100_000, 300_000} {
		if err := vmdk.WriteStream(t.Context(), &brokenWriter{left}, d, vmdk.StreamOptions{}); !errors.Is(err, errBroken) {
			t.Errorf("%d bytes of room: got %v", left, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := vmdk.WriteStream(ctx, io.Discard, d, vmdk.StreamOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	if err := vmdk.WriteStream(t.Context(), io.Discard, d, vmdk.StreamOptions{Level: 99}); err == nil {
		t.Error("level 99 was taken")
	}
}
