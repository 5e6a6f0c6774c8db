// Package hostile_test attacks every decoder the way images reach it in an import:
// through detection, with whole objects and real files.
//
//	catalogue_test.go   every case of the catalogue of hostile images has a test
//	*_cases_test.go     the cases that no package of a format tests by number
//	gallery_test.go     an honest image of every kind that can be read
//	cut_test.go         what is cut off or put behind them never changes them
//	fields_test.go      any field may be anything: refused truly, or read by the laws
//	memory_test.go      memory and work are bounded, however large the disk
//	far_test.go         opening and reading takes few large reads
//	sandbox_test.go        nothing else is opened
//
// The numbers in the names of tests are those of the catalogue of hostile images
// that the project's issues refer to.
package hostile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
)

// Errors of preparing images show up in the tests.
func TestMain(m *testing.M) {
	os.Exit(sandboxtest.Main(m, func() { _, _ = specimens() }, func() { _, _ = corpusSpecimens() }))
}

// disk is what detect.Open returns.
type disk interface {
	diskimage.RunDisk
	diskimage.Describer
}

// open opens an object as an import without a declared format does.
func open(object []byte, with map[string]diskimage.File) (disk, error) {
	return openFrom(bytes.NewReader(object), int64(len(object)), with)
}

func openFrom(r io.ReaderAt, size int64, with map[string]diskimage.File) (disk, error) {
	d, err := detect.Open(r, size, detect.Options{Scratch: &imagetest.Scratch{}, With: with})
	if err != nil {
		return nil, err
	}
	return d.(disk), nil // everything that it returns is one
}

func mustOpen(t testing.TB, object []byte) disk {
	t.Helper()
	d, err := open(object, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// walk opens an object and reads all of it.
func walk(object []byte, with map[string]diskimage.File) error {
	d, err := open(object, with)
	if err != nil {
		return err
	}
	return imagetest.Walk(d)
}

// hostile is an object and the expected result of reading it.
type hostile struct {
	name   string
	object []byte
	class  diskimage.Class // 0: it can be read
	text   string          // part of the error, or of a warning if it can be read
}

// run opens each object and reads all of it.
func run(t *testing.T, cases []hostile) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d, err := open(c.object, nil)
			if err == nil {
				err = imagetest.Walk(d)
			}
			if c.class != 0 {
				wantFault(t, err, c.class, c.text)
				wantTrue(t, err, c.object)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			warnings := strings.Join(d.Describe().Warnings, "\n")
			if (c.text == "") != (warnings == "") || !strings.Contains(warnings, c.text) {
				t.Errorf("warnings are %q, want %q", warnings, c.text)
			}
		})
	}
}

// longest is how long the text of an error may be, since people read it.
const longest = 700

// wantFault fails t unless err is a fault of the class that names a format and a
// structure, is fit to print, and contains the text.
func wantFault(t testing.TB, err error, class diskimage.Class, text string) {
	t.Helper()
	imagetest.WantFault(t, err, class, text)
	var fault *diskimage.FormatError
	if !errors.As(err, &fault) {
		return
	}
	if fault.Format == "" || fault.Structure == "" || fault.Reason == "" || fault.Offset < 0 {
		t.Errorf("%+v does not say what and where", fault)
	}
	s := err.Error()
	for _, r := range s {
		if r < ' ' || r > '~' {
			t.Fatalf("the error is not fit to print: %q", s)
		}
	}
	if len(s) > longest {
		t.Errorf("the error has %d characters", len(s))
	}
}

// wantTrue fails t if a fault reports a value that the object does not have at the
// reported offset.
func wantTrue(t testing.TB, err error, object []byte) {
	t.Helper()
	var fault *diskimage.FormatError
	if !errors.As(err, &fault) || !fault.HasValue {
		return
	}
	if !holds(object, fault.Offset, fault.Value) {
		at := max(0, min(fault.Offset, int64(len(object))))
		t.Errorf("%v: the object has % x there", err, object[at:min(at+8, int64(len(object)))])
	}
}

// holds reports whether the object has the value at the offset, in any of the
// widths and byte orders that formats use, or in sectors.
func holds(object []byte, off int64, value uint64) bool {
	if off < 0 || off >= int64(len(object)) {
		return false
	}
	var p [8]byte
	n := copy(p[:], object[off:])
	le, be := binary.LittleEndian, binary.BigEndian
	found := []uint64{uint64(p[0])}
	if n >= 2 {
		found = append(found, uint64(le.Uint16(p[:])), uint64(be.Uint16(p[:])))
	}
	if n >= 4 {
		found = append(found, uint64(le.Uint32(p[:])), uint64(be.Uint32(p[:])))
	}
	if n >= 8 {
		found = append(found, le.Uint64(p[:]), be.Uint64(p[:]))
	}
	if octal, err := strconv.ParseUint(strings.Trim(string(p[:n]), " \x00"), 8, 64); err == nil {
		found = append(found, octal) // as in tar
	}
	for _, v := range found {
		if v == value || v*512 == value {
			return true
		}
	}
	return false
}
