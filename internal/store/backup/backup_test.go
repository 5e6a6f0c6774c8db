package backup_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/store/backup"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// world is a service in memory: files by tree and name, and which of them its database
// names.
type world struct {
	files   map[string][]byte // by tree/name
	named   map[string]bool
	store   string
	clock   time.Time
	held    bool
	broken  map[string]error // files that can't be read
	root    string           // the target
	target  backup.Target
	scratch string
	proofs  secret.Wrapper
}

func newWorld(t *testing.T) *world {
	w := &world{
		files: map[string][]byte{}, named: map[string]bool{}, store: strings.Repeat("5", 32), broken: map[string]error{},
		clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), root: filepath.Join(t.TempDir(), "target"), scratch: t.TempDir(),
	}
	w.target = backup.NewDir(w.root)
	w.proofs = proofs(t, 1)
	return w
}

// proofs is the master key of a service, as backups have it.
func proofs(t *testing.T, b byte) secret.Wrapper {
	k, err := secret.NewMasterKey(bytes.Repeat([]byte{b}, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k.For(secret.Backups)
}

// root is the name of a root's file, and an object that of a piece's.
func root(id int64) string {
	return "blocks/" + blockstore.File{ID: blockstore.FileID(id), Kind: blockstore.RootFile}.Name()
}
func object(id int64) string { return fmt.Sprintf("objects/%02x/%016x", id&0xff, id) }

// add makes a file that the database names.
func (w *world) add(name, content string) {
	w.files[name], w.named[name] = []byte("good "+content), true
}

// drop is what gc does to a file that nothing names.
func (w *world) drop(name string) {
	delete(w.named, name)
	if !w.held {
		delete(w.files, name)
	}
}

// copied is the database as it is copied.
type copied struct {
	Names map[string]int64 // bytes
	Store string
}

// CopyTo implements backup.Database.
func (w *world) CopyTo(_ context.Context, path string) error {
	c := copied{map[string]int64{}, w.store}
	for name := range w.named {
		c.Names[name] = int64(len(w.files[name]))
	}
	b, err := json.Marshal(c)
	return errors.Join(err, os.WriteFile(path, b, 0o600))
}

// OpenCopy implements backup.Database.
func (w *world) OpenCopy(_ context.Context, path string) (c backup.Copy, err error) {
	b, err := os.ReadFile(path)
	var read copied
	return read, errors.Join(err, json.Unmarshal(b, &read))
}

func (c copied) Facts(context.Context) (backup.Facts, error) {
	return backup.Facts{Store: c.Store, Schema: 1}, nil
}
func (c copied) Close() error { return nil }

func (c copied) Pages(context.Context, blockstore.FileID) ([]snapshot.PagePlace, error) {
	return nil, nil
}

func (c copied) Needs(_ context.Context, fn func([]backup.Need) error) error {
	for name, n := range c.Names {
		tree, rest, _ := strings.Cut(name, "/")
		f, _ := blockstore.ParseName(rest)
		if err := fn([]backup.Need{{Tree: tree, Name: rest, File: f, Bytes: n}}); err != nil {
			return err
		}
	}
	return nil
}

// tree reads the files of one tree.
type tree struct {
	w    *world
	name string
}

func (tr tree) ReadAt(_ context.Context, name string, p []byte, off int64) (int, error) {
	b, ok := tr.w.files[tr.name+"/"+name]
	if err := tr.w.broken[tr.name+"/"+name]; err != nil {
		return 0, err
	}
	if !ok {
		return 0, blockstore.ErrNotExist
	}
	return bytes.NewReader(b).ReadAt(p, off)
}

// CheckPage implements backup.Authority.
func (w *world) CheckPage(snapshot.PageID, []byte) error { return nil }

// CheckRoot implements backup.Authority.
func (w *world) CheckRoot(b []byte) error {
	if !bytes.HasPrefix(b, []byte("good ")) {
		return errors.New("it is not good")
	}
	return nil
}

func (w *world) source() *backup.Source {
	return &backup.Source{
		Database: w, Authority: w, Trees: map[string]backup.Reader{backup.Blocks: tree{w, backup.Blocks}, backup.Objects: tree{w, backup.Objects}},
		Now: func() time.Time { w.clock = w.clock.Add(time.Hour); return w.clock },
		Hold: func(ctx context.Context, _ string) (backup.Hold, error) {
			w.held = true
			return &hold{w: w, ctx: ctx}, nil
		},
		Secrets: func(_ context.Context, copy func() error) (backup.Secrets, error) {
			return backup.Secrets{Proofs: w.proofs}, copy()
		},
		Proofs: w.proofs,
	}
}

// hold is a hold of the world's files.
type hold struct {
	w    *world
	ctx  context.Context
	lost error
}

func (h *hold) Context() context.Context    { return h.ctx }
func (h *hold) Still(context.Context) error { return h.lost }
func (h *hold) Release()                    { h.w.held = false }

// run makes a backup.
func (w *world) run(t *testing.T, o backup.Options) (backup.Report, error) {
	t.Helper()
	o.Scratch = func() (string, error) { return os.MkdirTemp(w.scratch, "copy") }
	r, err := w.source().Run(t.Context(), w.target, o)
	if w.held {
		t.Error("files are still held")
	}
	return r, err
}

func (w *world) backup(t *testing.T, o backup.Options) backup.Report {
	t.Helper()
	r, err := w.run(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// state is the files that the database names, which a restoration brings back.
func (w *world) state() map[string]string {
	s := map[string]string{}
	for name := range w.named {
		s[name] = string(w.files[name])
	}
	return s
}

// restored returns the files of a restored backup, of a time or before.
func (w *world) restored(t *testing.T, at time.Time, how backup.Handling) (map[string]string, backup.Restored, error) {
	t.Helper()
	r, err := backup.Open(t.Context(), w.target, at)
	if err != nil {
		return nil, backup.Restored{}, err
	}
	if err := r.Authenticate(t.Context(), w.proofs); err != nil {
		return nil, backup.Restored{}, err
	}
	to := t.TempDir()
	done, err := r.Run(t.Context(), backup.NewDir(to), backup.RestoreOptions{Damaged: how, Database: "db"})
	files := map[string]string{}
	werr := filepath.WalkDir(to, func(path string, e fs.DirEntry, err error) error {
		if name, _ := filepath.Rel(to, path); err == nil && !e.IsDir() && name != "db" {
			b, err := os.ReadFile(path)
			files[name] = string(b)
			return err
		}
		return err
	})
	return files, done, errors.Join(err, werr)
}

func (w *world) restores(t *testing.T, at time.Time, want map[string]string) {
	t.Helper()
	got, _, err := w.restored(t, at, backup.Refuse)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("restored: %v (-want +got):\n%s", err, diff)
	}
}

// TestIncremental: a second backup copies what is new, and each moment is restored as it
// was.
func TestIncremental(t *testing.T) {
	w := newWorld(t)
	w.add(root(1), "one")
	w.add(object(2), "two")
	first, then := w.backup(t, backup.Options{}), w.state()
	if first.Files != 2 || first.Copied != 2 {
		t.Errorf("the first: %+v", first)
	}
	w.drop(root(1))
	w.add(root(3), "three")
	second := w.backup(t, backup.Options{})
	if second.Files != 2 || second.Copied != 1 || len(second.Again) > 0 {
		t.Errorf("the second: %+v", second)
	}
	if third := w.backup(t, backup.Options{}); third.Copied != 0 {
		t.Errorf("the third: %+v", third)
	}
	w.restores(t, first.At, then)
	w.restores(t, second.At.Add(time.Minute), w.state())
	w.restores(t, time.Time{}, w.state())
	if _, _, err := w.restored(t, first.At.Add(-time.Hour), backup.Refuse); !errors.Is(err, backup.ErrNoBackup) {
		t.Errorf("before the first: %v", err)
	}
	list, err := backup.List(t.Context(), w.target)
	if err != nil || len(list) != 3 || !list[0].At.Equal(first.At) || list[0].Files != 2 {
		t.Errorf("list %+v, %v", list, err)
	}
}

// stopping is a target that fails from the nth change on, as one whose writer dies.
type stopping struct {
	backup.Target
	left int
}

var errStopped = errors.New("stopped")

func (s *stopping) Put(ctx context.Context, name string, body io.Reader, size int64) error {
	if s.left--; s.left < 0 {
		return errStopped
	}
	return s.Target.Put(ctx, name, body, size)
}

func (s *stopping) Remove(ctx context.Context, name string) error {
	if s.left--; s.left < 0 {
		return errStopped
	}
	return s.Target.Remove(ctx, name)
}

// TestStoppedAnywhere: a backup that ends at any change of its target leaves backups whole,
// those that are to stay; and the next one goes on.
func TestStoppedAnywhere(t *testing.T) {
	for n := 0; ; n++ {
		w := newWorld(t)
		w.add(root(1), "one")
		w.add(object(2), "two")
		w.backup(t, backup.Options{})
		w.drop(root(1))
		w.add(root(3), "three")
		w.add(root(4), "four")
		second, then := w.backup(t, backup.Options{}), w.state()
		w.add(root(5), "five")
		w.add(object(6), "six")
		w.drop(root(3))
		w.target = &stopping{w.target, n}
		_, err := w.run(t, backup.Options{Keep: 2})
		whole := err == nil
		if !whole && !errors.Is(err, errStopped) {
			t.Fatal(err)
		}
		w.restores(t, second.At, then)
		if _, _, err := w.restored(t, time.Time{}, backup.Refuse); err != nil {
			t.Errorf("stopped at %d: the newest: %v", n, err)
		}
		w.target = backup.NewDir(w.root)
		last := w.backup(t, backup.Options{Keep: 1})
		w.restores(t, time.Time{}, w.state())
		checkOnly(t, w, last)
		if whole {
			if n < 7 {
				t.Fatalf("it was stopped at %d changes only", n)
			}
			return
		}
	}
}

// checkOnly compares the files of a target with those of the one backup that it has.
func checkOnly(t *testing.T, w *world, r backup.Report) {
	t.Helper()
	want := []string{"databases/" + r.Moment + ".db", "diskport-backup", "moments/" + r.Moment + ".json.gz"}
	for name := range w.named {
		want = append(want, name)
	}
	var got []string
	if err := w.target.List(t.Context(), func(e backup.Entry) error { got = append(got, e.Name); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the target has (-want +got):\n%s", diff)
	}
}

// TestGoesOn: what a backup that was cut off has copied is taken if it proves to be whole.
func TestGoesOn(t *testing.T) {
	w := newWorld(t)
	w.add(root(1), "one")
	w.add(root(2), "two")
	w.target = &stopping{w.target, 3} // the marker and both files
	if _, err := w.run(t, backup.Options{}); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	w.target = backup.NewDir(w.root)
	if err := os.WriteFile(filepath.Join(w.root, root(2)), []byte("evil two"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := w.backup(t, backup.Options{}); r.Copied != 1 {
		t.Errorf("report %+v, want one file copied", r)
	}
	w.restores(t, time.Time{}, w.state())
}

// ending is a target of which reading ends the backup.
type ending struct {
	backup.Target
	end context.CancelFunc
}

func (e ending) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if strings.HasPrefix(name, "blocks/") {
		e.end()
	}
	return e.Target.Get(ctx, name)
}

// TestCancelled: a backup ends with its context, also while it looks at what is there.
func TestCancelled(t *testing.T) {
	for name, check := range map[string]backup.Check{"adopting": backup.Sizes, "rereading": backup.Checksums} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.add(root(1), "one")
			if check == backup.Sizes {
				w.target = &stopping{w.target, 2}
			}
			if _, err := w.run(t, backup.Options{}); err != nil && !errors.Is(err, errStopped) {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, err := w.source().Run(ctx, ending{backup.NewDir(w.root), cancel}, backup.Options{
				Check: check, Scratch: func() (string, error) { return t.TempDir(), nil },
			})
			if !errors.Is(err, context.Canceled) || len(r.Again) > 0 {
				t.Errorf("got %+v, %v, want %v", r, err, context.Canceled)
			}
		})
	}
}

// TestDamagedTarget: a file that is missing or short is noticed, one that was changed if it
// is looked for; it is copied again, or named if the service has it no more.
func TestDamagedTarget(t *testing.T) {
	for name, tt := range map[string]struct {
		damage func(path string) error
		check  backup.Check
		again  string
	}{
		"missing": {os.Remove, backup.Sizes, "it is missing"},
		"short":   {func(path string) error { return os.Truncate(path, 3) }, backup.Sizes, "it has 3 bytes"},
		"changed": {func(path string) error { return os.WriteFile(path, []byte("good bne"), 0o600) }, backup.Checksums, "it is not what was written"},
		"unseen":  {func(path string) error { return os.WriteFile(path, []byte("good bne"), 0o600) }, backup.Sizes, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.add(root(1), "one")
			w.add(object(2), "two")
			w.backup(t, backup.Options{})
			if err := tt.damage(filepath.Join(w.root, root(1))); err != nil {
				t.Fatal(err)
			}
			_, _, err := w.restored(t, time.Time{}, backup.Refuse)
			if !errors.Is(err, backup.ErrDamaged) || !strings.Contains(err.Error(), root(1)) {
				t.Errorf("restored: %v, want an error that names the file", err)
			}
			r := w.backup(t, backup.Options{Check: tt.check})
			if tt.again == "" {
				if len(r.Again) > 0 {
					t.Errorf("report %+v", r)
				}
				return
			}
			if len(r.Again) != 1 || r.Copied != 1 || !strings.Contains(r.Again[0], tt.again) || !strings.Contains(r.Again[0], root(1)) {
				t.Errorf("report %+v, want that %s", r, tt.again)
			}
			w.restores(t, time.Time{}, w.state())
		})
	}
}

// TestLostByOlder: what only an older backup needs can't be copied again, and is named.
func TestLostByOlder(t *testing.T) {
	w := newWorld(t)
	w.add(root(1), "one")
	w.backup(t, backup.Options{})
	w.drop(root(1))
	w.add(root(2), "two")
	if err := os.Remove(filepath.Join(w.root, root(1))); err != nil {
		t.Fatal(err)
	}
	if r := w.backup(t, backup.Options{}); len(r.Lost) != 1 || !strings.Contains(r.Lost[0], root(1)) {
		t.Errorf("report %+v", r)
	}
}

// unzipped returns what a gzip stream holds, as far as it can be read.
func unzipped(b []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	all, err := io.ReadAll(z)
	return append(all, fmt.Sprint(err)...)
}

// TestDamagedManifest: it is named; nothing is removed, since what it needs can't be told;
// others are restored.
func TestDamagedManifest(t *testing.T) {
	w := newWorld(t)
	w.add(root(1), "one")
	first := w.backup(t, backup.Options{})
	w.drop(root(1))
	w.add(root(2), "two")
	path := filepath.Join(w.root, "moments", first.Moment+".json.gz")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range b {
		changed := bytes.Clone(b)
		changed[at] ^= 4
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		// Of the head of a gzip stream some bytes mean nothing, nor do some bits before its
		// checksum.
		if _, _, err := w.restored(t, time.Time{}, backup.Refuse); !errors.Is(err, backup.ErrDamaged) && !bytes.Equal(unzipped(changed), unzipped(b)) {
			t.Fatalf("with byte %d changed: %v", at, err)
		}
	}
	for range 2 {
		r := w.backup(t, backup.Options{Keep: 3})
		if len(r.Lost) != 1 || !strings.Contains(r.Lost[0], first.Moment) || r.Removed != 0 {
			t.Errorf("report %+v", r)
		}
	}
	w.restores(t, time.Time{}, w.state())
	if r := w.backup(t, backup.Options{Keep: 1}); len(r.Lost) > 0 || r.Gone != 3 {
		t.Errorf("report %+v", r)
	}
}

// TestDamagedService: what is damaged is copied as it is, what can't be read is missing, and
// both are told; the target's copy from before stays the good one.
func TestDamagedService(t *testing.T) {
	w := newWorld(t)
	w.add(root(1), "one")
	w.add(root(2), "two")
	w.backup(t, backup.Options{})
	then := w.state()
	w.files[root(1)] = []byte("evil one")
	w.broken[root(2)] = errors.New("input/output error")
	if r := w.backup(t, backup.Options{Check: backup.Checksums}); len(r.Damaged) > 0 {
		t.Errorf("report %+v", r)
	}
	w.restores(t, time.Time{}, then)
	w.add(root(3), "three")
	w.files[root(3)] = []byte("evil three")
	w.add(object(4), "four")
	w.broken[object(4)] = errors.New("input/output error")
	r := w.backup(t, backup.Options{})
	if got := strings.Join(r.Damaged, "; "); len(r.Damaged) != 2 || !strings.Contains(got, root(3)+": at 0: it is not good") || !strings.Contains(got, object(4)+": input/output error") {
		t.Errorf("damaged: %s", got)
	}
	w.lists(t, 0, 0, 2)
	got, done, err := w.restored(t, time.Time{}, backup.Refuse)
	then[root(3)] = "evil three"
	if diff := cmp.Diff(then, got); err != nil || diff != "" || len(done.Lost) != 1 {
		t.Errorf("restored: %+v, %v (-want +got):\n%s", done, err, diff)
	}
}

// TestEndless: a file that is longer than it was is refused before it fills a disk.
func TestEndless(t *testing.T) {
	for name, how := range map[string]backup.Handling{"refused": backup.Refuse, "salvaged": backup.Salvage} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.add(root(1), "one")
			w.backup(t, backup.Options{})
			w.target = endless{w.target, root(1)}
			got, _, err := w.restored(t, time.Time{}, how)
			if how == backup.Refuse && !errors.Is(err, backup.ErrDamaged) || how == backup.Salvage && (err != nil || len(got[root(1)]) > 2<<20) {
				t.Errorf("got %d bytes, %v", len(got[root(1)]), err)
			}
		})
	}
}

// endless is a target one of whose files never ends.
type endless struct {
	backup.Target
	name string
}

func (e endless) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == e.name {
		return io.NopCloser(zeros{}), nil
	}
	return e.Target.Get(ctx, name)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestForeignFiles: what somebody else keeps in the target stays, whatever its name begins with.
func TestForeignFiles(t *testing.T) {
	w := newWorld(t)
	w.add(root(1), "one")
	foreign := []string{"objects/holiday.jpg", "databases/accounts.db", "blocks/of/wood"}
	for _, name := range foreign {
		if err := w.target.Put(t.Context(), name, strings.NewReader("mine"), 4); err != nil {
			t.Fatal(err)
		}
	}
	w.backup(t, backup.Options{Keep: 1})
	w.drop(root(1))
	if r := w.backup(t, backup.Options{Keep: 1}); r.Gone != 1 || r.Removed != 2 {
		t.Errorf("report %+v; want the moment, its database and its file removed", r)
	}
	for _, name := range foreign {
		if _, err := os.Stat(filepath.Join(w.root, name)); err != nil {
			t.Error(err)
		}
	}
}

// TestSalvage: what is damaged in the backup comes as it is if it proves itself, else not.
func TestSalvage(t *testing.T) {
	w := newWorld(t)
	for i, name := range []string{root(1), root(2), object(3), object(4), root(5)} {
		w.add(name, fmt.Sprint(i))
	}
	w.backup(t, backup.Options{})
	want := w.state()
	for _, name := range []string{root(1), object(3)} {
		if err := os.WriteFile(filepath.Join(w.root, name), []byte("evil .."), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(w.root, root(2))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.restored(t, time.Time{}, backup.Refuse); !errors.Is(err, backup.ErrDamaged) || !strings.Contains(err.Error(), root(2)+" is missing") {
		t.Errorf("got %v", err)
	}
	got, done, err := w.restored(t, time.Time{}, backup.Salvage)
	if err != nil {
		t.Fatal(err)
	}
	want[root(1)] = "evil .."
	delete(want, root(2))
	delete(want, object(3))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("restored (-want +got):\n%s", diff)
	}
	gone := map[string]bool{}
	for _, l := range done.Lost {
		gone[l.Name] = l.Gone
	}
	if diff := cmp.Diff(map[string]bool{root(1): false, root(2): true, object(3): true}, gone); diff != "" {
		t.Errorf("lost (-want +got):\n%s", diff)
	}
}

// TestWhoseItIs: a target has backups of one store, in a format that is known.
func TestWhoseItIs(t *testing.T) {
	w := newWorld(t)
	if _, err := backup.List(t.Context(), w.target); !errors.Is(err, backup.ErrNoBackup) {
		t.Errorf("an empty target: %v", err)
	}
	w.backup(t, backup.Options{})
	w.store = strings.Repeat("6", 32)
	if _, err := w.run(t, backup.Options{}); !errors.Is(err, backup.ErrNotOurs) {
		t.Errorf("another store: %v", err)
	}
	if err := os.WriteFile(filepath.Join(w.root, "diskport-backup"), []byte("diskport backup 2 "+w.store+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.run(t, backup.Options{}); !errors.Is(err, backup.ErrFormat) {
		t.Errorf("another format: %v", err)
	}
	if _, _, err := w.restored(t, time.Time{}, backup.Refuse); !errors.Is(err, backup.ErrFormat) {
		t.Errorf("restoring another format: %v", err)
	}
}

// TestALostHold ends a backup, also if that is known in the end alone: files may be gone that
// it counts on.
func TestALostHold(t *testing.T) {
	lost := errors.New("the hold is lost")
	for name, lose := range map[string]func(*hold){
		"known at once": func(h *hold) {
			ctx, cancel := context.WithCancelCause(h.ctx)
			cancel(lost)
			h.ctx = ctx
		},
		"known in the end": func(h *hold) { h.lost = lost },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.add(root(1), "one")
			s := w.source()
			s.Hold = func(ctx context.Context, _ string) (backup.Hold, error) {
				h := &hold{w: w, ctx: ctx}
				lose(h)
				return h, nil
			}
			_, err := s.Run(t.Context(), w.target, backup.Options{Scratch: func() (string, error) { return t.TempDir(), nil }})
			if !errors.Is(err, lost) {
				t.Errorf("got %v, want %v", err, lost)
			}
			if list, err := backup.List(t.Context(), w.target); err == nil && len(list) > 0 {
				t.Errorf("there is a backup: %+v", list)
			}
		})
	}
}

// TestRate: a backup takes as long as its rate says.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(object(1), strings.Repeat("x", 100<<10-5))
		begin := time.Now()
		r := w.backup(t, backup.Options{Rate: 1 << 10})
		if took := time.Since(begin); took < 100*time.Second || took > 102*time.Second {
			t.Errorf("%d bytes took %v", r.CopiedBytes, took)
		}
	})
}
