package vmdk_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
	"github.com/diskport/diskport/diskimage/vmdk"
)

// corpusEnv names the folder of published images, with MANIFEST.tsv. The images
// can't be distributed with the project; without them only the fixtures and
// qemu-img's images are tested.
const corpusEnv = "DISKPORT_CORPUS"

// readHere are the variants that are read without other files; package detect's
// tests give these.
func readHere(variant string) bool {
	return strings.HasPrefix(variant, "monolithicSparse") || strings.HasPrefix(variant, "streamOptimized")
}

func TestCorpus(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	dir := os.Getenv(corpusEnv)
	if dir == "" {
		t.Logf("%s is not set: published images are not tested", corpusEnv)
		return
	}
	for _, c := range manifest(t, filepath.Join(dir, "MANIFEST.tsv")) {
		if c["format"] != "vmdk" || c["wrapper"] != "" {
			continue
		}
		t.Run(c["case"], func(t *testing.T) {
			image, err := os.ReadFile(filepath.Join(dir, c["file"]))
			if err != nil {
				t.Fatal(err)
			}
			d, err := open(image)
			if c["outcome"] != "accept" || !readHere(c["variant"]) {
				var fault *diskimage.FormatError
				if !errors.As(err, &fault) {
					t.Fatalf("got %v, want a fault", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strconv.FormatInt(d.Size(), 10); got != c["virtual_size"] {
				t.Errorf("%s bytes, want %s", got, c["virtual_size"])
			}
			imagetest.Run(t, d, nil)
			if c["nonzero_512KiB_blocks"] == "0" {
				checkEmpty(t, d)
				return
			}
			sum := sha256.New()
			if _, err := io.Copy(sum, io.NewSectionReader(d, 0, d.Size())); err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(sum.Sum(nil)); got != c["raw_sha256"] {
				t.Errorf("sha256 %s, want %s", got, c["raw_sha256"])
			}
		})
	}
}

// checkEmpty replaces hashing gigabytes of zeros: the conformance suite has checked
// that everything that is not data reads as zeros.
func checkEmpty(t *testing.T, d diskimage.Disk) {
	t.Helper()
	for e, err := range d.Extents(0, d.Size()) {
		if err != nil || e.Kind == diskimage.Data {
			t.Errorf("got %+v, %v on an empty disk", e, err)
		}
	}
}

// manifest returns the rows of a table with a header line.
func manifest(t *testing.T, path string) []map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(bytes.NewReader(b))
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, -1
	rows, err := r.ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatalf("%s: %d rows, %v", path, len(rows), err)
	}
	var all []map[string]string
	for _, row := range rows[1:] {
		m := map[string]string{}
		for i, v := range row {
			m[rows[0][i]] = v
		}
		all = append(all, m)
	}
	return all
}

func open(image []byte) (*vmdk.Image, error) {
	return vmdk.Open(bytes.NewReader(image), int64(len(image)), vmdk.Options{})
}
