package hostile_test

import (
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// corpusVar names the environment variable with the folder of real images and their
// MANIFEST.tsv. They are other people's, so they are not part of the repository.
// Package detect compares their contents; this one tests what happens when they are
// changed.
const corpusVar = "DISKPORT_CORPUS"

// largestReal is the largest size in bytes of a real image that is changed again
// and again. The larger ones in the corpus are mostly zeros.
const largestReal = 48 << 20

// corpus returns the real images that can be read, unpacked. There are none if the
// environment names no corpus.
func corpus(t testing.TB) []specimen {
	t.Helper()
	all, err := corpusSpecimens()
	if err != nil {
		t.Fatalf("%s is set: %v", corpusVar, err)
	}
	return all
}

var corpusSpecimens = sync.OnceValues(func() ([]specimen, error) {
	dir, ok := os.LookupEnv(corpusVar)
	if !ok {
		return nil, nil
	}
	f, err := os.Open(filepath.Join(dir, "MANIFEST.tsv"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes = '\t', true
	rows, err := r.ReadAll()
	if err != nil {
		return nil, err
	}
	var all []specimen
	for _, row := range rows[1:] {
		get := map[string]string{}
		for i, name := range rows[0] {
			get[name] = row[i]
		}
		s, err := real(dir, get["file"], get["companions"])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", get["case"], err)
		}
		d, err := openFrom(bytes.NewReader(s.object), int64(len(s.object)), s.with)
		if err != nil || len(s.object) > largestReal || d.Describe().Container != "" && !strings.HasSuffix(get["file"], ".ova") {
			continue // package detect tests what is refused
		}
		s.name, s.disk = d.Describe().Format+" "+get["case"], d
		if d.Describe().Container == "ova" {
			s.name = "ova " + get["case"]
		}
		all = append(all, s)
	}
	if len(all) < 10 {
		return nil, fmt.Errorf("%d images are read", len(all))
	}
	return all, nil
})

// real unpacks and returns an image and the files that belong to it.
func real(dir, file, companions string) (specimen, error) {
	var s specimen
	var err error
	if s.object, err = unpacked(filepath.Join(dir, file)); err != nil {
		return s, err
	}
	s.with = map[string]diskimage.File{}
	for _, name := range strings.FieldsFunc(companions, func(r rune) bool { return strings.ContainsRune(" ,;", r) }) {
		p, err := unpacked(filepath.Join(dir, filepath.Dir(file), name))
		if err != nil {
			return s, err
		}
		s.with[strings.TrimSuffix(name, ".gz")] = diskimage.File{R: bytes.NewReader(p), Size: int64(len(p))}
	}
	return s, nil
}

// unpacked reads a file, which its name may show to be packed, up to one byte more
// than is used.
func unpacked(path string) ([]byte, error) {
	p, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r io.Reader = bytes.NewReader(p)
	switch filepath.Ext(path) {
	case ".bz2":
		r = bzip2.NewReader(r)
	case ".gz":
		if r, err = gzip.NewReader(r); err != nil {
			return nil, err
		}
	case ".zip":
		z, err := zip.NewReader(bytes.NewReader(p), int64(len(p)))
		if err != nil {
			return nil, err
		}
		if len(z.File) != 1 {
			return nil, errors.New("not one file in the archive")
		}
		f, err := z.File[0].Open()
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	return io.ReadAll(io.LimitReader(r, largestReal+1))
}

// Real images are read by the laws.
func TestCorpus(t *testing.T) {
	imagetest.Volume(t)
	real := corpus(t)
	if len(real) == 0 {
		fmt.Printf("%s is not set: no real images changed\n", corpusVar)
	}
	for _, s := range real {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			d, err := detect.Open(bytes.NewReader(s.object), int64(len(s.object)), detect.Options{Scratch: &imagetest.Scratch{}, With: s.with})
			if err != nil {
				t.Fatal(err)
			}
			if d.Size() < 64<<20 {
				imagetest.Run(t, d, nil)
			}
		})
	}
}
