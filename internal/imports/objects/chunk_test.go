package objects_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/diskport/diskport/internal/imports/objects"
)

// The layout of encrypted pieces, in bytes.
const (
	chunk  = 64 << 10
	inside = chunk - 16 // of the object
)

// encrypted returns a fixture with a KMS, and how an object in it is encrypted.
func encrypted(t *testing.T) (fixture, objects.Encryption) {
	t.Helper()
	f := newFixture(t, func(o *objects.Options) { o.Keys = testKeys{} })
	e, err := f.Encrypt(t.Context(), account, objects.Encryption{Algorithm: "aws:kms", Key: "arn"})
	if err != nil {
		t.Fatal(err)
	}
	return f, e
}

func (f fixture) putEncrypted(t *testing.T, key string, e objects.Encryption, content []byte) objects.Object {
	t.Helper()
	o, err := f.Put(t.Context(), objects.Put{Bucket: "bucket", Key: key, Encryption: e, Piece: f.write(t, content, objects.PieceOptions{Size: int64(len(content)), Encryption: e})})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestEncryptedRanges(t *testing.T) {
	f, e := encrypted(t)
	for _, size := range []int64{0, 1, inside - 1, inside, inside + 1, 4 * inside, 16*inside + 1} {
		content := random(int(size))
		o := f.putEncrypted(t, "k", e, content)
		r, err := f.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		edges := []int64{0, inside - 1, inside, chunk, 5*inside + 3, size - 1, size}
		for _, off := range edges {
			for _, end := range edges {
				if 0 <= off && off <= end && end <= size {
					checkRange(t, r, content, off, end)
				}
			}
		}
		if _, err := r.CopyRange(io.Discard, 0, size+1); !errors.Is(err, objects.ErrRange) {
			t.Errorf("more than %d bytes: %v", size, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestETagsOfEncryptedObjectsTellNothing(t *testing.T) {
	f, e := encrypted(t)
	content := random(100)
	one, two, plain := f.putEncrypted(t, "one", e, content), f.putEncrypted(t, "two", e, content), f.put(t, "plain", content)
	if one.ETag == two.ETag || one.ETag == plain.ETag || len(one.ETag) != 32 {
		t.Errorf("ETags %s, %s and %s of equal objects", one.ETag, two.ETag, plain.ETag)
	}
}

// fileNames returns the files of pieces, the oldest first.
func (f fixture) fileNames(t *testing.T) (names []string) {
	t.Helper()
	type file struct {
		name   string
		number string
	}
	var found []file
	err := filepath.WalkDir(filepath.Join(f.dir, "objects"), func(path string, e fs.DirEntry, err error) error {
		if e != nil && !e.IsDir() {
			found = append(found, file{path, filepath.Base(path)})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(found, func(a, b file) int { return bytes.Compare([]byte(a.number), []byte(b.number)) })
	for _, one := range found {
		names = append(names, one.name)
	}
	return names
}

func TestAlteredPiecesAreFound(t *testing.T) {
	const size = 5*inside + 100
	for name, alter := range map[string]func(first, second []byte) []byte{
		"a bit": func(b, _ []byte) []byte {
			b[2*chunk+5] ^= 1
			return b
		},
		"a bit of a tag": func(b, _ []byte) []byte {
			b[3*chunk-1] ^= 0x80
			return b
		},
		"the last byte is gone":       func(b, _ []byte) []byte { return b[:len(b)-1] },
		"the last chunk is gone":      func(b, _ []byte) []byte { return b[:5*chunk] },
		"the last two chunks are":     func(b, _ []byte) []byte { return b[:4*chunk] },
		"only a tag is left":          func(b, _ []byte) []byte { return b[:5*chunk+16] },
		"nothing is left":             func([]byte, []byte) []byte { return nil },
		"two chunks are exchanged":    func(b, _ []byte) []byte { return slices.Concat(b[chunk:2*chunk], b[:chunk], b[2*chunk:]) },
		"a chunk is repeated":         func(b, _ []byte) []byte { return slices.Concat(b[:chunk], b[:chunk], b[2*chunk:]) },
		"a chunk is left out":         func(b, _ []byte) []byte { return slices.Concat(b[:chunk], b[2*chunk:]) },
		"a chunk of another piece":    func(b, other []byte) []byte { return slices.Concat(b[:chunk], other[chunk:2*chunk], b[2*chunk:]) },
		"another piece of its key":    func(_, other []byte) []byte { return other },
		"zeros, as of a lost extent":  func(b, _ []byte) []byte { return slices.Concat(b[:chunk], make([]byte, chunk), b[2*chunk:]) },
		"the end belongs to the next": func(b, other []byte) []byte { return slices.Concat(b[:5*chunk], other[5*chunk:]) },
	} {
		t.Run(name, func(t *testing.T) {
			f, e := encrypted(t)
			o := f.putEncrypted(t, "k", e, random(size))
			f.putEncrypted(t, "other", e, random(size - 1)[:size-1]) // under the same data key
			files := f.fileNames(t)
			if len(files) != 2 {
				t.Fatalf("files %v", files)
			}
			first, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			second, err := os.ReadFile(files[1])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(files[0], alter(first, second), 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := f.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := r.ReadAt(make([]byte, size), 0); !errors.Is(err, objects.ErrDamaged) {
				t.Errorf("reading: %v", err)
			}
			if _, err := r.CopyRange(io.Discard, 0, size); !errors.Is(err, objects.ErrDamaged) {
				t.Errorf("sending: %v", err)
			}
		})
	}
}
