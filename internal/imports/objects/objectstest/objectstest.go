// Package objectstest is the suite that every objects.Store passes.
package objectstest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// asStored compares what is stored: the cipher of a key that was just made is not.
var asStored = cmpopts.IgnoreUnexported(objects.Encryption{})

// Bench is a store under test, empty.
type Bench struct {
	Store objects.Store
	Holds snapshot.Holds // of the same database
	// Check reports whether everything that the store counts is what there is: names of
	// contents, extents of pieces, bytes of accounts. It runs at the end of every test.
	Check func(t *testing.T)
}

// Test runs the suite; open returns an empty bench.
func Test(t *testing.T, open func(t *testing.T) Bench) {
	for name, fn := range map[string]func(*testing.T, bench){
		"BucketsHaveOneOwner":          bucketsHaveOneOwner,
		"BucketsAreListedByName":       bucketsAreListed,
		"OnlyEmptyBucketsGo":           onlyEmptyBucketsGo,
		"SettingsAreTheirBuckets":      settings,
		"PutReplaces":                  putReplaces,
		"KeysAreOpaque":                keysAreOpaque,
		"ConditionsHoldOrNothingIs":    conditions,
		"OneOfManyIsNew":               oneOfManyIsNew,
		"DeletedIsGone":                deletedIsGone,
		"DeletionsAreEachTheirOwn":     deletionsAreEachTheirOwn,
		"CopiesShareTheirBytes":        copiesShare,
		"TagsReplaceTags":              tagsReplace,
		"VersionsStay":                 versionsStay,
		"SuspendedKeepsOneNullVersion": suspended,
		"VersionsAreListedNewestFirst": versionsAreListed,
		"KeysAreListedInOrder":         keysAreListed,
		"PartsBecomeAnObject":          partsBecomeAnObject,
		"PartsAreEncryptedAlike":       partsAreEncryptedAlike,
		"CompletionsRepeat":            completionsRepeat,
		"AbortedIsGone":                abortedIsGone,
		"UploadsAreListed":             uploadsAreListed,
		"UploadsExpire":                uploadsExpire,
		"PartsOfObjects":               partsOfObjects,
		"PinsKeepBytes":                pinsKeepBytes,
		"GarbageIsWhatNothingNames":    garbage,
		"PiecesHaveProofsAndUses":      proofs,
		"AHoldKeepsGarbage":            heldGarbage,
		"OpenPiecesOfTheDeadAreFreed":  openPieces,
		"QuotasHold":                   quotas,
		"ConcurrentPutsLeaveOne":       concurrentPuts,
		"ConcurrentEventsOfAnUpload":   concurrentUpload,
		"ConcurrentCopiesAndDeletions": concurrentCopies,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			fn(t, bench{Bench: b, pieces: &counter{}})
			b.Check(t)
		})
	}
}

const (
	account = "111111111111"
	other   = "222222222222"
	writer  = 7
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)

// bench is a Bench with the numbers of its pieces.
type bench struct {
	Bench
	pieces *counter
}

// bucket makes a bucket.
func (b bench) bucket(t *testing.T, name string) {
	t.Helper()
	err := b.Store.CreateBucket(t.Context(), objects.Bucket{Name: name, Account: account, Region: "us-east-1", Created: at})
	if err != nil {
		t.Fatal(err)
	}
}

// versions makes a bucket with versioning.
func (b bench) versions(t *testing.T, name string, v objects.Versioning) {
	t.Helper()
	b.bucket(t, name)
	if err := b.Store.SetVersioning(t.Context(), name, v); err != nil {
		t.Fatal(err)
	}
}

// piece returns an open piece of a size.
func (b bench) piece(t *testing.T, size int64) objects.Piece {
	t.Helper()
	id := objects.PieceID(b.pieces.next())
	if err := b.Store.AddPieces(t.Context(), writer, []objects.PieceID{id}); err != nil {
		t.Fatal(err)
	}
	return objects.Piece{ID: id, Size: size}
}

func change(n int) objects.Change { return objects.Change{At: at.Add(time.Duration(n) * time.Second)} }

// put stores an object whose ETag says how large it is.
func (b bench) put(t *testing.T, bucket, key string, size int64, cond ...objects.Conditions) (objects.Object, error) {
	t.Helper()
	p := objects.Put{Bucket: bucket, Key: key, Piece: b.piece(t, size), ETag: fmt.Sprint("e", size)}
	for _, c := range cond {
		p.If = c
	}
	return b.Store.Put(t.Context(), p, change(0))
}

func (b bench) mustPut(t *testing.T, bucket, key string, size int64) objects.Object {
	t.Helper()
	o, err := b.put(t, bucket, key, size)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// size returns the size of an object, or -1 if there is none.
func (b bench) size(t *testing.T, bucket, key, version string) int64 {
	t.Helper()
	o, err := b.Store.Object(t.Context(), bucket, key, version)
	switch {
	case errors.Is(err, objects.ErrNoSuchObject), errors.Is(err, objects.ErrNoSuchVersion), err == nil && o.Marker:
		return -1
	case err != nil:
		t.Fatal(err)
	}
	return o.Size
}

// delete deletes an object or a version.
func (b bench) delete(t *testing.T, bucket, key, version string) objects.Deleted {
	t.Helper()
	done, err := b.Store.Delete(t.Context(), bucket, []objects.Deletion{{Key: key, Version: version}}, change(1))
	if err != nil || len(done) != 1 || done[0].Err != nil {
		t.Fatalf("deleting %s: %+v, %v", key, done, err)
	}
	return done[0]
}

// garbage returns the pieces that may go, if only this writer lives.
func (b bench) garbage(t *testing.T) []objects.PieceID {
	t.Helper()
	ids, err := b.Store.Garbage(t.Context(), writer, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func (b bench) usage(t *testing.T, want int64) {
	t.Helper()
	if got, err := b.Store.Usage(t.Context(), account); err != nil || got != want {
		t.Errorf("usage is %d, %v, want %d", got, err, want)
	}
}

func fails(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func bucketsHaveOneOwner(t *testing.T, b bench) {
	ctx := t.Context()
	b.bucket(t, "one")
	err := b.Store.CreateBucket(ctx, objects.Bucket{Name: "one", Account: other, Region: "eu-west-1"})
	exists, ok := errors.AsType[*objects.BucketExistsError](err)
	if !ok || exists.Bucket.Account != account || exists.Bucket.Region != "us-east-1" {
		t.Errorf("got %v", err)
	}
	got, err := b.Store.Bucket(ctx, "one")
	want := objects.Bucket{Name: "one", Account: account, Region: "us-east-1", Created: at}
	if diff := cmp.Diff(want, got, asStored); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	_, err = b.Store.Bucket(ctx, "two")
	fails(t, err, objects.ErrNoSuchBucket)
	fails(t, b.Store.DeleteBucket(ctx, "two"), objects.ErrNoSuchBucket)
	fails(t, b.Store.SetVersioning(ctx, "two", objects.Enabled), objects.ErrNoSuchBucket)
	_, err = b.put(t, "two", "k", 1)
	fails(t, err, objects.ErrNoSuchBucket)
	_, err = b.Store.Object(ctx, "two", "k", "")
	fails(t, err, objects.ErrNoSuchBucket)
	_, err = b.Store.Delete(ctx, "two", []objects.Deletion{{Key: "k"}}, change(0))
	fails(t, err, objects.ErrNoSuchBucket)
	_, err = b.Store.Objects(ctx, objects.KeyRange{Bucket: "two", Limit: 1})
	fails(t, err, objects.ErrNoSuchBucket)
}

func bucketsAreListed(t *testing.T, b bench) {
	for _, name := range []string{"b.c", "a-b", "ab", "b-c", "abc"} {
		b.bucket(t, name)
	}
	if err := b.Store.CreateBucket(t.Context(), objects.Bucket{Name: "aaa", Account: other}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		q    objects.BucketQuery
		want string
	}{
		{objects.BucketQuery{Account: account, Limit: 10}, "a-b ab abc b-c b.c"},
		{objects.BucketQuery{Account: account, Limit: 2}, "a-b ab"},
		{objects.BucketQuery{Account: account, Limit: 10, After: "ab"}, "abc b-c b.c"},
		{objects.BucketQuery{Account: account, Limit: 10, Prefix: "ab"}, "ab abc"},
		{objects.BucketQuery{Account: account, Limit: 10, Region: "eu-west-1"}, ""},
		{objects.BucketQuery{Account: other, Limit: 10}, "aaa"},
	} {
		list, err := b.Store.Buckets(t.Context(), tt.q)
		var names []string
		for _, x := range list {
			names = append(names, x.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != tt.want {
			t.Errorf("%+v: got %q, %v, want %q", tt.q, got, err, tt.want)
		}
	}
	if n, err := b.Store.OwnedBuckets(t.Context(), account); err != nil || n != 5 {
		t.Errorf("owns %d, %v", n, err)
	}
}

func onlyEmptyBucketsGo(t *testing.T, b bench) {
	ctx := t.Context()
	b.versions(t, "v", objects.Enabled)
	o := b.mustPut(t, "v", "k", 10)
	fails(t, b.Store.DeleteBucket(ctx, "v"), objects.ErrBucketNotEmpty)
	marker := b.delete(t, "v", "k", "")
	fails(t, b.Store.DeleteBucket(ctx, "v"), objects.ErrBucketNotEmpty)
	b.delete(t, "v", "k", o.Version)
	fails(t, b.Store.DeleteBucket(ctx, "v"), objects.ErrBucketNotEmpty)
	b.delete(t, "v", "k", marker.Version)

	u := b.upload(t, "v", "k", objects.Upload{})
	b.part(t, u, 1, 5)
	if err := b.Store.SetSetting(ctx, "v", objects.Setting{Name: "policy", Document: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if err := b.Store.DeleteBucket(ctx, "v"); err != nil {
		t.Fatal(err)
	}
	b.usage(t, 0)
	if got := b.garbage(t); len(got) != 2 {
		t.Errorf("garbage is %v, want two pieces", got)
	}
	b.bucket(t, "v") // is another one
	_, err := b.Store.Setting(ctx, "v", "policy")
	fails(t, err, objects.ErrNoSuchSetting)
	_, err = b.Store.Upload(ctx, "v", "k", u.ID)
	fails(t, err, objects.ErrNoSuchUpload)
}

func settings(t *testing.T, b bench) {
	ctx := t.Context()
	b.bucket(t, "one")
	b.bucket(t, "two")
	_, err := b.Store.Setting(ctx, "one", "policy")
	fails(t, err, objects.ErrNoSuchSetting)
	for _, document := range []string{"first", "", "second"} {
		if err := b.Store.SetSetting(ctx, "one", objects.Setting{Name: "policy", Document: []byte(document)}); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Store.Setting(ctx, "one", "policy"); err != nil || string(got) != document {
			t.Errorf("got %q, %v, want %q", got, err, document)
		}
	}
	_, err = b.Store.Setting(ctx, "two", "policy")
	fails(t, err, objects.ErrNoSuchSetting)
	for range 2 {
		if err := b.Store.DeleteSetting(ctx, "one", "policy"); err != nil {
			t.Error(err)
		}
	}
	_, err = b.Store.Setting(ctx, "one", "policy")
	fails(t, err, objects.ErrNoSuchSetting)
	_, err = b.Store.Setting(ctx, "three", "policy")
	fails(t, err, objects.ErrNoSuchBucket)
	fails(t, b.Store.SetSetting(ctx, "three", objects.Setting{Name: "policy"}), objects.ErrNoSuchBucket)
	fails(t, b.Store.DeleteSetting(ctx, "three", "policy"), objects.ErrNoSuchBucket)
}

// keysOf reads all keys of a list, a page of three at a time.
func (b bench) keysOf(t *testing.T, r objects.KeyRange) []string {
	t.Helper()
	var keys []string
	r.Limit = 3
	for {
		page, err := b.Store.Objects(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page {
			keys = append(keys, o.Key)
		}
		if len(page) < r.Limit {
			return keys
		}
		r.First, r.After = "", page[len(page)-1].Key
	}
}

func keysAreListed(t *testing.T, b bench) {
	b.bucket(t, "one")
	b.bucket(t, "two")
	keys := []string{"\x01", "A", "a", "a/", "a/b", "a//b", "a0", "aé", "b", "z\U0010ffff", "é"}
	for _, key := range keys {
		b.mustPut(t, "one", key, 1)
		b.mustPut(t, "two", key+"2", 1)
	}
	slices.Sort(keys)
	for _, tt := range []struct {
		r    objects.KeyRange
		want func(key string) bool
	}{
		{objects.KeyRange{}, func(string) bool { return true }},
		{objects.KeyRange{Prefix: "a"}, func(k string) bool { return strings.HasPrefix(k, "a") }},
		{objects.KeyRange{Prefix: "a/"}, func(k string) bool { return strings.HasPrefix(k, "a/") }},
		{objects.KeyRange{Prefix: "z\U0010ffff"}, func(k string) bool { return k == "z\U0010ffff" }},
		{objects.KeyRange{After: "a/"}, func(k string) bool { return k > "a/" }},
		{objects.KeyRange{First: "a/"}, func(k string) bool { return k >= "a/" }},
		{objects.KeyRange{Prefix: "a", After: "a/"}, func(k string) bool { return strings.HasPrefix(k, "a") && k > "a/" }},
		{objects.KeyRange{After: "\U0010ffff"}, func(string) bool { return false }},
	} {
		tt.r.Bucket = "one"
		want := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !tt.want(k) })
		if got := b.keysOf(t, tt.r); !slices.Equal(got, want) {
			t.Errorf("%+v: got %q, want %q", tt.r, got, want)
		}
	}
	for _, tt := range []struct {
		r    objects.KeyRange
		want []string
	}{
		{objects.KeyRange{Delimiter: "/"}, []string{"\x01", "A", "a", "a/", "a0", "aé", "b", "z\U0010ffff", "é"}},
		{objects.KeyRange{Delimiter: "/", Prefix: "a/"}, []string{"a/", "a//b", "a/b"}},
		{objects.KeyRange{Delimiter: "a"}, []string{"\x01", "A", "a", "b", "z\U0010ffff", "é"}},
		{objects.KeyRange{Delimiter: "\U0010ffff"}, keys},
		{objects.KeyRange{Delimiter: "/", After: "a/"}, []string{"a//b", "a0", "aé", "b", "z\U0010ffff", "é"}},
		{objects.KeyRange{Delimiter: "/", First: "a//c"}, []string{"a/b", "a0", "aé", "b", "z\U0010ffff", "é"}},
		{objects.KeyRange{Delimiter: "é", Prefix: "a"}, []string{"a", "a/", "a//b", "a/b", "a0", "aé"}},
	} {
		tt.r.Bucket, tt.r.Limit = "one", 100
		page, err := b.Store.Objects(t.Context(), tt.r)
		var got []string
		for _, o := range page {
			got = append(got, o.Key)
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%+v: got %q, %v, want %q", tt.r, got, err, tt.want)
		}
		tt.r.Limit = 2
		if page, err = b.Store.Objects(t.Context(), tt.r); err != nil || len(page) != 2 || page[1].Key != tt.want[1] {
			t.Errorf("%+v: got %+v, %v", tt.r, page, err)
		}
	}
	b.delete(t, "one", "a0", "")
	if got := b.keysOf(t, objects.KeyRange{Bucket: "one", Prefix: "a0"}); len(got) != 0 {
		t.Errorf("a deleted object is listed: %q", got)
	}
}
