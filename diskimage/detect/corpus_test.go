package detect_test

import (
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// corpusVar names the folder of real images and their MANIFEST.tsv. They belong to
// others, so they are not part of the repository.
const corpusVar = "DISKPORT_CORPUS"

// corpusCase is a row of the corpus's MANIFEST.tsv.
type corpusCase struct {
	name, file, companions, outcome, format, wrapper string

	size   string // of the disk, bytes
	stored string // 512 KiB blocks that are not all zeros
	sum    string // SHA-256 of its contents
}

// Every real image of a supported format reads bit for bit as independent readers
// agreed; unsupported ones are refused by name, and bad ones are refused.
func TestCorpus(t *testing.T) {
	imagetest.Volume(t)
	dir, ok := os.LookupEnv(corpusVar)
	if !ok {
		fmt.Printf("%s is not set: no real images compared, only our own fixtures\n", corpusVar)
		return
	}
	cases := readManifest(t, dir)
	var compared, refused atomic.Int64
	t.Run("case", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				if c.check(t, dir) {
					compared.Add(1)
				} else {
					refused.Add(1)
				}
			})
		}
	})
	fmt.Printf("corpus: %d images compared bit for bit, %d refused as they should be\n", compared.Load(), refused.Load())
	if compared.Load() == 0 {
		t.Errorf("%s=%s: no image was compared", corpusVar, dir)
	}
}

func readManifest(t *testing.T, dir string) []corpusCase {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "MANIFEST.tsv"))
	if err != nil {
		t.Fatalf("%s is set: %v", corpusVar, err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes = '\t', true
	rows, err := r.ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatalf("reading the corpus's manifest: %d rows, %v", len(rows), err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	var cases []corpusCase
	for _, row := range rows[1:] {
		get := func(name string) string { return row[column[name]] }
		cases = append(cases, corpusCase{
			get("case"), get("file"), get("companions"), get("outcome"), get("format"), get("wrapper"),
			get("virtual_size"), get("nonzero_512KiB_blocks"), get("raw_sha256"),
		})
	}
	return cases
}

// check checks a case, and reports whether its contents were compared.
func (c corpusCase) check(t *testing.T, dir string) (compared bool) {
	f, err := os.Open(filepath.Join(dir, c.file))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	opts := detect.Options{Scratch: dirScratch(t.TempDir()), With: c.with(t, dir)}
	packed := f
	if c.wrapper != "" {
		f = c.unwrap(t, f)
	}
	if c.wrapper == "zip" {
		c.refuse(t, packed, "zip", opts)
	}
	format := c.format
	if format == "rawwrap" {
		format = "raw"
	}
	match, err := detect.Sniff(f, imagetest.Size(t, f))
	if err == nil && c.outcome == "accept" && match.Supported && match.Format == format {
		d := c.compare(t, f, opts)
		if c.wrapper != "" && c.wrapper != "zip" {
			c.same(t, d, packed, opts)
		}
		return true
	}
	if c.outcome == "accept" && (match.Supported || err != nil) {
		t.Errorf("sniffed as %+v, %v, want %s", match, err, format)
	}
	c.refuse(t, f, c.format, opts)
	return false
}

// refuse checks that an image is refused, with a fault of the image.
func (c corpusCase) refuse(t *testing.T, f *os.File, what string, opts detect.Options) {
	t.Helper()
	_, err := detect.Open(f, imagetest.Size(t, f), opts)
	var fault *diskimage.FormatError
	if !errors.As(err, &fault) || c.outcome == "accept" && fault.Class != diskimage.Unsupported {
		t.Errorf("%s: got %v, want a fault of the image, unsupported when it is a good one", what, err)
	}
}

// maxHashed is the largest empty disk whose zeros are hashed: 64 GiB of them
// take minutes and prove no more than its extents do.
const maxHashed = 32 << 30

// same checks that a packed image is the same disk as the unpacked one.
func (c corpusCase) same(t *testing.T, want diskimage.Disk, packed *os.File, opts detect.Options) {
	d, err := detect.Open(packed, imagetest.Size(t, packed), opts)
	if err == nil {
		defer d.(io.Closer).Close() // the folder is removed anyway
		err = diskimage.Compare(t.Context(), want, d)
	}
	if err != nil {
		t.Errorf("in %s: %v", c.wrapper, err)
	}
}

// compare reads the whole disk by its extents.
func (c corpusCase) compare(t *testing.T, f *os.File, opts detect.Options) diskimage.Disk {
	d, err := detect.Open(f, imagetest.Size(t, f), opts)
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := strconv.ParseInt(c.size, 10, 64); d.Size() != want {
		t.Errorf("size is %d, want %d", d.Size(), want)
	}
	if c.stored == "0" && d.Size() > maxHashed {
		for e, err := range d.Extents(0, d.Size()) {
			if err != nil || e.Kind == diskimage.Data {
				t.Errorf("got %+v, %v, want no data", e, err)
			}
		}
		return d
	}
	sum := sha256.New()
	buf := make([]byte, 4<<20)
	zeros := make([]byte, len(buf))
	for e, err := range d.Extents(0, d.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		for off, end := e.Off, e.Off+e.Len; off < end; {
			p := zeros[:min(end-off, int64(len(buf)))]
			if e.Kind == diskimage.Data {
				p = buf[:len(p)]
				if _, err := d.ReadAt(p, off); err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
			}
			sum.Write(p)
			off += int64(len(p))
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != c.sum {
		t.Errorf("contents have SHA-256 %s, want %s", got, c.sum)
	}
	return d
}

// with returns the other files of the image.
func (c corpusCase) with(t *testing.T, dir string) map[string]diskimage.File {
	all := map[string]diskimage.File{}
	for _, name := range strings.FieldsFunc(c.companions, func(r rune) bool { return r == ' ' || r == ',' || r == ';' }) {
		f, err := os.Open(filepath.Join(dir, c.name, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		if plain, packed := strings.CutSuffix(name, ".gz"); packed {
			name, f = plain, corpusCase{wrapper: "gz"}.unwrap(t, f)
		}
		all[name] = diskimage.File{R: f, Size: imagetest.Size(t, f)}
	}
	return all
}

// dirScratch makes files in a folder.
type dirScratch string

func (d dirScratch) Create() (diskimage.ScratchFile, error) {
	return os.CreateTemp(string(d), "scratch")
}

// unwrap unpacks f to a sparse temporary file.
func (c corpusCase) unwrap(t *testing.T, f *os.File) *os.File {
	var r io.Reader
	var err error
	switch c.wrapper {
	case "gz":
		r, err = gzip.NewReader(f)
	case "bz2":
		r = bzip2.NewReader(f)
	case "zip":
		var z *zip.Reader
		if z, err = zip.NewReader(f, imagetest.Size(t, f)); err == nil {
			r, err = z.File[0].Open()
		}
	default:
		t.Fatalf("unknown wrapper %q", c.wrapper)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	buf := make([]byte, 1<<20)
	zeros := make([]byte, len(buf))
	for off := int64(0); ; {
		n, err := io.ReadFull(r, buf)
		if !bytes.Equal(buf[:n], zeros[:n]) {
			if _, err := out.WriteAt(buf[:n], off); err != nil {
				t.Fatal(err)
			}
		}
		off += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF && n < len(buf) {
			if err := out.Truncate(off); err != nil {
				t.Fatal(err)
			}
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
