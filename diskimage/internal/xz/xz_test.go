package xz_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	other "github.com/ulikunitz/xz"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/xz"
)

func expand(file []byte) ([]byte, error) {
	return io.ReadAll(xz.NewReader(bufio.NewReader(bytes.NewReader(file))))
}

// kinds are the ways in which the library's writer makes files.
var kinds = map[string]other.WriterConfig{
	"CRC-32":        {CheckSum: other.CRC32},
	"CRC-64":        {CheckSum: other.CRC64},
	"SHA-256":       {CheckSum: other.SHA256},
	"no check":      {NoCheckSum: true},
	"many blocks":   {CheckSum: other.CRC64, BlockSize: 1000},
	"one byte each": {CheckSum: other.CRC32, BlockSize: 1},
}

// pack makes a file that shares no code with the reader.
func pack(t testing.TB, data []byte, c other.WriterConfig) []byte {
	t.Helper()
	var out bytes.Buffer
	c.DictCap = 1 << 16
	w, err := c.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestReader(t *testing.T) {
	data := imagetest.Mixed(20<<10+7, 3)
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			data := data
			if kind.BlockSize == 1 {
				data = data[:50]
			}
			file := pack(t, data, kind)
			got, err := expand(file)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes, %v; want the %d that were packed", len(got), err, len(data))
			}
			// However much of it is read, and however much its source returns, at
			// once.
			slow := bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(file)), 16)
			if err := iotest.TestReader(iotest.HalfReader(xz.NewReader(slow)), data); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStreamsAndPadding(t *testing.T) {
	a, b := pack(t, []byte("first, "), kinds["CRC-32"]), pack(t, []byte("second"), kinds["SHA-256"])
	empty := pack(t, nil, kinds["CRC-64"])
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	for _, tt := range []struct {
		name string
		file string
		want string
		err  error
	}{
		{"no block", string(empty), "", nil},
		{"two streams", string(a) + string(b), "first, second", nil},
		{"padding between", string(a) + zeros(8) + string(b), "first, second", nil},
		{"padding behind", string(a) + zeros(4<<10), "first, ", nil},
		{"an empty stream between", string(a) + string(empty) + string(b), "first, second", nil},
		{"nothing", "", "", io.ErrUnexpectedEOF},
		{"padding before", zeros(4) + string(a), "", xz.ErrCorrupt},
		{"padding alone", zeros(8), "", io.ErrUnexpectedEOF},
		{"padding of 3 bytes", string(a) + zeros(3), "first, ", xz.ErrCorrupt},
		{"garbage behind", string(a) + "garbage!", "first, ", xz.ErrCorrupt},
		{"garbage behind padding", string(a) + zeros(4) + "garbage!", "first, ", xz.ErrCorrupt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := expand([]byte(tt.file)); string(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%q, %v; want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// TestErrorsStay: a reader that has failed, or ended, returns the same error again.
func TestErrorsStay(t *testing.T) {
	file := pack(t, []byte("contents"), kinds["CRC-32"])
	for name, file := range map[string][]byte{"end": file, "cut": file[:len(file)-1]} {
		r := xz.NewReader(bufio.NewReader(bytes.NewReader(file)))
		_, err := io.Copy(io.Discard, r)
		if err == nil {
			err = io.EOF
		}
		for range 2 {
			if n, again := r.Read(make([]byte, 10)); n != 0 || !errors.Is(again, err) {
				t.Errorf("%s: %d, %v; want 0, %v", name, n, again, err)
			}
		}
	}
}

func TestCutAnywhere(t *testing.T) {
	for name, kind := range kinds {
		file := pack(t, []byte("some contents, some more contents"), kind)
		for n := range file {
			if _, err := expand(file[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s, cut at %d of %d: %v, want %v", name, n, len(file), err, io.ErrUnexpectedEOF)
			}
		}
	}
}

// TestChangedAnywhere: a changed byte of a file with a check is noticed, or changes
// nothing. The library finds the end of a chunk of LZMA2 by its data, not by the
// two bytes of its header that say so.
func TestChangedAnywhere(t *testing.T) {
	imagetest.Volume(t)
	want := []byte("some contents, some more contents")
	for name, kind := range kinds {
		if kind.NoCheckSum {
			continue
		}
		file, unnoticed := pack(t, want, kind), 0
		for i := range file {
			changed := bytes.Clone(file)
			changed[i] ^= 1 << (i % 8)
			got, err := expand(changed)
			switch {
			case err == nil && bytes.Equal(got, want):
				unnoticed++
			case errors.Is(err, xz.ErrCorrupt), errors.Is(err, xz.ErrUnsupported), errors.Is(err, io.ErrUnexpectedEOF):
			default:
				t.Errorf("%s, byte %d of %d: %q, %v, want a fault", name, i, len(file), got, err)
			}
		}
		if kind.BlockSize != 1 && unnoticed > 2 {
			t.Errorf("%s: %d bytes of %d say nothing", name, unnoticed, len(file))
		}
	}
}

func sum(p []byte) []byte {
	return binary.LittleEndian.AppendUint32(bytes.Clone(p), crc32.ChecksumIEEE(p))
}

// hand is a file of one stream with CRC-32 that is put together by hand: one block
// of the data "x", with right checksums wherever a field is replaced.
type hand struct {
	flags   string // of the stream
	header  string // of the block, without its size and CRC
	data    string
	padding string
	check   string
	index   string // without its CRC
	back    uint32 // what the footer says of the index
	footer  string // its flags
	magic   string
}

func newHand() hand {
	return hand{
		flags: "\x00\x01", header: "\x00\x21\x01\x00\x00\x00\x00", data: "\x01\x00\x00x\x00", padding: "\x00\x00\x00",
		check: string(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte("x")))),
		index: "\x00\x01\x15\x01", back: 1, footer: "\x00\x01", magic: "YZ",
	}
}

func (h hand) file() []byte {
	var b bytes.Buffer
	b.WriteString("\xfd7zXZ\x00" + h.flags)
	_ = binary.Write(&b, binary.LittleEndian, crc32.ChecksumIEEE([]byte(h.flags)))
	b.Write(sum([]byte(string(rune((len(h.header)+1)/4)) + h.header)))
	b.WriteString(h.data + h.padding + h.check)
	b.Write(sum([]byte(h.index)))
	foot := append(binary.LittleEndian.AppendUint32(nil, h.back), h.footer...)
	_ = binary.Write(&b, binary.LittleEndian, crc32.ChecksumIEEE(foot))
	b.Write(foot)
	b.WriteString(h.magic)
	return b.Bytes()
}

func TestFields(t *testing.T) {
	if got, err := expand(newHand().file()); string(got) != "x" || err != nil {
		t.Fatalf("%q, %v; want the file made by hand to be a good one", got, err)
	}
	for _, tt := range []struct {
		name   string
		change func(h *hand)
		want   error // nil: a good file
	}{
		{"reserved stream flag", func(h *hand) { h.flags = "\x01\x01" }, xz.ErrUnsupported},
		{"unknown check", func(h *hand) { h.flags = "\x00\x02" }, xz.ErrUnsupported},
		{"check of the data", func(h *hand) { h.check = "none" }, xz.ErrCorrupt},
		{"sizes that are right", func(h *hand) { h.header, h.index = "\xc0\x05\x01\x21\x01\x00\x00", "\x00\x01\x15\x01" }, nil},
		{"packed size", func(h *hand) { h.header = "\xc0\x06\x01\x21\x01\x00\x00" }, xz.ErrCorrupt},
		{"unpacked size", func(h *hand) { h.header = "\xc0\x05\x02\x21\x01\x00\x00" }, xz.ErrCorrupt},
		{"size with a needless byte", func(h *hand) { h.header = "\x40\x85\x00\x21\x01\x00\x00" }, xz.ErrCorrupt},
		{"size of 10 bytes", func(h *hand) { h.header = "\x40" + strings.Repeat("\xff", 9) + "\x01\x21\x01\x00\x00" }, xz.ErrCorrupt},
		{"two filters", func(h *hand) { h.header = "\x01\x03\x01\x00\x21\x01\x00" }, xz.ErrUnsupported},
		{"reserved block flag", func(h *hand) { h.header = "\x04\x21\x01\x00\x00\x00\x00" }, xz.ErrUnsupported},
		{"another filter", func(h *hand) { h.header = "\x00\x04\x01\x00\x00\x00\x00" }, xz.ErrUnsupported},
		{"properties of 2 bytes", func(h *hand) { h.header = "\x00\x21\x02\x00\x00\x00\x00" }, xz.ErrCorrupt},
		{"dictionary of no size", func(h *hand) { h.header = "\x00\x21\x01\x29\x00\x00\x00" }, xz.ErrCorrupt},
		{"dictionary of 128 MiB", func(h *hand) { h.header = "\x00\x21\x01\x1e\x00\x00\x00" }, nil},
		{"dictionary of 192 MiB", func(h *hand) { h.header = "\x00\x21\x01\x1f\x00\x00\x00" }, xz.ErrLimit},
		{"padding of the header", func(h *hand) { h.header = "\x00\x21\x01\x00\x00\x00\x01" }, xz.ErrCorrupt},
		{"a header of no filter", func(h *hand) { h.header = "\xc0\x05\x01" }, io.ErrUnexpectedEOF},
		{"padding of the block", func(h *hand) { h.padding = "\x00\x00\x01" }, xz.ErrCorrupt},
		{"data that are no LZMA2", func(h *hand) { h.data = "\x03\x00\x00x\x00" }, xz.ErrCorrupt},
		{"an index of two", func(h *hand) { h.index = "\x00\x02\x15\x01" }, xz.ErrCorrupt},
		{"an index of none", func(h *hand) { h.index = "\x00\x00\x00\x00" }, xz.ErrCorrupt},
		{"an index of 2^62", func(h *hand) { h.index = "\x00\x80\x80\x80\x80\x80\x80\x80\x80\x40\x00\x00" }, xz.ErrCorrupt},
		{"unpadded size in the index", func(h *hand) { h.index = "\x00\x01\x16\x01" }, xz.ErrCorrupt},
		{"unpacked size in the index", func(h *hand) { h.index = "\x00\x01\x15\x02" }, xz.ErrCorrupt},
		{"padding of the index", func(h *hand) { h.index, h.back = "\x00\x01\x95\x80\x00\x01\x00\x01", 2 }, xz.ErrCorrupt},
		{"size of the index", func(h *hand) { h.back = 2 }, xz.ErrCorrupt},
		{"size of the index in 32 bits", func(h *hand) { h.back = 1 << 30 }, xz.ErrCorrupt},
		{"flags of the footer", func(h *hand) { h.footer = "\x00\x04" }, xz.ErrCorrupt},
		{"magic of the footer", func(h *hand) { h.magic = "ZY" }, xz.ErrCorrupt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHand()
			tt.change(&h)
			got, err := expand(h.file())
			if !errors.Is(err, tt.want) || tt.want == nil && string(got) != "x" {
				t.Errorf("%q, %v; want %v", got, err, tt.want)
			}
		})
	}
}

// TestNoDictionaryIsLargerThanTheFile: a header that asks for more than can come
// out costs nothing.
func TestNoDictionaryIsLargerThanTheFile(t *testing.T) {
	h := newHand()
	h.header = "\x00\x21\x01\x1e\x00\x00\x00" // 128 MiB
	file := h.file()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := io.ReadAll(xz.NewReaderSize(bufio.NewReader(bytes.NewReader(file)), 1)); err != nil {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("a byte took %d bytes of memory", n)
	}
}

// TestDictionariesAreBounded: blocks of a byte, each with a dictionary of 128 MiB,
// are refused before they cost much.
func TestDictionariesAreBounded(t *testing.T) {
	h := newHand()
	h.header = "\x00\x21\x01\x1e\x00\x00\x00"
	file := h.file()
	const before, block = 12, 12 + 5 + 3 + 4
	file = append(file[:before:before], bytes.Repeat(file[before:before+block], 50)...)
	if _, err := expand(file); !errors.Is(err, xz.ErrLimit) {
		t.Errorf("%v, want %v", err, xz.ErrLimit)
	}
}

// TestSourceFails: a fault of the source is reported as such, not as one of the
// stream.
func TestSourceFails(t *testing.T) {
	file, gone := pack(t, imagetest.Mixed(10<<10, 1), kinds["CRC-64"]), errors.New("gone")
	for _, n := range []int{0, 5, 12, 20, len(file) / 2, len(file) - 20, len(file) - 1} {
		r := io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(gone))
		if _, err := io.ReadAll(xz.NewReader(bufio.NewReader(r))); !errors.Is(err, gone) {
			t.Errorf("after %d bytes: %v, want %v", n, err, gone)
		}
	}
}

// FuzzReader compares with the library's reader: a file that is accepted here is
// accepted there, with the same contents.
func FuzzReader(f *testing.F) {
	for _, kind := range kinds {
		f.Add(pack(f, []byte("some contents, some more contents"), kind))
	}
	f.Add(newHand().file())
	f.Fuzz(func(t *testing.T, file []byte) {
		const most = 1 << 20
		got, err := io.ReadAll(io.LimitReader(xz.NewReaderSize(bufio.NewReader(bytes.NewReader(file)), most), most))
		if err != nil || len(got) == most {
			known := errors.Is(err, xz.ErrCorrupt) || errors.Is(err, xz.ErrUnsupported) || errors.Is(err, xz.ErrLimit) || errors.Is(err, io.ErrUnexpectedEOF)
			if err != nil && !known {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		r, err := other.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatalf("taken here, refused there: %v", err)
		}
		if want, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes here; there %d, %v", len(got), len(want), err)
		}
	})
}
