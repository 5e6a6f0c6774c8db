package blobs3_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/diskport/diskport/internal/store/blobs3"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
)

// ownOptions are those of a new bucket in the embedded S3.
func ownOptions(t testing.TB) blobs3.Options {
	t.Helper()
	return blobs3.Options{
		Endpoint: own.URL, Bucket: bucketAt(t, own.URL, ownKeys), Prefix: "some/prefix/", Credentials: ownKeys, Backoff: time.Millisecond,
	}
}

func TestBackend(t *testing.T) {
	b := open(t, ownOptions(t))
	if err := b.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	blobtest.Run(t, b)
}

// TestOverTLS: what is sent is hashed by TLS alone.
func TestOverTLS(t *testing.T) {
	o := ownOptions(t)
	o.Endpoint = ownTLS.URL
	b := open(t, o)
	blobs3.SetTLS(b, &tls.Config{RootCAs: ownTLS.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs})
	for name, size := range map[string]int{"root/01/1": blockstore.Align, "pack/01/2": part + blockstore.Align} {
		w, data := create(t, b, name), content(size)
		write(t, w, data, 0)
		if err := w.Close(t.Context(), int64(size)); err != nil {
			t.Fatal(err)
		}
		same(t, b, name, data)
	}
}

// TestBackendElsewhere is TestBackend on an S3 that shares no code with the embedded one. It
// ignores the condition of CompleteMultipartUpload, as Probe finds out; with that put before
// it, it will do.
func TestBackendElsewhere(t *testing.T) {
	store := s3mem.New()
	if err := store.CreateBucket("blocks"); err != nil {
		t.Fatal(err)
	}
	var conditions atomic.Bool
	server := gofakes3.New(store).Server()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conditions.Load() && r.Method == http.MethodPost && r.Header.Get("If-None-Match") == "*" {
			_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
			if _, err := store.HeadObject("blocks", key); err == nil {
				w.WriteHeader(http.StatusPreconditionFailed)
				return
			}
		}
		server.ServeHTTP(w, r)
	}))
	defer other.Close()
	b := open(t, blobs3.Options{Endpoint: other.URL, Bucket: "blocks", Prefix: "store/", Credentials: ownKeys, Backoff: time.Millisecond})
	if err := b.Probe(t.Context()); !errors.Is(err, blobs3.ErrUnfit) || !strings.Contains(err.Error(), "CompleteMultipartUpload ignores If-None-Match") {
		t.Errorf("probing gives %v", err)
	}
	conditions.Store(true)
	if err := b.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	blobtest.Run(t, b)
	w, data := create(t, b, "pack/01/1"), content(2*part+5*blockstore.Align)
	write(t, w, data, 0)
	if err := w.Close(t.Context(), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	same(t, b, "pack/01/1", data)
}

// TestBackendGiven is TestBackend on the S3 that a person names, with the keys that stand
// in AWS's variables: docs/store.md says which were tried so.
func TestBackendGiven(t *testing.T) {
	endpoint := os.Getenv("TEST_S3_ENDPOINT")
	if endpoint == "" {
		return
	}
	keys := credentials.NewStaticCredentialsProvider(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), "")
	b := open(t, blobs3.Options{Endpoint: endpoint, Bucket: bucketAt(t, endpoint, keys), Prefix: "store/", Credentials: keys})
	if err := b.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	blobtest.Run(t, b)
	w, data := create(t, b, "pack/01/1"), content(2*part+5*blockstore.Align)
	write(t, w, data, 0)
	if names := list(t, b); !slices.Equal(names, []string{"pack/01/1"}) {
		t.Errorf("list gives %q", names)
	}
	if err := w.Close(t.Context(), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	same(t, b, "pack/01/1", data)
	if err := b.Remove(t.Context(), "pack/01/1"); err != nil {
		t.Error(err)
	}
}

// TestChangedOnTheWay changes a bit of every body that is sent for the first time.
func TestChangedOnTheWay(t *testing.T) {
	var changed sync.Map
	way := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			if hash := r.Header.Get("X-Amz-Content-Sha256"); hash != "UNSIGNED-PAYLOAD" {
				t.Errorf("%s has the signed hash %s", r.URL, hash)
			}
			if _, again := changed.LoadOrStore(r.URL.String(), true); !again {
				r.Body = struct {
					io.Reader
					io.Closer
				}{io.MultiReader(flipped{io.LimitReader(r.Body, 1)}, r.Body), r.Body}
			}
		}
		own.Config.Handler.ServeHTTP(w, r)
	}))
	defer way.Close()
	o := ownOptions(t)
	o.Endpoint, o.Backoff = way.URL, time.Millisecond
	b := open(t, o)
	for _, size := range []int{5 * blockstore.Align, 2*part + blockstore.Align} {
		name := fmt.Sprint("pack/01/", size)
		w, data := create(t, b, name), content(size)
		write(t, w, data, 0)
		if err := w.Close(t.Context(), int64(size)); err != nil {
			t.Fatal(err)
		}
		same(t, b, name, data)
	}
	sent := 0
	changed.Range(func(any, any) bool { sent++; return true })
	if sent != 4 { // a file, and three parts
		t.Errorf("%d bodies were sent", sent)
	}
}

// flipped has the lowest bit of each byte another.
type flipped struct{ io.Reader }

func (f flipped) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	for i := range p[:n] {
		p[i] ^= 1
	}
	return n, err
}

// twoNodes returns the back ends of two nodes on one store.
func twoNodes(t *testing.T) (a, b *blobs3.Bucket) {
	o := ownOptions(t)
	return open(t, o), open(t, o)
}

const part = blobs3.PartBytes

// content returns n bytes, aligned, which differ from part to part.
func content(n int) []byte {
	p := blockstore.AlignedBytes(n)
	for i := 0; i+8 <= n; i += 8 {
		binary.LittleEndian.PutUint64(p[i:], uint64(i)*0x9e3779b97f4a7c15+1)
	}
	return p
}

// same fails t unless b has a file of these bytes.
func same(t *testing.T, b *blobs3.Bucket, name string, want []byte) {
	t.Helper()
	got := make([]byte, len(want)+1)
	if n, err := b.ReadAt(t.Context(), name, got, 0); n != len(want) || !errors.Is(err, io.EOF) || !bytes.Equal(got[:n], want) {
		t.Errorf("%s: %d bytes, %v, want %d", name, n, err, len(want))
	}
}

func create(t *testing.T, b *blobs3.Bucket, name string) blockstore.Writer {
	t.Helper()
	w, err := b.Create(t.Context(), name, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func write(t *testing.T, w blockstore.Writer, data []byte, off int) {
	t.Helper()
	if err := w.WriteAt(t.Context(), [][]byte{data}, int64(off)); err != nil {
		t.Fatal(err)
	}
}

// TestFilesOfSeveralParts writes files around the boundaries of parts, in the order of packs
// (several writers, pieces that don't fit into parts) and in others.
func TestFilesOfSeveralParts(t *testing.T) {
	b := open(t, ownOptions(t))
	const piece = 1032 * blockstore.Align // as long as a group of frames
	for name, tt := range map[string]struct {
		size, written int
		order         func(pieces []int)
	}{
		"exactly one part":       {part, part, nil},
		"a byte less":            {part - 1, part, nil},
		"a little more":          {part + 1, part + blockstore.Align, nil},
		"exactly two parts":      {2 * part, 2 * part, nil},
		"two parts, cut":         {2*part - 100, 2 * part, nil},
		"backwards":              {2*part + 5*blockstore.Align, 2*part + 5*blockstore.Align, slices.Reverse[[]int]},
		"longer than what it is": {2*part + 1000, part / 2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := "pack/01/" + strings.ReplaceAll(name, " ", "-")
			data := content(tt.written)
			var pieces []int
			for off := 0; off < len(data); off += piece {
				pieces = append(pieces, off)
			}
			if tt.order != nil {
				tt.order(pieces)
			}
			w := create(t, b, file)
			for _, off := range pieces {
				end := min(off+piece, len(data))
				v := slices.Collect(slices.Chunk(data[off:end], 129*blockstore.Align))
				if err := w.WriteAt(t.Context(), v, int64(off)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := b.ReadAt(t.Context(), file, make([]byte, 1), 0); !errors.Is(err, blockstore.ErrNotExist) {
				t.Errorf("before it is closed: %v", err)
			}
			if err := w.Close(t.Context(), int64(tt.size)); err != nil {
				t.Fatal(err)
			}
			want := make([]byte, tt.size)
			copy(want, data)
			same(t, b, file, want)
			if err := b.Remove(t.Context(), file); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNothingIsWrittenTwice: a part may be stored already.
func TestNothingIsWrittenTwice(t *testing.T) {
	b := open(t, ownOptions(t))
	w := create(t, b, "pack/01/1")
	data := content(part + 4*blockstore.Align)
	write(t, w, data, 0)
	for _, off := range []int{0, part - blockstore.Align, part, part + 3*blockstore.Align} {
		if err := w.WriteAt(t.Context(), [][]byte{data[:2*blockstore.Align]}, int64(off)); err == nil {
			t.Errorf("bytes at %d were written twice", off)
		}
	}
	if err := w.Close(t.Context(), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	same(t, b, "pack/01/1", data)
}

// TestRemovedByAnotherNode: what one node removes another can't close, whatever it has
// stored by then, and finds that out without hurting anything.
func TestRemovedByAnotherNode(t *testing.T) {
	a, b := twoNodes(t)
	for name, size := range map[string]int{"in memory": blockstore.Align, "in part stored": 2*part + blockstore.Align} {
		t.Run(name, func(t *testing.T) {
			file := "pack/01/" + strings.ReplaceAll(name, " ", "-")
			w := create(t, a, file)
			write(t, w, content(size), 0)
			if err := b.Remove(t.Context(), file); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(t.Context(), int64(size)); !errors.Is(err, blockstore.ErrNotExist) {
				t.Errorf("closing it gave %v", err)
			}
			if err := w.Abort(); err != nil {
				t.Error(err)
			}
			if names := list(t, b); len(names) > 0 {
				t.Errorf("%q are left", names)
			}
			again := create(t, b, file)
			write(t, again, content(size), 0)
			if err := again.Close(t.Context(), int64(size)); !errors.Is(err, blockstore.ErrNotExist) {
				t.Errorf("closing another file of that name gave %v", err)
			}
		})
	}
}

// TestLeftBehind: uploads of a node that died are listed as open, and go.
func TestLeftBehind(t *testing.T) {
	a, b := twoNodes(t)
	const file = "pack/01/1"
	write(t, create(t, a, file), content(part+blockstore.Align), 0) // its first part is on its way
	found := false
	for !found {
		if err := b.List(t.Context(), func(e blockstore.Entry) error {
			found = e == blockstore.Entry{Name: file}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Remove(t.Context(), file); err != nil {
		t.Error(err)
	}
	if names := list(t, b); len(names) > 0 {
		t.Errorf("%q are left", names)
	}
}

// TestOneOfTwoWriters: names are used once, but if two nodes write one, the first file stays.
func TestOneOfTwoWriters(t *testing.T) {
	a, b := twoNodes(t)
	const file = "root/01/1"
	first, second := create(t, a, file), create(t, b, file)
	data := content(2 * blockstore.Align)
	write(t, first, data[:blockstore.Align], 0)
	write(t, second, data[blockstore.Align:], 0)
	if err := first.Close(t.Context(), blockstore.Align); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(second.Close(t.Context(), blockstore.Align)); !errors.Is(err, os.ErrExist) {
		t.Errorf("closing the second gave %v", err)
	}
	if err := second.Abort(); err != nil {
		t.Error(err)
	}
	same(t, b, file, data[:blockstore.Align])
}

// TestMarksLeave: after as long as what was set aside, and not before no writer is left.
func TestMarksLeave(t *testing.T) {
	o := ownOptions(t)
	ahead := time.Duration(0)
	o.Now = func() time.Time { return time.Now().Add(ahead) }
	b := open(t, o)
	const file = "pack/01/1"
	if err := b.Remove(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	closes := func() error {
		w := create(t, b, file)
		return errors.Join(w.Close(t.Context(), 0), w.Abort())
	}
	for _, before := range []time.Duration{-time.Hour, 24 * time.Hour, 48 * time.Hour} { // of what was set aside
		if _, err := b.Purge(t.Context(), time.Now().Add(before)); err != nil {
			t.Fatal(err)
		}
		if closes() == nil {
			t.Fatal("the mark has left too early")
		}
	}
	ahead = 49 * time.Hour
	if _, err := b.Purge(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := closes(); err != nil {
		t.Errorf("after the mark has left: %v", err)
	}
}

// TestProbesThatWereCutOff: what they left leaves once they can't be under way any more.
func TestProbesThatWereCutOff(t *testing.T) {
	o := ownOptions(t)
	ahead := time.Duration(0)
	o.Now = func() time.Time { return time.Now().Add(ahead) }
	b, c := open(t, o), s3.New(s3.Options{Region: region, BaseEndpoint: &o.Endpoint, UsePathStyle: true, Credentials: ownKeys})
	key := aws.String(o.Prefix + ".probe-OF-SOMEBODY")
	if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &o.Bucket, Key: key, Body: strings.NewReader("probe")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &o.Bucket, Key: key}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		ahead time.Duration
		want  int
	}{{0, 2}, {50 * time.Minute, 2}, {70 * time.Minute, 0}} {
		ahead = step.ahead
		if _, err := b.Purge(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		objects, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &o.Bucket})
		if err != nil {
			t.Fatal(err)
		}
		uploads, err := c.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &o.Bucket})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(objects.Contents) + len(uploads.Uploads); got != step.want {
			t.Errorf("%v later there are %d objects and uploads, want %d", step.ahead, got, step.want)
		}
	}
}

// TestAWriterGrowsOld: it can't close its file when a mark may have left.
func TestAWriterGrowsOld(t *testing.T) {
	o := ownOptions(t)
	ahead := time.Duration(0)
	o.Now = func() time.Time { return time.Now().Add(ahead) }
	b := open(t, o)
	w := create(t, b, "pack/01/1")
	ahead = 25 * time.Hour
	if w.Close(t.Context(), 0) == nil {
		t.Error("it was closed after 25 hours")
	}
}

// TestAFileLikeAMark: only what has the mark's metadata is one.
func TestAFileLikeAMark(t *testing.T) {
	b := open(t, ownOptions(t))
	const file = "root/01/1"
	text := []byte("This file was removed. What stands here keeps it from being written again, and will leave by itself.\n")
	data := blockstore.AlignedBytes(blockstore.Align)
	copy(data, "other"+string(text[5:]))
	w := create(t, b, file)
	write(t, w, data, 0)
	if err := w.Close(t.Context(), int64(len(text))); err != nil {
		t.Fatal(err)
	}
	same(t, b, file, data[:len(text)])
	if names := list(t, b); !slices.Equal(names, []string{file}) {
		t.Errorf("list gives %q", names)
	}
}

func list(t *testing.T, b *blobs3.Bucket) (names []string) {
	t.Helper()
	if err := b.List(t.Context(), func(e blockstore.Entry) error { names = append(names, e.Name); return nil }); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestNames(t *testing.T) {
	b := open(t, ownOptions(t))
	for _, name := range []string{"", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "identity", "identity/x", "aside/x", ".probe"} {
		if _, err := b.Create(t.Context(), name, 0); err == nil {
			t.Errorf("%q was created", name)
		}
		if _, err := b.ReadAt(t.Context(), name, nil, 0); err == nil || errors.Is(err, blockstore.ErrNotExist) {
			t.Errorf("reading %q gave %v", name, err)
		}
		if err := b.Remove(t.Context(), name); err == nil {
			t.Errorf("%q was removed", name)
		}
	}
}
