package objects_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/store/blobdir"
	"github.com/diskport/diskport/internal/store/blockstore"
)

type blobdirEntry = blockstore.Entry

func truncate(path string, size int64) error { return os.Truncate(path, size) }

var errDead = errors.New("the process has died")

// mortal counts the steps of a process that touch files or rows, and lets none happen
// from one of them on: before it, or with done, when it is done and not answered.
type mortal struct {
	left int
	done bool
}

// step reports whether the next step may happen, and whether it is answered.
func (m *mortal) step() (happens, answered bool) {
	m.left--
	return m.left > 0 || m.left == 0 && m.done, m.left > 0
}

// run does a step.
func (m *mortal) run(fn func() error) error {
	happens, answered := m.step()
	if !happens {
		return errDead
	}
	err := fn()
	if !answered {
		return errDead
	}
	return err
}

// mortalStore and mortalFiles are those of a process that dies.
type mortalStore struct {
	objects.Store
	*mortal
}

func (s mortalStore) AddPieces(ctx context.Context, writer int64, ids []objects.PieceID) error {
	return s.run(func() error { return s.Store.AddPieces(ctx, writer, ids) })
}

func (s mortalStore) Put(ctx context.Context, p objects.Put, c objects.Change) (o objects.Object, err error) {
	err = s.run(func() error { o, err = s.Store.Put(ctx, p, c); return err })
	return o, err
}

func (s mortalStore) PutPart(ctx context.Context, p objects.NewPart, c objects.Change) error {
	return s.run(func() error { return s.Store.PutPart(ctx, p, c) })
}

func (s mortalStore) CompleteUpload(ctx context.Context, p objects.Completion, c objects.Change) (o objects.Object, err error) {
	err = s.run(func() error { o, err = s.Store.CompleteUpload(ctx, p, c); return err })
	return o, err
}

func (s mortalStore) DropPieces(ctx context.Context, ids []objects.PieceID) error {
	return s.run(func() error { return s.Store.DropPieces(ctx, ids) })
}

func (s mortalStore) Garbage(ctx context.Context, writer int64, after objects.PieceID, limit int) (ids []objects.PieceID, err error) {
	err = s.run(func() error { ids, err = s.Store.Garbage(ctx, writer, after, limit); return err })
	return ids, err
}

func (s mortalStore) ForgetPieces(ctx context.Context, ids []objects.PieceID) error {
	return s.run(func() error { return s.Store.ForgetPieces(ctx, ids) })
}

type mortalFiles struct {
	*blobdir.Dir
	*mortal
}

func (f mortalFiles) Create(ctx context.Context, name string, size int64) (w blockstore.Writer, err error) {
	err = f.run(func() error { w, err = f.Dir.Create(ctx, name, size); return err })
	return mortalWriter{w, f.mortal}, err
}

func (f mortalFiles) Remove(ctx context.Context, name string) error {
	return f.run(func() error { return f.Dir.Remove(ctx, name) })
}

type mortalWriter struct {
	w blockstore.Writer
	*mortal
}

func (w mortalWriter) WriteAt(ctx context.Context, bufs [][]byte, off int64) error {
	return w.run(func() error { return w.w.WriteAt(ctx, bufs, off) })
}

func (w mortalWriter) Close(ctx context.Context, size int64) error {
	return w.run(func() error { return w.w.Close(ctx, size) })
}

func (w mortalWriter) Abort() error { return w.run(w.w.Abort) }

// TestDyingAnywhereLeavesNothingHalf kills a process at every step of what it does to
// files and rows, before the step and right after it, and starts another: each object is
// the one before or the one after, whole, and nothing else is left on disk.
func TestDyingAnywhereLeavesNothingHalf(t *testing.T) {
	before, after := random(3000), random(10_000) // in three writes
	parts := [][]byte{random(100)}
	work := func(ctx context.Context, f fixture) error {
		if _, err := f.tryPut(ctx, "k", after); err != nil {
			return err
		}
		if err := f.tryUpload(ctx, "multi", parts); err != nil {
			return err
		}
		_, err := f.Sweep(ctx)
		return err
	}
	for _, done := range []bool{false, true} {
		for at := 1; ; at++ {
			dir := newDir(t)
			f := start(t, dir, nil)
			if _, err := f.CreateBucket(t.Context(), objects.Bucket{Name: "bucket", Account: account}); err != nil {
				t.Fatal(err)
			}
			f.put(t, "k", before)
			f.stop()

			m := &mortal{left: at, done: done}
			f = start(t, dir, func(o *objects.Options) {
				o.Store, o.Files = mortalStore{o.Store, m}, mortalFiles{o.Files.(*blobdir.Dir), m}
			})
			err := work(t.Context(), f)
			f.stop()
			if err != nil && !errors.Is(err, errDead) {
				t.Fatalf("step %d: %v", at, err)
			}
			checkRemains(t, at, dir, before, after, bytes.Join(parts, nil), err == nil)
			if err == nil {
				if at < 15 {
					t.Errorf("only %d steps were tried", at)
				}
				break
			}
		}
	}
}

func (f fixture) tryPut(ctx context.Context, key string, content []byte) (objects.Object, error) {
	p, err := f.tryWrite(ctx, content)
	if err != nil {
		return objects.Object{}, err
	}
	return f.Put(ctx, objects.Put{Bucket: "bucket", Key: key, Piece: p})
}

func (f fixture) tryWrite(ctx context.Context, content []byte) (objects.Piece, error) {
	w, err := f.NewPiece(ctx, objects.PieceOptions{Account: account, Size: 1}) // a small buffer
	if err != nil {
		return objects.Piece{}, err
	}
	defer w.Abort()
	if _, err := w.Write(content); err != nil {
		return objects.Piece{}, err
	}
	return w.Finish(ctx)
}

func (f fixture) tryUpload(ctx context.Context, key string, parts [][]byte) error {
	u, err := f.CreateUpload(ctx, objects.Upload{Bucket: "bucket", Key: key})
	if err != nil {
		return err
	}
	c := objects.Completion{Bucket: "bucket", Key: key, Upload: u.ID, Size: -1}
	for i, content := range parts {
		p, err := f.tryWrite(ctx, content)
		if err != nil {
			return err
		}
		part, err := f.PutPart(ctx, objects.PartPut{Bucket: "bucket", Key: key, Upload: u.ID, Number: i + 1, Piece: p})
		if err != nil {
			return err
		}
		c.Parts = append(c.Parts, objects.CompletedPart{Number: part.Number, ETag: part.ETag})
	}
	_, err = f.CompleteUpload(ctx, c)
	return err
}

func checkRemains(t *testing.T, at int, dir string, before, after, multi []byte, complete bool) {
	t.Helper()
	f := start(t, dir, nil)
	defer f.stop()
	if _, err := f.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if swept, err := f.SweepStrays(t.Context()); err != nil || swept != (objects.Swept{}) {
		t.Errorf("step %d: files without a row: %+v, %v", at, swept, err)
	}
	o, err := f.Object(t.Context(), "bucket", "k", "")
	if err != nil {
		t.Fatalf("step %d: %v", at, err)
	}
	if got := f.read(t, o); !bytes.Equal(got, before) && !bytes.Equal(got, after) || complete && !bytes.Equal(got, after) {
		t.Errorf("step %d: the object is neither the one before nor the one after", at)
	}
	files := 1
	o, err = f.Object(t.Context(), "bucket", "multi", "")
	switch {
	case err == nil:
		files += len(multi) / 100
		if got := f.read(t, o); !bytes.Equal(got, multi) {
			t.Errorf("step %d: the upload became something else", at)
		}
	case !errors.Is(err, objects.ErrNoSuchObject) || complete:
		t.Errorf("step %d: %v", at, err)
	}
	uploads, err := f.Uploads(t.Context(), objects.UploadQuery{Bucket: "bucket", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range uploads.Uploads {
		parts, err := f.UploadParts(t.Context(), "bucket", u.Key, u.ID, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		files += len(parts)
	}
	if n := f.stored(t); n != files {
		t.Errorf("step %d: %d files are left, %d are named", at, n, files)
	}
}

func TestStrayFilesAreSetAside(t *testing.T) {
	now := time.Now()
	f := newFixture(t, func(o *objects.Options) { o.Now = func() time.Time { return now } })
	o := f.put(t, "k", random(5000))
	stray := filepath.Join(f.dir, "objects", "0a", "000000000000000a")
	if err := os.MkdirAll(filepath.Dir(stray), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{stray, stray + ".open", filepath.Join(f.dir, "objects", "0a", "notes.txt")} {
		if err := os.WriteFile(path, []byte("left"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if swept, err := f.SweepStrays(t.Context()); err != nil || swept != (objects.Swept{Removed: 1, Aside: 1}) {
		t.Errorf("swept %+v, %v", swept, err)
	}
	if got := f.read(t, o); len(got) != 5000 {
		t.Error("an object was set aside")
	}
	names := func() (names []string) {
		found, err := filepath.Glob(filepath.Join(f.dir, "objects", "*", "*"))
		deeper, err2 := filepath.Glob(filepath.Join(f.dir, "objects", "quarantine", "*", "0a", "*"))
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		for _, n := range append(found, deeper...) {
			if info, err := os.Stat(n); err == nil && !info.IsDir() {
				names = append(names, filepath.Base(n))
			}
		}
		return names
	}
	if got := names(); len(got) != 3 || !slices.Contains(got, "000000000000000a") || !slices.Contains(got, "notes.txt") {
		t.Errorf("left are %q", got)
	}
	now = now.Add(31 * 24 * time.Hour)
	if _, err := f.SweepStrays(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := names(); len(got) != 2 || slices.Contains(got, "000000000000000a") {
		t.Errorf("after a month are left %q", got)
	}
}

// TestNamedPiecesComeBack: what was set aside, by a service with another database, comes
// back when the right one does, however long that took.
func TestNamedPiecesComeBack(t *testing.T) {
	now := time.Now()
	f := newFixture(t, func(o *objects.Options) { o.Now = func() time.Time { return now } })
	content := random(5000)
	named := f.write(t, content, objects.PieceOptions{Size: -1})
	o, err := f.Put(t.Context(), objects.Put{Bucket: "bucket", Key: "k", Piece: named})
	if err != nil {
		t.Fatal(err)
	}
	stray := f.write(t, random(3000), objects.PieceOptions{Size: -1}) // it has a row, and nothing names it
	for _, name := range []string{named.ID.File(), stray.ID.File()} {
		if err := f.files.SetAside(t.Context(), name, now); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(31 * 24 * time.Hour)
	if swept, err := f.SweepStrays(t.Context()); err != nil || swept != (objects.Swept{Back: 1}) {
		t.Errorf("swept %+v, %v", swept, err)
	}
	if got := f.read(t, o); !bytes.Equal(got, content) {
		t.Error("the object is not whole")
	}
	if _, err := os.Stat(filepath.Join(f.dir, "objects", filepath.FromSlash(stray.ID.File()))); err == nil {
		t.Error("garbage came back")
	}
}

// TestOlderDatabaseLosesNothing: pieces that the database has forgotten the names of are
// set aside.
func TestOlderDatabaseLosesNothing(t *testing.T) {
	f := newFixture(t, nil)
	f.write(t, random(5000), objects.PieceOptions{Size: -1}) // and an object, in a newer database
	f.stop()
	f = start(t, f.dir, func(o *objects.Options) { o.Older = true })
	if _, err := f.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found, err := filepath.Glob(filepath.Join(f.dir, "objects", "quarantine", "*", "*", "*")); err != nil || len(found) != 1 {
		t.Errorf("set aside are %q, %v", found, err)
	}
}

// TestRunFreesWhatIsLetGo: a replaced object's file goes without anybody asking.
func TestRunFreesWhatIsLetGo(t *testing.T) {
	removed := make(chan string, 100)
	f := newFixture(t, func(o *objects.Options) { o.Files = toldFiles{o.Files.(*blobdir.Dir), removed} })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.Run(ctx)
	}()
	first := f.write(t, random(10), objects.PieceOptions{Size: 10})
	if _, err := f.Put(t.Context(), objects.Put{Bucket: "bucket", Key: "k", Piece: first}); err != nil {
		t.Fatal(err)
	}
	f.put(t, "k", random(20))
	if name := <-removed; !strings.HasSuffix(name, fmt.Sprintf("%x", int64(first.ID))) {
		t.Errorf("%s was removed, which is not piece %x", name, int64(first.ID))
	}
	stop()
	<-ended
}

// toldFiles tells which files are removed.
type toldFiles struct {
	*blobdir.Dir
	removed chan<- string
}

func (f toldFiles) Remove(ctx context.Context, name string) error {
	f.removed <- name
	return f.Dir.Remove(ctx, name)
}
