package objects_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/store/blobdir"
)

const account = "111111111111"

// fixture is a Service over a database and a directory, with a bucket "b".
type fixture struct {
	*objects.Service
	db    *metadb.DB
	dir   string
	files *blobdir.Dir
}

// start opens a Service over a directory that may hold one's remains; change may change its
// options.
func start(t testing.TB, dir string, change func(*objects.Options)) fixture {
	t.Helper()
	db, err := metadb.Open(t.Context(), filepath.Join(dir, "m.db"), metadb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := blobdir.New(filepath.Join(dir, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	o := objects.Options{Store: db.Objects(), Files: files, Aside: files}
	if change != nil {
		change(&o)
	}
	f := fixture{objects.New(o), db, dir, files}
	t.Cleanup(f.stop)
	return f
}

func (f fixture) stop() {
	_ = f.Service.Close()
	_ = f.files.Close()
	_ = f.db.Close()
}

// migrated returns an empty database; migrating takes longer than most tests.
var migrated = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "objects")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	db, err := metadb.Open(context.Background(), filepath.Join(dir, "m.db"), metadb.Options{})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "m.db"))
})

// newDir returns a directory with an empty database.
func newDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	content, err := migrated()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "m.db"), content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func newFixture(t testing.TB, change func(*objects.Options)) fixture {
	t.Helper()
	f := start(t, newDir(t), change)
	if _, err := f.CreateBucket(t.Context(), objects.Bucket{Name: "bucket", Account: account, Region: "us-east-1"}); err != nil {
		t.Fatal(err)
	}
	return f
}

// write writes a piece.
func (f fixture) write(t testing.TB, content []byte, o objects.PieceOptions) objects.Piece {
	t.Helper()
	o.Account = account
	w, err := f.NewPiece(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := io.Copy(w, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	p, err := w.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (f fixture) put(t testing.TB, key string, content []byte) objects.Object {
	t.Helper()
	o, err := f.Put(t.Context(), objects.Put{Bucket: "bucket", Key: key, Piece: f.write(t, content, objects.PieceOptions{Size: int64(len(content))})})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// read returns all bytes of an object.
func (f fixture) read(t testing.TB, o objects.Object) []byte {
	t.Helper()
	r, err := f.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return readAll(t, r)
}

func readAll(t testing.TB, r *objects.Reader) []byte {
	t.Helper()
	got := make([]byte, r.Size())
	if n, err := r.ReadAt(got, 0); n != len(got) || err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("read %d bytes of %d: %v", n, len(got), err)
	}
	return got
}

// stored counts the files.
func (f fixture) stored(t testing.TB) (n int) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(f.dir, "objects"), func(_ string, e fs.DirEntry, err error) error {
		if e != nil && !e.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func random(n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

func TestPiecesHoldWhatWasWritten(t *testing.T) {
	f := newFixture(t, nil)
	for _, size := range []int{0, 1, 4095, 4096, 64<<10 + 1, 300_000, 1 << 20, 2<<20 + 7} {
		for _, hint := range []int64{int64(size), -1, int64(size) / 3} { // a client may announce too little
			content := random(size)
			for name, write := range map[string]func(w *objects.PieceWriter) error{
				"Write": func(w *objects.PieceWriter) error {
					for rest := content; len(rest) > 0; {
						n := min(len(rest), 33_333)
						if _, err := w.Write(rest[:n]); err != nil {
							return err
						}
						rest = rest[n:]
					}
					return nil
				},
				"ReadFrom": func(w *objects.PieceWriter) error {
					_, err := w.ReadFrom(iotest.DataErrReader(bytes.NewReader(content)))
					return err
				},
			} {
				t.Run(fmt.Sprint(name, size, "of", hint), func(t *testing.T) {
					w, err := f.NewPiece(t.Context(), objects.PieceOptions{Account: account, Size: hint, Checksums: []objects.Algorithm{objects.SHA256, objects.CRC64NVME}})
					if err != nil {
						t.Fatal(err)
					}
					defer w.Abort()
					if err := write(w); err != nil || w.Size() != int64(size) {
						t.Fatalf("wrote %d bytes: %v", w.Size(), err)
					}
					p, err := w.Finish(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if p.MD5 != md5.Sum(content) || p.Size != int64(size) || p.Checksum(objects.SHA256).Value == "" || p.Checksum(objects.SHA1).Value != "" {
						t.Errorf("got %+v", p)
					}
					o, err := f.Put(t.Context(), objects.Put{Bucket: "bucket", Key: "k", Piece: p})
					if err != nil {
						t.Fatal(err)
					}
					if o.ETag != hex.EncodeToString(p.MD5[:]) || o.Size != int64(size) {
						t.Errorf("got %+v", o)
					}
					if got := f.read(t, o); !bytes.Equal(got, content) {
						t.Errorf("%d bytes are read as others", size)
					}
				})
			}
		}
	}
	if _, err := f.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := f.stored(t); n != 1 {
		t.Errorf("%d files are left of one object", n)
	}
}

func TestAbortedPiecesLeaveNothing(t *testing.T) {
	f := newFixture(t, nil)
	broken := errors.New("the client is gone")
	w, err := f.NewPiece(t.Context(), objects.PieceOptions{Account: account, Size: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ReadFrom(io.MultiReader(bytes.NewReader(random(2<<20)), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if n := f.stored(t); n != 1 {
		t.Errorf("%d files while it is written", n)
	}
	w.Abort()
	w.Abort()
	if _, err := w.Finish(t.Context()); err == nil {
		t.Error("an aborted piece was finished")
	}
	f.Drop(f.write(t, random(10), objects.PieceOptions{Size: 10}))
	_, err = f.Put(t.Context(), objects.Put{Bucket: "absent", Key: "k", Piece: f.write(t, random(10), objects.PieceOptions{Size: 10})})
	if !errors.Is(err, objects.ErrNoSuchBucket) {
		t.Errorf("got %v", err)
	}
	swept, err := f.Sweep(t.Context())
	if err != nil || swept.Removed != 3 {
		t.Errorf("swept %+v, %v, want three pieces", swept, err)
	}
	if n := f.stored(t); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

func TestReadersKeepWhatTheyRead(t *testing.T) {
	f := newFixture(t, nil)
	content := random(100_000)
	o := f.put(t, "k", content)
	r, err := f.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	pin, err := f.Pin(t.Context(), "bucket", "k", "", "import-snap-1")
	if err != nil {
		t.Fatal(err)
	}
	f.put(t, "k", []byte("another"))
	if err := f.Release(t.Context(), pin.ID); err != nil {
		t.Fatal(err)
	}
	if swept, err := f.Sweep(t.Context()); err != nil || swept.Removed != 0 {
		t.Errorf("swept %+v, %v while it is read", swept, err)
	}
	if got := readAll(t, r); !bytes.Equal(got, content) {
		t.Error("it reads other bytes")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if swept, err := f.Sweep(t.Context()); err != nil || swept.Removed != 1 {
		t.Errorf("swept %+v, %v", swept, err)
	}
	if _, err := f.Open(t.Context(), o); !errors.Is(err, objects.ErrNoSuchObject) {
		t.Errorf("got %v", err)
	}
	if _, err := f.OpenPin(t.Context(), pin.ID); !errors.Is(err, objects.ErrNoSuchPin) {
		t.Errorf("got %v", err)
	}
}

func TestPinsOutliveTheirObject(t *testing.T) {
	f := newFixture(t, nil)
	content := random(100_000)
	f.put(t, "k", content)
	if _, err := f.Pin(t.Context(), "bucket", "k", "", "import-snap-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Delete(t.Context(), "bucket", objects.Deletion{Key: "k"}); err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	f.stop()
	f = start(t, f.dir, nil)
	if swept, err := f.Sweep(t.Context()); err != nil || f.stored(t) != 1 {
		t.Errorf("swept %+v, %v", swept, err)
	}
	r, err := f.OpenPin(t.Context(), "import-snap-1")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := readAll(t, r); !bytes.Equal(got, content) {
		t.Error("it reads other bytes")
	}
}

// upload stores an object of parts and returns it with its bytes.
func (f fixture) upload(t testing.TB, key string, e objects.Encryption, sizes ...int) (objects.Object, []byte) {
	t.Helper()
	u, err := f.CreateUpload(t.Context(), objects.Upload{Bucket: "bucket", Key: key, Algorithm: objects.CRC64NVME, ChecksumType: objects.FullObject, Encryption: e})
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	c := objects.Completion{Bucket: "bucket", Key: key, Upload: u.ID, Size: -1}
	for i, size := range sizes {
		content := random(size)
		piece := f.write(t, content, objects.PieceOptions{Size: -1, Checksums: []objects.Algorithm{u.Algorithm}, Encryption: e})
		part, err := f.PutPart(t.Context(), objects.PartPut{Bucket: "bucket", Key: key, Upload: u.ID, Number: i + 1, Piece: piece, Checksum: piece.Checksum(u.Algorithm)})
		if err != nil {
			t.Fatal(err)
		}
		c.Parts = append(c.Parts, objects.CompletedPart{Number: i + 1, ETag: part.ETag})
		all = append(all, content...)
	}
	o, err := f.CompleteUpload(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return o, all
}

func TestReadersReadAcrossPieces(t *testing.T) {
	f := newFixture(t, func(o *objects.Options) { o.Keys = testKeys{} })
	secret, err := f.Encrypt(t.Context(), account, objects.Encryption{Algorithm: "aws:kms", Key: "arn"})
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]objects.Encryption{"plain": {}, "encrypted": secret} {
		t.Run(name, func(t *testing.T) {
			o, content := f.upload(t, "k", e, objects.MinPart, objects.MinPart+3, 77)
			sums, err := f.Hash(t.Context(), o, 0, o.Size, objects.CRC64NVME)
			if err != nil || o.Checksum != sums.Checksum(objects.CRC64NVME) || sums.MD5 != md5.Sum(content) {
				t.Errorf("the object has checksum %v and bytes of %v, %v", o.Checksum, sums.Checksum(objects.CRC64NVME), err)
			}
			r, err := f.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			edges := []int64{0, 1, 15, 16, objects.MinPart - 1, objects.MinPart, objects.MinPart + 1, 2*objects.MinPart + 2, 2*objects.MinPart + 3, o.Size - 1, o.Size}
			for _, off := range edges {
				for _, end := range edges {
					if end >= off {
						checkRange(t, r, content, off, end)
					}
				}
			}
			if n, err := r.ReadAt(make([]byte, 10), o.Size-3); n != 3 || !errors.Is(err, io.EOF) {
				t.Errorf("read %d bytes at the end, %v", n, err)
			}
			for _, bad := range [][2]int64{{-1, 1}, {0, o.Size + 1}, {o.Size, 1}, {0, -1}, {1, 1<<63 - 1}} {
				if _, err := r.CopyRange(io.Discard, bad[0], bad[1]); !errors.Is(err, objects.ErrRange) {
					t.Errorf("%v: got %v", bad, err)
				}
			}
			var covered int64
			for off := int64(0); off < o.Size; {
				start, end, err := r.NextData(off)
				if err != nil || start != off || end <= start {
					t.Fatalf("data at %d: %d to %d, %v", off, start, end, err)
				}
				covered, off = covered+end-start, end
			}
			if covered != o.Size {
				t.Errorf("%d bytes of data", covered)
			}
		})
	}
}

// TestZerosAreHoles: runs of zeros are not written, and a reader knows them, at least until
// they are in the page cache.
func TestZerosAreHoles(t *testing.T) {
	f := newFixture(t, nil)
	content := make([]byte, 6<<20+5)
	copy(content[1<<20:], random(1<<20))
	content[4<<20] = 1
	o := f.put(t, "k", content)
	r, err := f.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var data []string
	for off := int64(0); ; {
		start, end, err := r.NextData(off)
		if err != nil {
			t.Fatal(err)
		}
		if start == end {
			break
		}
		data = append(data, fmt.Sprintf("%d-%d", start>>20, end>>20))
		off = end
	}
	if got := strings.Join(data, " "); got != "1-2 4-5" {
		t.Errorf("MiB with data are %s", got)
	}
	if got := readAll(t, r); !bytes.Equal(got, content) {
		t.Error("it reads other bytes")
	}
	if empty := f.put(t, "zeros", make([]byte, 3<<20)); len(f.read(t, empty)) != 3<<20 {
		t.Error("an object of zeros is shorter")
	}
}

// TestSweepsHurtNobody writes, reads, copies and deletes while sweeps run.
func TestSweepsHurtNobody(t *testing.T) {
	f := newFixture(t, nil)
	content := random(20_000)
	f.put(t, "k0", content)
	sweeping, stop := context.WithCancel(t.Context())
	var sweeper, users sync.WaitGroup
	sweeper.Go(func() {
		for sweeping.Err() == nil {
			if _, err := f.Sweep(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	for user := range 4 {
		users.Go(func() {
			for i := range 15 {
				if err := f.use(t.Context(), user, i, content); err != nil {
					t.Error(err)
				}
			}
		})
	}
	users.Wait()
	stop()
	sweeper.Wait()
	if _, err := f.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err := f.List(t.Context(), objects.ListQuery{Bucket: "bucket", Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	contents := map[objects.ContentID]bool{}
	for _, o := range page.Objects {
		contents[o.Content] = true
	}
	if n := f.stored(t); n != len(contents) {
		t.Errorf("%d files are left of %d contents", n, len(contents))
	}
}

// use does one of what users do to an object, with others at the same time.
func (f fixture) use(ctx context.Context, user, i int, content []byte) error {
	key := fmt.Sprint("k", i%3)
	if user == 0 {
		_, err := f.tryPut(ctx, key, content)
		return err
	}
	if user == 1 && i%2 == 0 {
		_, err := f.Delete(ctx, "bucket", objects.Deletion{Key: key})
		return err
	}
	o, err := f.Object(ctx, "bucket", key, "")
	if err == nil && user == 2 {
		_, err = f.Copy(ctx, objects.Copy{Source: o, Bucket: "bucket", Key: "copy"})
	} else if err == nil {
		err = f.compare(ctx, o, content)
	}
	if errors.Is(err, objects.ErrNoSuchObject) {
		return nil // deleted meanwhile
	}
	return err
}

func (f fixture) compare(ctx context.Context, o objects.Object, content []byte) error {
	r, err := f.Open(ctx, o)
	if err != nil {
		return err
	}
	defer r.Close()
	var got bytes.Buffer
	if _, err := r.CopyRange(&got, 0, r.Size()); err != nil {
		return err
	}
	if !bytes.Equal(got.Bytes(), content) {
		return errors.New("it reads other bytes")
	}
	return nil
}

func checkRange(t *testing.T, r *objects.Reader, content []byte, off, end int64) {
	t.Helper()
	got := make([]byte, end-off)
	if n, err := r.ReadAt(got, off); n != len(got) && len(got) > 0 || err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("%d to %d: read %d bytes, %v", off, end, n, err)
	}
	var sent bytes.Buffer
	if n, err := r.CopyRange(&sent, off, end-off); n != end-off || err != nil {
		t.Errorf("%d to %d: sent %d bytes, %v", off, end, n, err)
	}
	if want := content[off:end]; !bytes.Equal(got, want) || !bytes.Equal(sent.Bytes(), want) {
		t.Errorf("%d to %d: other bytes", off, end)
	}
}

// testKeys wraps data keys by not wrapping them.
type testKeys struct{}

func (testKeys) NewDataKey(context.Context, string, objects.Encryption) (key, wrapped []byte, err error) {
	key = random(32)
	return key, bytes.Clone(key), nil
}

func (testKeys) OpenDataKey(_ context.Context, _ string, e objects.Encryption) ([]byte, error) {
	if e.Key != "arn" {
		return nil, errors.New("the key is disabled")
	}
	return bytes.Clone(e.DataKey), nil
}

func TestEncryptedAtRest(t *testing.T) {
	f := newFixture(t, func(o *objects.Options) { o.Keys = testKeys{} })
	e, err := f.Encrypt(t.Context(), account, objects.Encryption{Algorithm: "aws:kms", Key: "arn"})
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("planted secret "), 100_000)
	o, err := f.Put(t.Context(), objects.Put{Bucket: "bucket", Key: "k", Encryption: e, Piece: f.write(t, content, objects.PieceOptions{Size: -1, Encryption: e})})
	if err != nil {
		t.Fatal(err)
	}
	err = f.files.List(t.Context(), func(entry blobdirEntry) error {
		b := make([]byte, entry.Bytes)
		if _, err := f.files.ReadAt(t.Context(), entry.Name, b, 0); err != nil {
			return err
		}
		if bytes.Contains(b, []byte("planted")) {
			t.Errorf("%s holds it as it is", entry.Name)
		}
		return nil
	})
	if err != nil || f.stored(t) != 1 {
		t.Error(err)
	}
	if got := f.read(t, o); !bytes.Equal(got, content) {
		t.Error("it reads other bytes")
	}
	found, err := f.Object(t.Context(), "bucket", "k", "")
	if err != nil || found.Encryption.Key != "arn" || !found.Encryption.Encrypted() {
		t.Errorf("got %+v, %v", found.Encryption, err)
	}
	copied, err := f.Copy(t.Context(), objects.Copy{Source: found, Bucket: "bucket", Key: "copy"})
	if err != nil || !bytes.Equal(f.read(t, copied), content) {
		t.Errorf("the copy: %v", err)
	}
	u, err := f.CreateUpload(t.Context(), objects.Upload{Bucket: "bucket", Key: "l"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.CopyPart(t.Context(), objects.PartCopy{Bucket: "bucket", Key: "l", Upload: u.ID, Number: 1, Source: found, Len: -1}); !errors.Is(err, objects.ErrEncryption) {
		t.Errorf("a part of it in an upload that is not encrypted: %v", err)
	}
	_, err = f.Put(t.Context(), objects.Put{Bucket: "bucket", Key: "m", Encryption: e, Piece: f.write(t, content, objects.PieceOptions{Size: -1})})
	if !errors.Is(err, objects.ErrEncryption) {
		t.Errorf("a piece that is not encrypted, said to be: %v", err)
	}
	f.stop()
	f = start(t, f.dir, nil)
	if _, err := f.Open(t.Context(), found); !errors.Is(err, objects.ErrKeyNeeded) {
		t.Errorf("without a KMS: %v", err)
	}
	if _, err := f.Encrypt(t.Context(), account, objects.Encryption{Algorithm: "aws:kms"}); !errors.Is(err, objects.ErrKeyNeeded) {
		t.Errorf("without a KMS: %v", err)
	}
}

// countedKeys counts what the KMS is asked for.
type countedKeys struct {
	testKeys
	made, opened atomic.Int32
}

func (k *countedKeys) NewDataKey(ctx context.Context, account string, e objects.Encryption) (key, wrapped []byte, err error) {
	k.made.Add(1)
	return k.testKeys.NewDataKey(ctx, account, e)
}

func (k *countedKeys) OpenDataKey(ctx context.Context, account string, e objects.Encryption) ([]byte, error) {
	k.opened.Add(1)
	return k.testKeys.OpenDataKey(ctx, account, e)
}

// TestOneCallOfTheKMS: an object is stored with the key that was just made for it.
func TestOneCallOfTheKMS(t *testing.T) {
	keys := &countedKeys{}
	f := newFixture(t, func(o *objects.Options) { o.Keys = keys })
	e, err := f.Encrypt(t.Context(), account, objects.Encryption{Algorithm: "aws:kms", Key: "arn"})
	if err != nil {
		t.Fatal(err)
	}
	content := random(100_000)
	o, err := f.Put(t.Context(), objects.Put{Bucket: "bucket", Key: "k", Encryption: e, Piece: f.write(t, content, objects.PieceOptions{Size: -1, Encryption: e})})
	if err != nil {
		t.Fatal(err)
	}
	if made, opened := keys.made.Load(), keys.opened.Load(); made != 1 || opened != 0 {
		t.Errorf("storing it made %d keys and opened %d", made, opened)
	}
	if got := f.read(t, o); !bytes.Equal(got, content) {
		t.Error("it reads other bytes")
	}
	if opened := keys.opened.Load(); opened != 1 {
		t.Errorf("reading it opened %d keys", opened)
	}
}

func TestCopiedPartsAreRanges(t *testing.T) {
	f := newFixture(t, nil)
	source, content := f.upload(t, "from", objects.Encryption{}, objects.MinPart, objects.MinPart)
	files := f.stored(t)
	u, err := f.CreateUpload(t.Context(), objects.Upload{Bucket: "bucket", Key: "to", Algorithm: objects.CRC32, ChecksumType: objects.FullObject})
	if err != nil {
		t.Fatal(err)
	}
	c := objects.Completion{Bucket: "bucket", Key: "to", Upload: u.ID, Size: -1}
	var want []byte
	for i, r := range [][2]int64{{100, objects.MinPart}, {objects.MinPart - 5, 10}} {
		part, err := f.CopyPart(t.Context(), objects.PartCopy{Bucket: "bucket", Key: "to", Upload: u.ID, Number: i + 1, Source: source, Off: r[0], Len: r[1]})
		if err != nil || part.ETag != fmt.Sprintf("%x", md5.Sum(content[r[0]:r[0]+r[1]])) || part.Checksum.Algorithm != objects.CRC32 {
			t.Fatalf("got %+v, %v", part, err)
		}
		c.Parts = append(c.Parts, objects.CompletedPart{Number: i + 1, ETag: part.ETag})
		want = append(want, content[r[0]:r[0]+r[1]]...)
	}
	for _, bad := range [][2]int64{{-1, 5}, {source.Size, 1}, {1, source.Size}} {
		_, err := f.CopyPart(t.Context(), objects.PartCopy{Bucket: "bucket", Key: "to", Upload: u.ID, Number: 3, Source: source, Off: bad[0], Len: bad[1]})
		if !errors.Is(err, objects.ErrRange) {
			t.Errorf("%v: got %v", bad, err)
		}
	}
	o, err := f.CompleteUpload(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.read(t, o); !bytes.Equal(got, want) {
		t.Error("it reads other bytes")
	}
	if n := f.stored(t); n != files {
		t.Errorf("copying made %d files", n-files)
	}
}

func TestQuotaAndSpaceAreAskedFirst(t *testing.T) {
	free := int64(1 << 20)
	var mu sync.Mutex
	f := newFixture(t, func(o *objects.Options) {
		o.Quota = 2 << 20
		o.Free = func() (int64, error) { mu.Lock(); defer mu.Unlock(); return free, nil }
	})
	if _, err := f.NewPiece(t.Context(), objects.PieceOptions{Account: account, Size: 1<<20 + 1}); !errors.Is(err, objects.ErrNoSpace) {
		t.Errorf("larger than the disk: %v", err)
	}
	w, err := f.NewPiece(t.Context(), objects.PieceOptions{Account: account, Size: -1})
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	free = 0
	mu.Unlock()
	if _, err := w.ReadFrom(bytes.NewReader(random(3 << 20))); !errors.Is(err, objects.ErrNoSpace) {
		t.Errorf("as the disk fills up: %v", err)
	}
	if _, err := w.Finish(t.Context()); !errors.Is(err, objects.ErrNoSpace) {
		t.Errorf("finished: %v", err)
	}
	mu.Lock()
	free = 1 << 40
	mu.Unlock()
	f.put(t, "k", random(2<<20))
	_, err = f.Put(t.Context(), objects.Put{Bucket: "bucket", Key: "l", Piece: f.write(t, random(1), objects.PieceOptions{Size: 1})})
	if !errors.Is(err, objects.ErrQuota) {
		t.Errorf("beyond the quota: %v", err)
	}
	if _, err := f.Sweep(t.Context()); err != nil || f.stored(t) != 1 {
		t.Errorf("%d files are left, %v", f.stored(t), err)
	}
}

func TestDamageIsFound(t *testing.T) {
	f := newFixture(t, nil)
	o := f.put(t, "k", random(100_000))
	var name string
	err := f.files.List(t.Context(), func(e blobdirEntry) error { name = e.Name; return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range []struct {
		what string
		hurt func() error
	}{
		{"cut", func() error { return truncate(filepath.Join(f.dir, "objects", name), 50_000) }},
		{"removed", func() error { return f.files.Remove(t.Context(), name) }},
	} {
		what := damage.what
		if err := damage.hurt(); err != nil {
			t.Fatal(err)
		}
		r, err := f.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.ReadAt(make([]byte, o.Size), 0); !errors.Is(err, objects.ErrDamaged) {
			t.Errorf("%s: ReadAt: %v", what, err)
		}
		if _, err := r.CopyRange(io.Discard, 0, o.Size); !errors.Is(err, objects.ErrDamaged) {
			t.Errorf("%s: CopyRange: %v", what, err)
		}
		_ = r.Close()
	}
}

func TestValidBucketName(t *testing.T) {
	for name, want := range map[string]bool{
		"abc": true, "a-b": true, "a.b": true, "1-2": true, strings.Repeat("a", 63): true, "a--b": true,
		"ab": false, strings.Repeat("a", 64): false, "Abc": false, "a_b": false, "-ab": false, "ab-": false, ".ab": false, "ab.": false,
		"a..b": false, "a.-b": false, "a-.b": false, "192.168.1.1": false, "xn--a": false, "sthree-a": false, "a-s3alias": false, "a--ol-s3": false, "": false, "a/b": false,
	} {
		if got := objects.ValidBucketName(name); got != want {
			t.Errorf("%q: %t", name, got)
		}
	}
}

var _ diskimage.SparseReaderAt = (*objects.Reader)(nil)
