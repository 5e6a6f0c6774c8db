package objectstest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/diskport/diskport/internal/imports/objects"
)

// counter gives numbers, each once.
type counter struct{ n atomic.Int64 }

func (c *counter) next() int64 { return c.n.Add(1) }

// together runs fn n times at once.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}

const many = 8

func oneOfManyIsNew(t *testing.T, b bench) {
	b.bucket(t, "b")
	var stored atomic.Int64
	together(many, func(i int) {
		_, err := b.Store.Put(t.Context(), objects.Put{Bucket: "b", Key: "k", Piece: b.piece(t, int64(i+1)), If: objects.Conditions{NoneMatch: "*"}}, change(0))
		switch {
		case err == nil:
			stored.Add(1)
		case !errors.Is(err, objects.ErrPrecondition):
			t.Error(err)
		}
	})
	if n := stored.Load(); n != 1 {
		t.Errorf("%d were the first", n)
	}
}

func concurrentPuts(t *testing.T, b bench) {
	for _, v := range []objects.Versioning{objects.Unversioned, objects.Enabled, objects.Suspended} {
		name := "b-" + strings.ToLower(string(v))
		b.bucket(t, name)
		if v != objects.Unversioned {
			if err := b.Store.SetVersioning(t.Context(), name, v); err != nil {
				t.Fatal(err)
			}
		}
		together(many, func(i int) {
			if _, err := b.Store.Put(t.Context(), objects.Put{Bucket: name, Key: "k", Piece: b.piece(t, 1)}, change(i%2)); err != nil {
				t.Error(err)
			}
			if i%4 == 3 {
				if _, err := b.Store.Delete(t.Context(), name, []objects.Deletion{{Key: "k"}}, change(0)); err != nil {
					t.Error(err)
				}
			}
		})
		list, err := b.Store.Versions(t.Context(), objects.KeyRange{Bucket: name, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		latest := 0
		for _, o := range list {
			if o.Latest {
				latest++
			}
		}
		if want := map[objects.Versioning]int{objects.Enabled: many + many/4}[v]; want != 0 && len(list) != want || latest > 1 || v != objects.Unversioned && latest != 1 {
			t.Errorf("versioning %q: %d versions, %d of them the latest", v, len(list), latest)
		}
	}
}

func concurrentUpload(t *testing.T, b bench) {
	b.bucket(t, "b")
	u := b.upload(t, "b", "k", objects.Upload{})
	one := b.part(t, u, 1, minPart)
	last := objects.CompletedPart{Number: 2, ETag: "0a"}
	put := func() error {
		return b.Store.PutPart(t.Context(), objects.NewPart{Bucket: "b", Key: "k", Upload: u.ID, Part: objects.Part{Number: 2, Size: 5, ETag: "0a"}, Piece: b.piece(t, 5).ID}, change(0))
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	var ended atomic.Int64
	together(many, func(i int) {
		var err error
		switch i % 4 {
		case 0, 1:
			err = put()
		case 2:
			if _, err = b.Store.CompleteUpload(t.Context(), complete(u, one, last), change(0)); err == nil {
				ended.Add(1)
			}
		case 3:
			if err = b.Store.AbortUpload(t.Context(), "b", "k", u.ID); err == nil {
				ended.Add(1)
			}
		}
		if err != nil && !errors.Is(err, objects.ErrNoSuchUpload) {
			t.Error(err)
		}
	})
	if ended.Load() == 0 {
		t.Error("the upload did not end")
	}
	if got := b.size(t, "b", "k", ""); got != -1 && got != minPart+5 {
		t.Errorf("the object has %d bytes", got)
	}
}

func concurrentCopies(t *testing.T, b bench) {
	b.bucket(t, "b")
	b.mustPut(t, "b", "from", 3)
	source, err := b.Store.Object(t.Context(), "b", "from", "")
	if err != nil {
		t.Fatal(err)
	}
	together(many, func(i int) {
		var err error
		switch i % 4 {
		case 0, 1:
			_, err = b.Store.Copy(t.Context(), objects.Copy{Source: source, Bucket: "b", Key: fmt.Sprint("to", i)}, change(0))
		case 2:
			_, err = b.Store.Delete(t.Context(), "b", []objects.Deletion{{Key: "from"}}, change(0))
		case 3:
			_, err = b.Store.Pin(t.Context(), "b", "from", "", fmt.Sprint("pin", i))
		}
		if err != nil && !errors.Is(err, objects.ErrNoSuchObject) {
			t.Error(err)
		}
	})
	keys := b.keysOf(t, objects.KeyRange{Bucket: "b"})
	for _, key := range keys {
		o, err := b.Store.Object(t.Context(), "b", key, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Store.Content(t.Context(), o.Content); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}
