package wrap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/wrap"
)

// xzObject is a stream of one block with a header made of flags and the rest,
// and the data and what follows as they are.
func xzObject(flags byte, rest, behind string) []byte {
	sum := func(p []byte) []byte { return binary.LittleEndian.AppendUint32(p, crc32.ChecksumIEEE(p)) }
	head := append([]byte{0, flags}, rest...)
	for len(head)%4 != 0 {
		head = append(head, 0)
	}
	head[0] = byte(len(head) / 4)
	stream := append([]byte("\xfd7zXZ\x00"), sum([]byte{0, 1})...)
	return append(append(stream, sum(head)...), behind...)
}

// The numbers are those of the catalogue of hostile images that the project's
// issues refer to.
func TestHostile(t *testing.T) {
	gz := func(flags byte, rest string) []byte {
		return append([]byte{0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 0xff}, rest...)
	}
	good := imagetest.Pack(t, []byte("contents"), "gzip")
	change := func(fromEnd int) []byte {
		p := bytes.Clone(good)
		p[len(p)-fromEnd]++
		return p
	}
	window := func(descriptor byte) []byte { return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, descriptor, 1, 0, 0} }
	tests := []struct {
		name, format string
		object       []byte
		class        diskimage.Class
	}{
		{"101 CRC", "gzip", change(8), diskimage.Malformed},
		{"101 ISIZE", "gzip", change(4), diskimage.Malformed},
		{"101 FEXTRA of 64 KiB and no more", "gzip", gz(4, "\xff\xff"+strings.Repeat("x", 1<<16-1)), diskimage.Truncated},
		{"101 FNAME without an end", "gzip", gz(8, strings.Repeat("n", 1<<20)), diskimage.Malformed},
		{"101 no deflate", "gzip", []byte{0x1f, 0x8b, 7, 0, 0, 0, 0, 0, 0, 0}, diskimage.Malformed},
		{"102 dictionary of 4 GiB", "xz", xzObject(0, "\x21\x01\x28", "\x00"), diskimage.Limit},
		{"102 dictionary of 192 MiB", "xz", xzObject(0, "\x21\x01\x1f", "\x00"), diskimage.Limit},
		{"102 dictionary of no size", "xz", xzObject(0, "\x21\x01\x29", "\x00"), diskimage.Malformed},
		{"102 x86 filter", "xz", xzObject(1, "\x04\x00\x21\x01\x00", "\x00"), diskimage.Unsupported},
		{"102 unknown filter", "xz", xzObject(0, "\x22\x01\x00", "\x00"), diskimage.Unsupported},
		{"102 reserved flag", "xz", xzObject(4, "\x21\x01\x00", "\x00"), diskimage.Unsupported},
		{"102 size without an end", "xz", xzObject(0x40, strings.Repeat("\xff", 10), ""), diskimage.Malformed},
		{"102 index of 2^62 records", "xz", append([]byte("\xfd7zXZ\x00\x00\x01\x69\x22\xde\x36\x00"), "\x80\x80\x80\x80\x80\x80\x80\x80\x40"...), diskimage.Malformed},
		{"102 unknown check", "xz", append([]byte("\xfd7zXZ\x00\x00\x02"), 0xd3, 0x73, 0xd7, 0xaf), diskimage.Unsupported},
		{"103 window of 256 MiB", "zstd", window(18 << 3), diskimage.Limit},
		{"103 window of 2 GiB", "zstd", window(21 << 3), diskimage.Limit},
		{"103 window of 2^41", "zstd", window(31 << 3), diskimage.Limit},
		{"103 skippable frame of 4 GiB", "zstd", []byte("\x50\x2a\x4d\x18\xff\xff\xff\xff"), diskimage.Truncated},
		{"103 version 0.1", "zstd", []byte("\x1e\xb5\x2f\xfd\x00\x00\x00\x00"), diskimage.Malformed},
		{"103 a dictionary of its own", "zstd", []byte("\x28\xb5\x2f\xfd\x21\x07\x00\x01\x00\x00"), diskimage.Unsupported},
		{"104 randomised", "bzip2", []byte("BZh91AY&SY\x00\x00\x00\x00\x80\x00\x00\x00\x00"), diskimage.Malformed},
		{"104 CRC", "bzip2", []byte("BZh9\x17\x72\x45\x38\x50\x90\x00\x00\x00\x01"), diskimage.Malformed},
		{"104 level 0", "bzip2", []byte("BZh0\x17\x72\x45\x38\x50\x90\x00\x00\x00\x00"), diskimage.Malformed},
		{"empty", "gzip", nil, diskimage.NotFormat},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var scratch imagetest.Scratch
			_, err := unpack(tt.object, tt.format, wrap.Options{Scratch: &scratch})
			var fault *diskimage.FormatError
			if !errors.As(err, &fault) || fault.Class != tt.class || fault.Format != tt.format || scratch.Open() != 0 {
				t.Errorf("got %v, %d files left; want a %v fault", err, scratch.Open(), tt.class)
			}
		})
	}
}

// Blocks of no data, each with a dictionary of 128 MiB, end before they cost much.
func TestDictionariesAreBounded(t *testing.T) {
	one := xzObject(0, "\x21\x01\x1e", "\x00\x00\x00\x00\x00\x00\x00\x00")[12:]
	object := append(xzObject(0, "\x21\x01\x1e", "")[:12], bytes.Repeat(one, 50)...)
	_, err := unpack(object, "xz", wrap.Options{Scratch: &imagetest.Scratch{}})
	var fault *diskimage.FormatError
	if !errors.As(err, &fault) || fault.Class != diskimage.Limit {
		t.Errorf("got %v, want a limit fault", err)
	}
}

func FuzzOpen(f *testing.F) {
	for format := range packings {
		f.Add(format, imagetest.Pack(f, []byte("some contents, contents"), format, "-1"))
	}
	f.Add("zstd", append(bytes.Clone(skippable), 0x28, 0xb5, 0x2f, 0xfd, 0, 0, 3, 0, 0, 'x'))
	f.Fuzz(func(t *testing.T, format string, object []byte) {
		if _, known := packings[format]; !known {
			return
		}
		var scratch imagetest.Scratch
		c, err := unpack(object, format, wrap.Options{Scratch: &scratch, Limits: diskimage.Limits{VirtualSize: 1 << 20}})
		var fault *diskimage.FormatError
		if err != nil && !errors.As(err, &fault) {
			t.Error(err)
		}
		if err == nil && (c.Size() > 1<<20 || c.Close() != nil) || scratch.Open() != 0 {
			t.Error("too much came out, or a file was left")
		}
	})
}
