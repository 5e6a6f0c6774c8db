package objects_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/store/verify"
)

// proven is what reading all files has told.
type proven struct {
	found []verify.ObjectDamage
	notes []string
	read  int64
	done  []int64
}

// prove reads all files of objects with numbers above after.
func (f fixture) prove(t *testing.T, after int64) (p proven) {
	t.Helper()
	err := f.VerifyObjects(t.Context(), after, verify.ObjectWatch{
		Read:  func(n int64) error { p.read += n; return nil },
		Done:  func(number int64) error { p.done = append(p.done, number); return nil },
		Found: func(d verify.ObjectDamage) error { p.found = append(p.found, d); return nil },
		Note:  func(text string) { p.notes = append(p.notes, text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// addresses returns what is damaged, in order.
func (p proven) addresses() (out []string) {
	for _, d := range p.found {
		out = append(out, d.Object)
	}
	slices.Sort(out)
	return out
}

// alterFile changes the content of the file at path.
func alterFile(t *testing.T, path string, alter func([]byte) []byte) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err == nil {
		err = errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, alter(content), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func flipAt(i int) func([]byte) []byte {
	return func(b []byte) []byte { b[i] ^= 1; return b }
}

func TestDamagedObjectsAreFound(t *testing.T) {
	for name, damage := range map[string]struct {
		alter func([]byte) []byte // nil: the file goes
		says  string
	}{
		"a bit":            {flipAt(1<<20 + 7), "is not that of what was written"},
		"the last bit":     {flipAt(2<<20 + 4), "is not that of what was written"},
		"zeros":            {func(b []byte) []byte { clear(b[4096:8192]); return b }, "is not that of what was written"},
		"an early end":     {func(b []byte) []byte { return b[:1<<20] }, "ends early"},
		"nothing is left":  {func([]byte) []byte { return nil }, "ends early"},
		"the file is gone": {nil, "is gone"},
	} {
		for _, sum := range []objects.Algorithm{objects.SHA256, objects.CRC64NVME} { // without the latter, the MD5 proves it
			t.Run(string(sum)+" "+name, func(t *testing.T) {
				f := newFixture(t, nil)
				content := random(2<<20 + 5)
				o, err := f.Put(t.Context(), objects.Put{Bucket: "bucket", Key: "a/b", Piece: f.write(t, content, objects.PieceOptions{Size: int64(len(content)), Checksums: []objects.Algorithm{sum}})})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.Copy(t.Context(), objects.Copy{Source: o, Bucket: "bucket", Key: "copy"}); err != nil {
					t.Fatal(err)
				}
				f.put(t, "whole", random(1000))
				if p := f.prove(t, 0); len(p.found) != 0 || len(p.notes) != 0 || p.read != 2<<20+1005 || len(p.done) != 2 {
					t.Fatalf("whole ones: %+v", p)
				}
				file := f.fileNames(t)[0]
				if damage.alter == nil {
					err = os.Remove(file)
				} else {
					alterFile(t, file, damage.alter)
				}
				if err != nil {
					t.Fatal(err)
				}
				p := f.prove(t, 0)
				if diff := gocmp.Diff([]string{"s3://bucket/a/b, from byte 0", "s3://bucket/copy, from byte 0"}, p.addresses()); diff != "" {
					t.Fatal(diff)
				}
				d := p.found[0]
				if want, _ := filepath.Rel(filepath.Join(f.dir, "objects"), file); d.File != want || !strings.Contains(d.Err.Error(), damage.says) {
					t.Errorf("found %+v in %s", d, want)
				}
				if behind := f.prove(t, p.done[0]); len(behind.found) != 0 || len(behind.done) != 1 {
					t.Errorf("behind it: %+v", behind)
				}
			})
		}
	}
}

func TestDamagedEncryptedObjectsAreFound(t *testing.T) {
	f, e := encrypted(t)
	f.putEncrypted(t, "k", e, random(20*inside))
	f.putEncrypted(t, "whole", e, random(5))
	if p := f.prove(t, 0); len(p.found) != 0 || len(p.notes) != 0 || p.read != 20*inside+5 {
		t.Fatalf("whole ones: %+v", p)
	}
	alterFile(t, f.fileNames(t)[0], flipAt(13*chunk+9))
	p := f.prove(t, 0)
	if len(p.found) != 1 || p.found[0].Object != "s3://bucket/k, from byte 0" || !errors.Is(p.found[0].Err, objects.ErrDamaged) || p.found[0].Offset > 13*chunk || p.found[0].Offset < 9*chunk {
		t.Errorf("found %+v", p.found)
	}
}

func TestObjectsUnderALostKeyAreNotDamaged(t *testing.T) {
	f, e := encrypted(t)
	f.putEncrypted(t, "k", e, random(100))
	without := objects.New(objects.Options{Store: f.db.Objects(), Files: f.files, Aside: f.files, Keys: lostKeys{}})
	t.Cleanup(func() { _ = without.Close() })
	f.Service = without
	p := f.prove(t, 0)
	if len(p.found) != 0 || len(p.notes) != 1 || !strings.Contains(p.notes[0], "arn") {
		t.Errorf("told %+v", p)
	}
}

// lostKeys is a KMS whose keys can't be used.
type lostKeys struct{ testKeys }

func (lostKeys) OpenDataKey(context.Context, string, objects.Encryption) ([]byte, error) {
	return nil, errors.New("disabled")
}

func TestDamagedPartsAndPinsAreFound(t *testing.T) {
	f := newFixture(t, nil)
	u, err := f.CreateUpload(t.Context(), objects.Upload{Bucket: "bucket", Key: "half"})
	if err == nil {
		_, err = f.PutPart(t.Context(), objects.PartPut{Bucket: "bucket", Key: "half", Upload: u.ID, Number: 1, Piece: f.write(t, random(500), objects.PieceOptions{Size: 500})})
	}
	if err != nil {
		t.Fatal(err)
	}
	f.put(t, "pinned", random(600))
	if _, err = f.Pin(t.Context(), "bucket", "pinned", "", "pin-1"); err == nil {
		_, err = f.Delete(t.Context(), "bucket", objects.Deletion{Key: "pinned"})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range f.fileNames(t) {
		alterFile(t, file, flipAt(5))
	}
	p := f.prove(t, 0)
	if diff := gocmp.Diff([]string{"s3://bucket/half?uploadId=" + u.ID, "what pin pin-1 keeps for an import, from byte 0"}, p.addresses()); diff != "" {
		t.Error(diff)
	}
}

func TestProvingEndsWithTheWatcher(t *testing.T) {
	f := newFixture(t, nil)
	for _, key := range []string{"a", "b"} {
		f.put(t, key, bytes.Repeat([]byte(key), 10))
	}
	enough := errors.New("enough")
	for name, w := range map[string]verify.ObjectWatch{
		"reading": {Read: func(int64) error { return enough }, Done: func(int64) error { return nil }},
		"done":    {Read: func(int64) error { return nil }, Done: func(int64) error { return enough }},
	} {
		if err := f.VerifyObjects(t.Context(), 0, w); !errors.Is(err, enough) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
