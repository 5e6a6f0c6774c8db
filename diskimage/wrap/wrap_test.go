package wrap_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/raw"
	"github.com/diskport/diskport/diskimage/wrap"
)

// packings are ways in which real tools write each format.
var packings = map[string][]struct {
	tool string
	args []string
}{
	"gzip":  {{"gzip", []string{"-1"}}, {"gzip", []string{"-9"}}},
	"bzip2": {{"bzip2", []string{"-1"}}, {"bzip2", []string{"-9"}}},
	"xz": {
		{"xz", []string{"-0"}}, {"xz", []string{"-1", "--check=crc32"}}, {"xz", []string{"-0", "--check=sha256"}},
		{"xz", []string{"-0", "--check=none"}}, {"xz", []string{"-0", "-T2", "--block-size=300000"}}, {"xz", []string{"-9e"}},
	},
	"zstd": {{"zstd", []string{"-1"}}, {"zstd", []string{"-19", "--long=27"}}, {"zstd", []string{"--no-check"}}},
}

// contents are a MiB and a bit, with a hole.
func contents() []byte {
	p := imagetest.Mixed(1<<20+777, 21)
	clear(p[300<<10 : 800<<10])
	return p
}

func unpack(packed []byte, format string, opts wrap.Options) (*wrap.Contents, error) {
	return wrap.Open(format, bytes.NewReader(packed), int64(len(packed)), opts)
}

// check unpacks, compares, and returns how much was written.
func check(t *testing.T, packed []byte, format string, want []byte) int64 {
	t.Helper()
	var scratch imagetest.Scratch
	c, err := unpack(packed, format, wrap.Options{Scratch: &scratch})
	if err != nil {
		t.Error(err)
		return 0
	}
	if c.Size() != int64(len(want)) {
		t.Errorf("%d bytes, want %d", c.Size(), len(want))
	} else if len(want) > 0 {
		d, err := raw.Open(c, c.Size(), raw.Options{})
		if err != nil {
			t.Fatal(err)
		}
		imagetest.Run(t, d, imagetest.Padded(bytes.NewReader(want), int64(len(want))))
	}
	if err := c.Close(); err != nil || scratch.Open() != 0 {
		t.Errorf("closing: %v, %d files left", err, scratch.Open())
	}
	return scratch.Written()
}

func TestUnpack(t *testing.T) {
	want := contents()
	for format, all := range packings {
		for _, p := range all {
			t.Run(p.tool, func(t *testing.T) {
				t.Parallel()
				packed := imagetest.Pack(t, want, p.tool, p.args...)
				if n := check(t, packed, format, want); n > int64(imagetest.DataBytes(want)) {
					t.Errorf("%q: %d bytes written, there are %d of data", p.args, n, imagetest.DataBytes(want))
				}
				check(t, bytes.Join([][]byte{packed, packed}, nil), format, append(bytes.Clone(want), want...))
				check(t, imagetest.Pack(t, nil, p.tool, p.args...), format, nil)
			})
		}
	}
}

// skippable is a zstd frame of no contents.
var skippable = []byte("\x50\x2a\x4d\x18\x05\x00\x00\x00hello")

func TestPadding(t *testing.T) {
	want := []byte("the contents")
	packed := map[string][]byte{}
	for format := range packings {
		packed[format] = imagetest.Pack(t, want, format)
	}
	for _, tt := range []struct {
		name, format string
		behind       []byte
		ok           bool
	}{
		{"half a header", "gzip", []byte("\x1f\x8b\x08"), false},
		{"a header, damaged", "gzip", append([]byte("\x1f\x8a\x08"), packed["gzip"][3:]...), false},
		{"garbage and a member", "gzip", append([]byte("garbage"), packed["gzip"]...), false},
		{"half a header", "bzip2", []byte("BZ"), false},
		{"garbage and a stream", "bzip2", append([]byte("garbage"), packed["bzip2"]...), false},
		{"a header, damaged", "xz", append([]byte("\xfd7zX_\x00"), packed["xz"][6:]...), false},
		{"3 zeros and a stream", "xz", append(make([]byte, 3), packed["xz"]...), false},
		{"a skippable frame", "zstd", skippable, true},
		{"half a frame", "zstd", []byte("\x28\xb5\x2f"), false},
		{"garbage and a frame", "zstd", append([]byte("garbage"), packed["zstd"]...), false},
	} {
		t.Run(tt.format+"/"+tt.name, func(t *testing.T) {
			object := append(bytes.Clone(packed[tt.format]), tt.behind...)
			if tt.ok {
				check(t, object, tt.format, want)
				return
			}
			var scratch imagetest.Scratch
			_, err := unpack(object, tt.format, wrap.Options{Scratch: &scratch})
			var fault *diskimage.FormatError
			if !errors.As(err, &fault) || scratch.Open() != 0 {
				t.Errorf("got %v, %d files left; want a fault and none", err, scratch.Open())
			}
		})
	}
	check(t, append(bytes.Clone(skippable), packed["zstd"]...), "zstd", want)
	for format, object := range packed {
		for _, n := range []int{1, 2, 3, 4, 5, 512, 64 << 10} {
			if w := leftOut(t, append(bytes.Clone(object), make([]byte, n)...), format, want); len(w) > 0 {
				t.Errorf("%s and %d zeros: warnings %q", format, n, w)
			}
		}
		for _, behind := range []string{"\n", "x", "no", "abc", "four", "\x00\x00\x00\x00\x00\x00\x00\x00{ \"supported_devices\": [] }\nFWx0", strings.Repeat("-", 1<<20)} {
			if w := leftOut(t, append(bytes.Clone(object), behind...), format, want); len(w) != 1 || !strings.Contains(w[0], "bytes behind the "+format+" data") {
				t.Errorf("%s and %d bytes: warnings %q", format, len(behind), w)
			}
		}
		_, err := unpack(append(bytes.Clone(object), strings.Repeat("-", 1<<20+1)...), format, wrap.Options{Scratch: &imagetest.Scratch{}})
		imagetest.WantFault(t, err, diskimage.Malformed, "more than 1048576 bytes")
	}
}

// leftOut unpacks an object to what is wanted and returns the warnings.
func leftOut(t *testing.T, object []byte, format string, want []byte) []string {
	t.Helper()
	c, err := unpack(object, format, wrap.Options{Scratch: &imagetest.Scratch{}})
	if err != nil {
		t.Errorf("%s: %v", format, err)
		return nil
	}
	defer c.Close() // in memory
	got := make([]byte, c.Size())
	if _, err := c.ReadAt(got, 0); err != nil && len(got) > 0 || !bytes.Equal(got, want) {
		t.Errorf("%s: %v, %d bytes, want %d", format, err, len(got), len(want))
	}
	return c.Warnings()
}

// An object that is cut or changed anywhere is refused.
func TestCutAndChanged(t *testing.T) {
	imagetest.Volume(t)
	want := imagetest.Mixed(300, 6)
	for format := range packings {
		packed := imagetest.Pack(t, want, format, "-1")
		for n := 1; n < len(packed); n++ {
			var fault *diskimage.FormatError
			_, err := unpack(packed[:n], format, wrap.Options{Scratch: &imagetest.Scratch{}})
			if !errors.As(err, &fault) {
				t.Fatalf("%s: cut to %d of %d bytes: got %v, want a fault", format, n, len(packed), err)
			}
			if fault.Class != diskimage.Truncated && n > 16 {
				t.Fatalf("%s: cut to %d of %d bytes: got %v of class %v", format, n, len(packed), err, fault.Class)
			}
		}
		for n := range packed {
			changed := bytes.Clone(packed)
			changed[n] ^= 0x10
			c, err := unpack(changed, format, wrap.Options{Scratch: &imagetest.Scratch{}})
			if err != nil {
				continue
			}
			got := make([]byte, len(want))
			if _, err := c.ReadAt(got, 0); c.Size() != int64(len(want)) || err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: byte %d changed: other contents came out (%v)", format, n, err)
			}
		}
	}
}

func TestNoScratch(t *testing.T) {
	_, err := unpack(imagetest.Pack(t, []byte("x"), "gzip"), "gzip", wrap.Options{})
	var fault *diskimage.FormatError
	if !errors.As(err, &fault) || fault.Class != diskimage.Unsupported {
		t.Errorf("got %v, want an unsupported fault", err)
	}
}

// Failures that are not faults of the object are reported as what they are.
func TestFailures(t *testing.T) {
	packed := imagetest.Pack(t, contents(), "gzip")
	broken := errors.New("input/output error")
	src := &imagetest.Faulty{R: bytes.NewReader(packed), From: 1000, Err: broken}
	var scratch imagetest.Scratch
	var fault *diskimage.FormatError
	for name, tt := range map[string]struct {
		r    io.ReaderAt
		opts wrap.Options
		want error
	}{
		"source":      {src, wrap.Options{Scratch: &scratch}, broken},
		"quota":       {bytes.NewReader(packed), wrap.Options{Scratch: &imagetest.Scratch{Quota: 1000}}, imagetest.ErrQuota},
		"interrupted": {bytes.NewReader(packed), wrap.Options{Scratch: &scratch, Interrupted: func() error { return broken }}, broken},
	} {
		if _, err := wrap.Open("gzip", tt.r, int64(len(packed)), tt.opts); !errors.Is(err, tt.want) || errors.As(err, &fault) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
	if scratch.Open() != 0 {
		t.Errorf("%d scratch files left", scratch.Open())
	}
}

// Gigabytes of zeros take no room and stop at the limit.
func TestZeros(t *testing.T) {
	imagetest.Volume(t)
	packed := imagetest.Pack(t, make([]byte, 4<<20), "zstd")
	bomb := bytes.Repeat(packed, 64)
	var scratch imagetest.Scratch
	c, err := unpack(bomb, "zstd", wrap.Options{Scratch: &scratch})
	if err != nil || c.Size() != 256<<20 || scratch.Written() != 0 {
		t.Fatalf("got %v, %d bytes written", err, scratch.Written())
	}
	if start, end, err := c.NextData(0); start != c.Size() || end != c.Size() || err != nil {
		t.Errorf("data from %d to %d, %v", start, end, err)
	}
	_, err = unpack(bomb, "zstd", wrap.Options{Scratch: &scratch, Limits: diskimage.Limits{VirtualSize: 100<<20 + 1}})
	var fault *diskimage.FormatError
	if !errors.As(err, &fault) || fault.Class != diskimage.Limit {
		t.Errorf("over the limit: got %v", err)
	}
	reads := 0
	src := &imagetest.Faulty{R: bytes.NewReader(bomb), From: math.MaxInt64, Before: func(int64, int) { reads++ }}
	if _, err := wrap.Open("zstd", src, int64(len(bomb)), wrap.Options{Scratch: &scratch}); err != nil || reads > 2 {
		t.Errorf("%d reads of a small object, %v", reads, err)
	}
}
