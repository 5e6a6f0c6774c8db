package vmdk_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
	"github.com/diskport/diskport/diskimage/vmdk"
)

func le32(p []byte, at int) uint32        { return binary.LittleEndian.Uint32(p[at:]) }
func put32(p []byte, at int, v uint32)    { binary.LittleEndian.PutUint32(p[at:], v) }
func put64(p []byte, at int, v uint64)    { binary.LittleEndian.PutUint64(p[at:], v) }
func set64(at int, v uint64) func([]byte) { return func(h []byte) { put64(h, at, v) } }
func set32(at int, v uint32) func([]byte) { return func(h []byte) { put32(h, at, v) } }

// wantFault checks that err is a fault of the class whose text has the word.
func wantFault(t *testing.T, err error, class diskimage.Class, word string) {
	t.Helper()
	var fault *diskimage.FormatError
	if !errors.As(err, &fault) || fault.Class != class || !strings.Contains(err.Error(), word) {
		t.Errorf("got %v, want a %v fault about %q", err, class, word)
	}
}

// readAll opens an image and reads all of it.
func readAll(image []byte) error {
	d, err := open(image)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.NewSectionReader(d, 0, d.Size()))
	return err
}

func TestBadHeader(t *testing.T) {
	tests := []struct {
		name   string
		header func([]byte)
		class  diskimage.Class
		word   string
	}{
		{"capacity 2^63", set64(12, 1<<63), diskimage.Limit, "capacity"},
		{"capacity 2^64-1", set64(12, math.MaxUint64), diskimage.Limit, "capacity"},
		{"capacity 2^55+1", set64(12, 1<<55+1), diskimage.Limit, "capacity"},
		{"capacity that overflows to nothing", set64(12, 1<<55), diskimage.Limit, "capacity"},
		{"capacity of 64 TiB and a sector", set64(12, 1<<37+1), diskimage.Limit, "capacity"},
		{"capacity 0", set64(12, 0), diskimage.Malformed, "capacity"},
		{"capacity unlike the extent's", set64(12, 7), diskimage.Malformed, "extent"},
		{"grain 0", set64(20, 0), diskimage.Malformed, "grain size"},
		{"grain 1", set64(20, 1), diskimage.Malformed, "grain size"},
		{"grain 3", set64(20, 3), diskimage.Malformed, "grain size"},
		{"grain 2^31", set64(20, 1<<31), diskimage.Malformed, "grain size"},
		{"grain 2^63", set64(20, 1<<63), diskimage.Malformed, "grain size"},
		{"table entries 0", set32(44, 0), diskimage.Malformed, "grain table entries"},
		{"table entries 1", set32(44, 1), diskimage.Malformed, "grain table entries"},
		{"table entries 513", set32(44, 513), diskimage.Malformed, "grain table entries"},
		{"table entries 2^32-1", set32(44, math.MaxUint32), diskimage.Malformed, "grain table entries"},
		{"directory past the end", set64(56, 1<<30), diskimage.Truncated, "grain directory"},
		{"directory 0", set64(56, 0), diskimage.Malformed, "grain directory"},
		{"directory 2^64-2", set64(56, math.MaxUint64-1), diskimage.Truncated, "grain directory"},
		{"directory in the header", set64(56, 1), diskimage.Malformed, "grain directory"},
		{"directory at the end of a sparse image", set64(56, math.MaxUint64), diskimage.Malformed, "grain directory"},
		{"redundant directory past the end", set64(48, 1<<40), diskimage.Truncated, "redundant"},
		{"redundant directory in the descriptor", set64(48, 20), diskimage.Malformed, "redundant"},
		{"version 0", set32(4, 0), diskimage.Unsupported, "version"},
		{"version 4", set32(4, 4), diskimage.Unsupported, "version"},
		{"unknown flag", set32(8, 1<<18|3), diskimage.Unsupported, "flags"},
		{"compressed without markers", set32(8, 1<<16|3), diskimage.Unsupported, "flags"},
		{"compressed, of a sparse type", func(h []byte) { put32(h, 8, 3<<16|3); h[77] = 1 }, diskimage.Malformed, "createType"},
		{"text mode", func(h []byte) { copy(h[73:], "\r\n\r\n") }, diskimage.Malformed, "text mode"},
		{"text mode, to one line end", func(h []byte) { copy(h[73:], "\n \n\n") }, diskimage.Malformed, "text mode"},
		{"no descriptor", set64(28, 0), diskimage.External, "descriptor"},
		{"descriptor far away", set64(28, 1<<62), diskimage.Malformed, "descriptor"},
		{"descriptor past the end", set64(28, 1<<31), diskimage.Truncated, "descriptor"},
		{"descriptor size 2^40", set64(36, 1<<40), diskimage.Malformed, "descriptor size"},
		{"descriptor size 0", set64(36, 0), diskimage.Malformed, "descriptor size"},
		{"descriptor longer than the metadata", set64(64, 20), diskimage.Malformed, "overhead"},
		{"metadata past the end", set64(64, 1<<40), diskimage.Truncated, "overhead"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := small(imagetest.VMDKSparse)
			v.Header = tt.header
			_, err := open(v.Build().Bytes)
			wantFault(t, err, tt.class, tt.word)
		})
	}
}

func TestBadStreamHeader(t *testing.T) {
	for name, tt := range map[string]struct {
		header func([]byte)
		class  diskimage.Class
		word   string
	}{
		"unknown compression": {set32(77, 2), diskimage.Unsupported, "compression"},
		"no compression":      {set32(77, 0), diskimage.Unsupported, "compression"},
		"grain of 8 MiB":      {set64(20, 16384), diskimage.Limit, "grain size"},
		"sparse flags":        {set32(8, 1), diskimage.Malformed, "createType"},
	} {
		t.Run(name, func(t *testing.T) {
			v := small(imagetest.VMDKOvftool)
			v.Header = tt.header
			_, err := open(v.Build().Bytes)
			wantFault(t, err, tt.class, tt.word)
		})
	}
}

func TestBadTables(t *testing.T) {
	tests := []struct {
		name   string
		layout imagetest.VMDKLayout
		patch  func(*imagetest.VMDKImage)
		class  diskimage.Class
		word   string
	}{
		{"table past the end", imagetest.VMDKDiskManager, func(i *imagetest.VMDKImage) {
			put32(i.Bytes, i.Directory, uint32(len(i.Bytes)/512-3))
		}, diskimage.Truncated, "entry 0"},
		{"table is the directory", imagetest.VMDKDiskManager, func(i *imagetest.VMDKImage) {
			put32(i.Bytes, i.Directory+4, uint32(i.Directory/512))
		}, diskimage.Malformed, "entry 1"},
		{"both entries past the end", imagetest.VMDKSparse, func(i *imagetest.VMDKImage) {
			put32(i.Bytes, i.Directory, 1<<31)
			put32(i.Bytes, i.Redundant, 1<<31)
		}, diskimage.Truncated, "redundant entry"},
		{"two entries share a table", imagetest.VMDKSparse, func(i *imagetest.VMDKImage) {
			put32(i.Bytes, i.Directory+4, le32(i.Bytes, i.Directory))
		}, diskimage.Malformed, "overlaps"},
		{"tables overlap", imagetest.VMDKOvftool, func(i *imagetest.VMDKImage) {
			put32(i.Bytes, i.Directory+4, le32(i.Bytes, i.Directory)+3)
		}, diskimage.Malformed, "overlaps"},
		{"grain in the header", imagetest.VMDKSparse, func(i *imagetest.VMDKImage) {
			put32(i.Bytes, i.Tables[0]+12, 2)
		}, diskimage.Malformed, "grain table 0"},
		{"grain in the directory", imagetest.VMDKSparse, func(i *imagetest.VMDKImage) {
			put32(i.Bytes, i.Tables[0]+12, uint32(i.Directory/512))
		}, diskimage.Malformed, "entry 3"},
		{"grain one sector past the end", imagetest.VMDKSparse, func(i *imagetest.VMDKImage) {
			put32(i.Bytes, i.Tables[0]+12, uint32(len(i.Bytes)/512-7))
		}, diskimage.Truncated, "entry 3"},
		{"entry 1 without the flag", imagetest.VMDKSparse, func(i *imagetest.VMDKImage) {
			put32(i.Bytes, i.Tables[0]+12, 1)
		}, diskimage.Malformed, "entry 3"},
		{"entry 1 in a stream", imagetest.VMDKOvftool, func(i *imagetest.VMDKImage) {
			put32(i.Bytes, i.Tables[0]+12, 1)
		}, diskimage.Malformed, "entry 3"},
		{"grain past the end of a stream", imagetest.VMDKOvftool, func(i *imagetest.VMDKImage) {
			put32(i.Bytes, i.Tables[2]+12, 1<<31)
		}, diskimage.Truncated, "grain table 2"},
		{"entry points at another grain", imagetest.VMDKQemu, func(i *imagetest.VMDKImage) {
			put32(i.Bytes, i.Tables[0]+12, le32(i.Bytes, i.Tables[0]))
		}, diskimage.Malformed, "LBA"},
		{"entry points at a table's marker", imagetest.VMDKTool, func(i *imagetest.VMDKImage) {
			put32(i.Bytes, i.Tables[0]+12, uint32(i.Tables[0]/512-1))
		}, diskimage.Malformed, "no grain"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := small(tt.layout)
			image := v.Build()
			tt.patch(image)
			wantFault(t, readAll(image.Bytes), tt.class, tt.word)
		})
	}
}

// Tables of an image of 1 MiB all of whose entries point at one grain would make
// 32 GiB of it.
func TestAmplification(t *testing.T) {
	v := imagetest.VMDK{Size: 16 << 30, Grains: map[int64][]byte{0: {1}}}
	image := v.Build()
	for _, tables := range []map[int64]int{image.Tables, image.Copies} {
		for _, at := range tables {
			for e := range 512 {
				put32(image.Bytes, at+e*4, uint32(image.Records[0]/512))
			}
		}
	}
	d := mustOpen(t, image.Bytes)
	var err error
	n := int64(0)
	for r, e := range d.Runs(0, d.Size()) {
		err, n = e, n+r.Len
	}
	wantFault(t, err, diskimage.Malformed, "entry 1 = ")
	if n > 64<<20 {
		t.Errorf("%d bytes of runs before the fault", n)
	}
}

func TestBadGrain(t *testing.T) {
	stored := func(p []byte) []byte {
		var z bytes.Buffer
		w, _ := zlib.NewWriterLevel(&z, zlib.NoCompression)
		_, _ = w.Write(p)
		_ = w.Close()
		return z.Bytes()
	}
	edit := func(f func(z []byte)) func([]byte) []byte {
		return func(p []byte) []byte {
			z := imagetest.Zlib(p)
			f(z)
			return z
		}
	}
	tests := []struct {
		name     string
		compress func(grain []byte) []byte
		word     string // of the error; empty: it is fine
		length   bool   // the error is ErrInflatedLength
	}{
		{"a byte too long", func(p []byte) []byte { return imagetest.Zlib(append(p, 1)) }, "length", true},
		{"ten times too long", func(p []byte) []byte { return imagetest.Zlib(bytes.Repeat(p, 10)) }, "length", true},
		{"a byte too short", func(p []byte) []byte { return imagetest.Zlib(p[1:]) }, "length", true},
		{"empty", func([]byte) []byte { return imagetest.Zlib(nil) }, "length", true},
		{"wrong checksum", edit(func(z []byte) { z[len(z)-1]++ }), "checksum", false},
		{"preset dictionary", edit(func(z []byte) { z[0], z[1] = 0x78, 0xbb }), "dictionary", false},
		{"another method", edit(func(z []byte) { z[0], z[1] = 0x77, 0x85 }), "header", false},
		{"cut", func(p []byte) []byte { z := imagetest.Zlib(p); return z[:len(z)-5] }, "early", false},
		{"two streams", func(p []byte) []byte {
			return append(imagetest.Zlib(p[:len(p)/2]), imagetest.Zlib(p[len(p)/2:])...)
		}, "length", true},
		{"stored", stored, "", false},
		{"trailing bytes", func(p []byte) []byte { return append(imagetest.Zlib(p), "tail"...) }, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := small(imagetest.VMDKOvftool)
			v.Grains = map[int64][]byte{5: bytes.Repeat([]byte("grain"), 800)}
			v.Compress = tt.compress
			err := readAll(v.Build().Bytes)
			if tt.word == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantFault(t, err, diskimage.Malformed, tt.word)
			if errors.Is(err, diskimage.ErrInflatedLength) != tt.length {
				t.Errorf("got %v, want ErrInflatedLength: %v", err, tt.length)
			}
		})
	}
}

// A bomb of 16 MiB stops at the grain's size.
func TestBomb(t *testing.T) {
	imagetest.Volume(t)
	sandboxtest.Outside(t)
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	for range 16 {
		_, _ = w.Write(make([]byte, 1<<20))
	}
	_ = w.Close()
	v := imagetest.VMDK{
		Size: 1 << 20, Grain: 1 << 20, Layout: imagetest.VMDKQemu, Grains: map[int64][]byte{0: nil},
		Compress: func([]byte) []byte { return z.Bytes() },
	}
	if err := readAll(v.Build().Bytes); !errors.Is(err, diskimage.ErrInflatedLength) {
		t.Errorf("got %v, want ErrInflatedLength", err)
	}
}

func TestBadMarker(t *testing.T) {
	tests := []struct {
		name  string
		patch func(image []byte, at int)
		class diskimage.Class
		word  string
	}{
		{"size 2^32-1", func(p []byte, at int) { put32(p, at+8, math.MaxUint32) }, diskimage.Malformed, "size"},
		{"size above what a grain may need", func(p []byte, at int) { put32(p, at+8, 2*4096+65) }, diskimage.Malformed, "size"},
		{"size past the next record", func(p []byte, at int) { put32(p, at+8, 2*4096) }, diskimage.Malformed, "size"},
		{"size 0", func(p []byte, at int) { put32(p, at+8, 0) }, diskimage.Malformed, "no grain"},
		{"LBA of another grain", func(p []byte, at int) { put64(p, at, 8) }, diskimage.Malformed, "LBA"},
		{"LBA not on a grain", func(p []byte, at int) { put64(p, at, 5*8+1) }, diskimage.Malformed, "LBA"},
		{"LBA 2^64-1", func(p []byte, at int) { put64(p, at, math.MaxUint64) }, diskimage.Malformed, "LBA"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := small(imagetest.VMDKOvftool)
			image := v.Build()
			tt.patch(image.Bytes, image.Records[5])
			wantFault(t, readAll(image.Bytes), tt.class, tt.word)
		})
	}
	t.Run("size past the end", func(t *testing.T) {
		v := small(imagetest.VMDKQemu)
		v.Grains = map[int64][]byte{5: imagetest.Mixed(4096, 1)}
		image := v.Build()
		cut := image.Bytes[:image.Records[5]+512]
		put32(cut, image.Records[5]+8, 600)
		wantFault(t, readAll(cut), diskimage.Truncated, "grain record")
	})
}

func TestBadFooter(t *testing.T) {
	tests := []struct {
		name  string
		patch func(*imagetest.VMDKImage)
		class diskimage.Class
		word  string
	}{
		{"missing", func(i *imagetest.VMDKImage) { clear(i.Bytes[i.Footer-512:]) }, diskimage.Truncated, "no footer"},
		{"cut off", func(i *imagetest.VMDKImage) { i.Bytes = i.Bytes[:i.Footer-512] }, diskimage.Truncated, "end-of-stream"},
		{"without an end of the stream", func(i *imagetest.VMDKImage) { i.Bytes = i.Bytes[:i.Footer+512] }, diskimage.Truncated, "end-of-stream"},
		{"without its marker", func(i *imagetest.VMDKImage) { clear(i.Bytes[i.Footer-512 : i.Footer]) }, diskimage.Truncated, "no footer"},
		{"of no image", func(i *imagetest.VMDKImage) { i.Bytes[i.Footer]++ }, diskimage.Malformed, "KDMV"},
		{"another version", func(i *imagetest.VMDKImage) { put32(i.Bytes, i.Footer+4, 1) }, diskimage.Malformed, "version"},
		{"another capacity", func(i *imagetest.VMDKImage) { put64(i.Bytes, i.Footer+12, 1<<20) }, diskimage.Malformed, "capacity"},
		{"another grain size", func(i *imagetest.VMDKImage) { put64(i.Bytes, i.Footer+20, 16) }, diskimage.Malformed, "grain size"},
		{"another descriptor", func(i *imagetest.VMDKImage) { put64(i.Bytes, i.Footer+28, 2) }, diskimage.Malformed, "descriptor"},
		{"another descriptor size", func(i *imagetest.VMDKImage) { put64(i.Bytes, i.Footer+36, 2) }, diskimage.Malformed, "descriptor size"},
		{"another table size", func(i *imagetest.VMDKImage) { put32(i.Bytes, i.Footer+44, 256) }, diskimage.Malformed, "entries"},
		{"another compression", func(i *imagetest.VMDKImage) { i.Bytes[i.Footer+77] = 0 }, diskimage.Malformed, "compression"},
		{"directory at the end again", func(i *imagetest.VMDKImage) { put64(i.Bytes, i.Footer+56, math.MaxUint64) }, diskimage.Malformed, "either"},
		{"directory 0", func(i *imagetest.VMDKImage) { put64(i.Bytes, i.Footer+56, 0) }, diskimage.Malformed, "grain directory"},
		{"only a header", func(i *imagetest.VMDKImage) { clear(i.Bytes[128*512:]) }, diskimage.Truncated, "nothing but"},
		{"noise behind it", func(i *imagetest.VMDKImage) { i.Bytes = append(i.Bytes, 1) }, diskimage.Truncated, "no"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := small(imagetest.VMDKOvftool)
			image := v.Build()
			tt.patch(image)
			wantFault(t, readAll(image.Bytes), tt.class, tt.word)
		})
	}
}

// Whatever is cut off an image or put behind it, the image is refused or reads the
// same.
func TestCutAndPadded(t *testing.T) {
	imagetest.Volume(t)
	for name, layout := range layouts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(1, 1))
			v := small(layout)
			v.Size = 9*4096 + 512
			v.Grains = map[int64][]byte{0: v.Grains[0], 3: v.Grains[3], 9: v.Grains[5][:512]}
			image := v.Build().Bytes
			good, err := contents(image)
			if err != nil {
				t.Fatal(err)
			}
			var cuts []int
			for n := 0; n < min(len(image), 64<<10); n += 1536 {
				cuts = append(cuts, n)
			}
			for range 50 {
				cuts = append(cuts, rnd.IntN(len(image)))
			}
			for n := range 12 {
				cuts = append(cuts, len(image)-n*512, len(image)-n)
			}
			for _, n := range cuts {
				if got, err := contents(image[:n]); err == nil && !bytes.Equal(got, good) {
					t.Fatalf("cut to %d of %d bytes it reads as another disk", n, len(image))
				}
			}
			for _, n := range []int{1, 511, 512, 65536, 1 << 20} {
				if got, err := contents(append(bytes.Clone(image), make([]byte, n)...)); err != nil || !bytes.Equal(got, good) {
					t.Errorf("with %d zeros behind: %v", n, err)
				}
				if got, err := contents(append(bytes.Clone(image), bytes.Repeat([]byte{0x5a}, n)...)); err == nil && !bytes.Equal(got, good) {
					t.Errorf("with %d bytes of noise behind it reads as another disk", n)
				}
			}
		})
	}
}

func contents(image []byte) ([]byte, error) {
	d, err := vmdk.Open(bytes.NewReader(image), int64(len(image)), vmdk.Options{})
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(d, 0, d.Size()))
}

// An entry of the grain directory that is lost to zeros, or the whole directory,
// is read from its copy, and said; what neither of them names is a hole.
func TestLostDirectoryEntries(t *testing.T) {
	intact := small(imagetest.VMDKSparse).Build()
	want := make([]byte, small(imagetest.VMDKSparse).Size)
	if _, err := mustOpen(t, intact.Bytes).ReadAt(want, 0); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		patch    func(i *imagetest.VMDKImage)
		warnings int
	}{
		"entry 0":      {func(i *imagetest.VMDKImage) { put32(i.Bytes, i.Directory, 0) }, 1},
		"entry 1":      {func(i *imagetest.VMDKImage) { put32(i.Bytes, i.Directory+4, 0) }, 1},
		"all":          {func(i *imagetest.VMDKImage) { clear(i.Bytes[i.Directory:][:4*len(i.Tables)]) }, 1},
		"of the copy":  {func(i *imagetest.VMDKImage) { put32(i.Bytes, i.Redundant, 0) }, 1},
		"past the end": {func(i *imagetest.VMDKImage) { put32(i.Bytes, i.Directory, 1<<31) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			image := small(imagetest.VMDKSparse).Build()
			c.patch(image)
			d := mustOpen(t, image.Bytes)
			imagetest.Run(t, d, bytes.NewReader(want))
			if w := d.Describe().Warnings; len(w) != c.warnings {
				t.Errorf("warnings %q, want %d", w, c.warnings)
			}
		})
	}
	image := small(imagetest.VMDKSparse).Build()
	put32(image.Bytes, image.Directory, 0)
	put32(image.Bytes, image.Redundant, 0)
	clear(want[:min(len(want), 512*4096)])
	imagetest.Run(t, mustOpen(t, image.Bytes), bytes.NewReader(want))
}

// Grains that overlap, by a sector or more, are refused, even across tables, and so
// are grains that overlap a table.
func TestOverlappingGrains(t *testing.T) {
	for name, patch := range map[string]func(i *imagetest.VMDKImage){
		"another by a sector": func(i *imagetest.VMDKImage) { put32(i.Bytes, i.Tables[0]+12, le32(i.Bytes, i.Tables[0]+12)-1) },
		"another table's":     func(i *imagetest.VMDKImage) { put32(i.Bytes, i.Tables[2]+12, le32(i.Bytes, i.Tables[0]+12)) },
		"a table":             func(i *imagetest.VMDKImage) { put32(i.Bytes, i.Tables[0]+12, uint32(i.Tables[2]/512)-3) },
		"a redundant table":   func(i *imagetest.VMDKImage) { put32(i.Bytes, i.Tables[0]+12, uint32(i.Copies[2]/512)) },
	} {
		t.Run(name, func(t *testing.T) {
			image := small(imagetest.VMDKSparse).Build()
			patch(image)
			err := readAll(image.Bytes)
			var fault *diskimage.FormatError
			if !errors.As(err, &fault) || fault.Class != diskimage.Malformed || !strings.HasPrefix(fault.Field, "entry ") {
				t.Errorf("got %v, want a fault of an entry", err)
			}
		})
	}
}
