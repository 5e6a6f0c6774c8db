package objectstest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/tag"
)

func putReplaces(t *testing.T, b bench) {
	b.bucket(t, "b")
	first := b.piece(t, 10)
	put := objects.Put{
		Bucket: "b", Key: "k", Piece: first, ETag: "e", Checksum: objects.Checksum{Algorithm: objects.CRC32, Type: objects.FullObject, Value: "AAAAAA=="},
		Metadata: objects.Metadata{ContentType: "text/plain", User: map[string]string{"a": "b"}}, Tags: tag.Set{{Key: "k", Value: "v"}},
		Encryption: objects.Encryption{Algorithm: "aws:kms", Key: "arn", DataKey: []byte{1}},
	}
	stored, err := b.Store.Put(t.Context(), put, change(0))
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Store.Object(t.Context(), "b", "k", "")
	want := objects.Object{
		Bucket: "b", Key: "k", Version: objects.NullVersion, Latest: true, Account: account, Size: 10, ETag: "e", Modified: at,
		Checksum: put.Checksum, Metadata: put.Metadata, Tags: put.Tags, Encryption: put.Encryption, Content: stored.Content,
	}
	if diff := cmp.Diff(want, got, asStored); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff(want, stored, asStored); diff != "" {
		t.Errorf("Put returns something else (-want +got):\n%s", diff)
	}
	if c, err := b.Store.Content(t.Context(), got.Content); err != nil || c.Size != 10 || c.Account != account || !c.Encryption.Encrypted() ||
		!slices.Equal(c.Extents, []objects.Extent{{Piece: first.ID, Len: 10}}) {
		t.Errorf("the content is %+v, %v", c, err)
	}
	if got := b.garbage(t); len(got) != 0 {
		t.Errorf("garbage is %v", got)
	}
	b.mustPut(t, "b", "k", 3)
	if got := b.size(t, "b", "k", ""); got != 3 {
		t.Errorf("it has %d bytes", got)
	}
	_, err = b.Store.Content(t.Context(), got.Content)
	fails(t, err, objects.ErrNoSuchObject)
	if got := b.garbage(t); !slices.Equal(got, []objects.PieceID{first.ID}) {
		t.Errorf("garbage is %v, want %d", got, first.ID)
	}
	b.usage(t, 3)
	if _, err := b.Store.Put(t.Context(), put, change(0)); err == nil {
		t.Error("a condemned piece was stored")
	}
	// No bytes need no piece.
	empty, err := b.Store.Put(t.Context(), objects.Put{Bucket: "b", Key: "empty"}, change(0))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := b.Store.Content(t.Context(), empty.Content); err != nil || c.Size != 0 || len(c.Extents) != 0 {
		t.Errorf("the content of nothing is %+v, %v", c, err)
	}
}

func keysAreOpaque(t *testing.T, b bench) {
	b.bucket(t, "b")
	keys := []string{"a", "a/", "a//b", "a/b", "./a", "../a", "/", "a b", "a\x00", "%00", "é", "e\u0301", "A", strings.Repeat("k", objects.MaxKey), strings.Repeat("k", objects.MaxKey-1)}
	for i, key := range keys {
		b.mustPut(t, "b", key, int64(i+1))
	}
	for i, key := range keys {
		if got := b.size(t, "b", key, ""); got != int64(i+1) {
			t.Errorf("%q has %d bytes, want %d", key, got, i+1)
		}
	}
}

func conditions(t *testing.T, b bench) {
	b.bucket(t, "b")
	_, err := b.put(t, "b", "k", 1, objects.Conditions{Match: "*"})
	fails(t, err, objects.ErrNoSuchObject)
	if _, err := b.put(t, "b", "k", 1, objects.Conditions{NoneMatch: "*"}); err != nil {
		t.Fatal(err)
	}
	_, err = b.put(t, "b", "k", 2, objects.Conditions{NoneMatch: "*"})
	fails(t, err, objects.ErrPrecondition)
	_, err = b.put(t, "b", "k", 2, objects.Conditions{Match: "e2"})
	fails(t, err, objects.ErrPrecondition)
	if got := b.size(t, "b", "k", ""); got != 1 {
		t.Errorf("a refused Put left %d bytes", got)
	}
	if _, err := b.put(t, "b", "k", 2, objects.Conditions{Match: `"e1"`}); err != nil {
		t.Error(err)
	}
	done, err := b.Store.Delete(t.Context(), "b", []objects.Deletion{{Key: "k", If: objects.Conditions{Match: "e1"}}}, change(0))
	if err != nil {
		t.Fatal(err)
	}
	fails(t, done[0].Err, objects.ErrPrecondition)
	b.usage(t, 2)
	if err := b.Store.SetVersioning(t.Context(), "b", objects.Enabled); err != nil {
		t.Fatal(err)
	}
	b.delete(t, "b", "k", "")
	if _, err := b.put(t, "b", "k", 3, objects.Conditions{NoneMatch: "*"}); err != nil {
		t.Errorf("over a delete marker: %v", err)
	}
}

func deletedIsGone(t *testing.T, b bench) {
	b.bucket(t, "b")
	b.mustPut(t, "b", "k", 4)
	if got := b.delete(t, "b", "k", ""); got != (objects.Deleted{Key: "k"}) {
		t.Errorf("got %+v", got)
	}
	if got := b.size(t, "b", "k", ""); got != -1 {
		t.Errorf("it has %d bytes", got)
	}
	b.usage(t, 0)
	b.delete(t, "b", "k", "")
	b.delete(t, "b", "k", objects.NullVersion)
	b.mustPut(t, "b", "k", 5)
	_, err := b.Store.Object(t.Context(), "b", "k", "no-such-version")
	fails(t, err, objects.ErrNoSuchVersion)
	b.delete(t, "b", "k", "no-such-version")
	if got := b.size(t, "b", "k", objects.NullVersion); got != 5 {
		t.Errorf("the null version has %d bytes", got)
	}
	if got := b.delete(t, "b", "k", objects.NullVersion); got != (objects.Deleted{Key: "k", Version: objects.NullVersion}) {
		t.Errorf("got %+v", got)
	}
	b.usage(t, 0)
}

func deletionsAreEachTheirOwn(t *testing.T, b bench) {
	b.bucket(t, "b")
	var list []objects.Deletion
	for i := range 200 {
		key := fmt.Sprint("k", i*7%200)
		b.mustPut(t, "b", key, 1)
		d := objects.Deletion{Key: key}
		if i%2 == 0 {
			d.If.Match = "another"
		}
		list = append(list, d)
	}
	list = append(list, objects.Deletion{Key: "absent"}, objects.Deletion{Key: "absent", If: objects.Conditions{Match: "*"}}, objects.Deletion{Key: list[1].Key})
	done, err := b.Store.Delete(t.Context(), "b", list, change(0))
	if err != nil || len(done) != len(list) {
		t.Fatalf("got %d, %v", len(done), err)
	}
	for i, d := range done[:200] {
		var want error
		if i%2 == 0 {
			want = objects.ErrPrecondition
		}
		fails(t, d.Err, want)
		if d.Key != list[i].Key {
			t.Errorf("answer %d is of %s, not %s", i, d.Key, list[i].Key)
		}
	}
	fails(t, done[200].Err, nil)
	fails(t, done[201].Err, objects.ErrNoSuchObject)
	if got := b.keysOf(t, objects.KeyRange{Bucket: "b"}); len(got) != 100 {
		t.Errorf("%d are left", len(got))
	}
	b.usage(t, 100)
}

func copiesShare(t *testing.T, b bench) {
	b.bucket(t, "b")
	b.mustPut(t, "b", "from", 6)
	source, err := b.Store.Object(t.Context(), "b", "from", "")
	if err != nil {
		t.Fatal(err)
	}
	c := objects.Copy{Source: source, Bucket: "b", Key: "to", Metadata: objects.Metadata{ContentType: "x/y"}}
	got, err := b.Store.Copy(t.Context(), c, change(1))
	if err != nil || got.Size != 6 || got.ETag != source.ETag || got.Content != source.Content || got.Metadata.ContentType != "x/y" || !got.Modified.Equal(change(1).At) {
		t.Errorf("got %+v, %v", got, err)
	}
	b.usage(t, 12)
	b.delete(t, "b", "from", "")
	if got := b.garbage(t); len(got) != 0 {
		t.Errorf("the copy's bytes are garbage: %v", got)
	}
	c.Key = "again"
	if _, err := b.Store.Copy(t.Context(), c, change(2)); err != nil {
		t.Errorf("its bytes are there still: %v", err)
	}
	self := objects.Copy{Source: got, Bucket: "b", Key: "to", If: objects.Conditions{Match: got.ETag}}
	if _, err := b.Store.Copy(t.Context(), self, change(3)); err != nil {
		t.Errorf("onto itself: %v", err)
	}
	b.usage(t, 12)
	b.delete(t, "b", "to", "")
	b.delete(t, "b", "again", "")
	_, err = b.Store.Copy(t.Context(), c, change(4))
	fails(t, err, objects.ErrNoSuchObject)
	b.usage(t, 0)
	if got := b.garbage(t); len(got) != 1 {
		t.Errorf("garbage is %v", got)
	}
}

func tagsReplace(t *testing.T, b bench) {
	b.versions(t, "b", objects.Enabled)
	first := b.mustPut(t, "b", "k", 1)
	b.mustPut(t, "b", "k", 2)
	tags := tag.Set{{Key: "a", Value: "b"}}
	if got, err := b.Store.SetTags(t.Context(), "b", "k", first.Version, tags); err != nil || got.Size != 1 || len(got.Tags) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	for version, want := range map[string]int{"": 0, first.Version: 1} {
		if got, err := b.Store.Object(t.Context(), "b", "k", version); err != nil || len(got.Tags) != want {
			t.Errorf("version %q has tags %v, %v", version, got.Tags, err)
		}
	}
	if _, err := b.Store.SetTags(t.Context(), "b", "k", first.Version, nil); err != nil {
		t.Error(err)
	}
	_, err := b.Store.SetTags(t.Context(), "b", "absent", "", tags)
	fails(t, err, objects.ErrNoSuchObject)
	marker := b.delete(t, "b", "k", "")
	_, err = b.Store.SetTags(t.Context(), "b", "k", marker.Version, tags)
	fails(t, err, objects.ErrNoSuchObject)
}

func versionsStay(t *testing.T, b bench) {
	b.bucket(t, "b")
	b.mustPut(t, "b", "k", 1)
	if err := b.Store.SetVersioning(t.Context(), "b", objects.Enabled); err != nil {
		t.Fatal(err)
	}
	second, third := b.mustPut(t, "b", "k", 2), b.mustPut(t, "b", "k", 3)
	if second.Version == third.Version || len(second.Version) != 32 {
		t.Errorf("versions %q and %q", second.Version, third.Version)
	}
	marker := b.delete(t, "b", "k", "")
	if !marker.Marker || marker.Version == "" {
		t.Errorf("got %+v", marker)
	}
	for version, want := range map[string]int64{"": -1, objects.NullVersion: 1, second.Version: 2, third.Version: 3, marker.Version: -1} {
		if got := b.size(t, "b", "k", version); got != want {
			t.Errorf("version %q has %d bytes, want %d", version, got, want)
		}
	}
	if got := b.keysOf(t, objects.KeyRange{Bucket: "b"}); len(got) != 0 {
		t.Errorf("a list has %q, which is deleted", got)
	}
	b.usage(t, 6)
	if got := b.delete(t, "b", "k", marker.Version); got != (objects.Deleted{Key: "k", Version: marker.Version, Marker: true}) {
		t.Errorf("got %+v", got)
	}
	if got := b.size(t, "b", "k", ""); got != 3 {
		t.Errorf("without the marker it has %d bytes", got)
	}
	b.delete(t, "b", "k", third.Version)
	b.delete(t, "b", "k", objects.NullVersion)
	if got := b.size(t, "b", "k", ""); got != 2 {
		t.Errorf("the version before has %d bytes", got)
	}
	b.usage(t, 2)
	if got := b.garbage(t); len(got) != 2 {
		t.Errorf("garbage is %v", got)
	}
	// A marker also comes where there was nothing.
	if got := b.delete(t, "b", "absent", ""); !got.Marker {
		t.Errorf("got %+v", got)
	}
}

func suspended(t *testing.T, b bench) {
	b.versions(t, "b", objects.Enabled)
	kept := b.mustPut(t, "b", "k", 1)
	if err := b.Store.SetVersioning(t.Context(), "b", objects.Suspended); err != nil {
		t.Fatal(err)
	}
	for size := int64(2); size < 4; size++ {
		if got := b.mustPut(t, "b", "k", size); got.Version != objects.NullVersion {
			t.Errorf("got version %q", got.Version)
		}
	}
	b.usage(t, 4)
	if got := b.delete(t, "b", "k", ""); got != (objects.Deleted{Key: "k", Version: objects.NullVersion, Marker: true}) {
		t.Errorf("got %+v", got)
	}
	b.usage(t, 1)
	if err := b.Store.SetVersioning(t.Context(), "b", objects.Enabled); err != nil {
		t.Fatal(err)
	}
	last := b.mustPut(t, "b", "k", 5)
	if err := b.Store.SetVersioning(t.Context(), "b", objects.Suspended); err != nil {
		t.Fatal(err)
	}
	b.mustPut(t, "b", "k", 6) // replaces the null marker below the last
	for version, want := range map[string]int64{"": 6, objects.NullVersion: 6, kept.Version: 1, last.Version: 5} {
		if got := b.size(t, "b", "k", version); got != want {
			t.Errorf("version %q has %d bytes, want %d", version, got, want)
		}
	}
	list, err := b.Store.Versions(t.Context(), objects.KeyRange{Bucket: "b", Limit: 10})
	if err != nil || len(list) != 3 {
		t.Errorf("%d versions, %v", len(list), err)
	}
}

func versionsAreListed(t *testing.T, b bench) {
	b.bucket(t, "b")
	b.mustPut(t, "b", "a", 1)
	b.mustPut(t, "b", "c", 7)
	if err := b.Store.SetVersioning(t.Context(), "b", objects.Enabled); err != nil {
		t.Fatal(err)
	}
	b.mustPut(t, "b", "a", 2)
	b.mustPut(t, "b", "a", 3)
	b.delete(t, "b", "a", "")
	b.mustPut(t, "b", "a", 4)
	b.mustPut(t, "b", "b", 5)
	all, err := b.Store.Versions(t.Context(), objects.KeyRange{Bucket: "b", Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describe(all), "a:4* a:marker a:3 a:2 a:1 b:5* c:7*"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for i := range all {
		rest, err := b.Store.Versions(t.Context(), objects.KeyRange{Bucket: "b", After: all[i].Key, AfterItem: all[i].Version, Limit: 100})
		if diff := cmp.Diff(describe(all[i+1:]), describe(rest)); err != nil || diff != "" {
			t.Errorf("behind %d: %v (-want +got):\n%s", i, err, diff)
		}
	}
	for _, tt := range []struct {
		r    objects.KeyRange
		want string
	}{
		{objects.KeyRange{After: "a", Limit: 9}, "b:5* c:7*"},
		{objects.KeyRange{Limit: 2}, "a:4* a:marker"},
		{objects.KeyRange{Prefix: "c", Limit: 9}, "c:7*"},
		{objects.KeyRange{First: "b", Limit: 9}, "b:5* c:7*"},
	} {
		tt.r.Bucket = "b"
		if got, err := b.Store.Versions(t.Context(), tt.r); err != nil || describe(got) != tt.want {
			t.Errorf("%+v: got %s, %v, want %s", tt.r, describe(got), err, tt.want)
		}
	}
}

func describe(list []objects.Object) string {
	var words []string
	for _, o := range list {
		word := fmt.Sprint(o.Key, ":", o.Size)
		if o.Marker {
			word = o.Key + ":marker"
		}
		if o.Latest {
			word += "*"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func pinsKeepBytes(t *testing.T, b bench) {
	ctx := t.Context()
	b.bucket(t, "b")
	o := b.mustPut(t, "b", "k", 8)
	want := objects.Pin{ID: "import-snap-1", Size: 8, ETag: "e8", Version: objects.NullVersion, Modified: at, Content: o.Content}
	pin, err := b.Store.Pin(ctx, "b", "k", "", want.ID)
	if diff := cmp.Diff(want, pin, asStored); err != nil || diff != "" {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	if pin, err = b.Store.Pinned(ctx, want.ID); err != nil || pin != want {
		t.Errorf("got %+v, %v", pin, err)
	}
	_, err = b.Store.Pin(ctx, "b", "k", "", want.ID)
	fails(t, err, objects.ErrPinned)
	_, err = b.Store.Pin(ctx, "b", "absent", "", "import-snap-2")
	fails(t, err, objects.ErrNoSuchObject)
	_, err = b.Store.Pin(ctx, "b", "k", "absent", "import-snap-2")
	fails(t, err, objects.ErrNoSuchVersion)
	b.mustPut(t, "b", "k", 9)
	b.delete(t, "b", "k", "")
	b.usage(t, 0)
	if c, err := b.Store.Content(ctx, want.Content); err != nil || len(c.Extents) != 1 {
		t.Errorf("the pinned content is %+v, %v", c, err)
	}
	if got := b.garbage(t); len(got) != 1 {
		t.Errorf("garbage is %v, want the second piece alone", got)
	}
	if ids, err := b.Store.Pins(ctx); err != nil || !slices.Equal(ids, []string{want.ID}) {
		t.Errorf("pins are %v, %v", ids, err)
	}
	for range 2 {
		if err := b.Store.Release(ctx, want.ID); err != nil {
			t.Error(err)
		}
	}
	_, err = b.Store.Pinned(ctx, want.ID)
	fails(t, err, objects.ErrNoSuchPin)
	if got := b.garbage(t); len(got) != 2 {
		t.Errorf("garbage is %v, want both", got)
	}
}

func garbage(t *testing.T, b bench) {
	ctx := t.Context()
	b.bucket(t, "b")
	b.mustPut(t, "b", "kept", 1)
	for i := range 70 {
		b.mustPut(t, "b", fmt.Sprint("k", i), 1)
		b.delete(t, "b", fmt.Sprint("k", i), "")
	}
	all := b.garbage(t)
	if len(all) != 70 || !slices.IsSorted(all) {
		t.Fatalf("garbage is %v", all)
	}
	some, err := b.Store.Garbage(ctx, writer, all[9], 10)
	if err != nil || !slices.Equal(some, all[10:20]) {
		t.Errorf("got %v, %v, want %v", some, err, all[10:20])
	}
	known, err := b.Store.KnownPieces(ctx, append(some, 1<<40))
	if err != nil || len(known) != 10 || known[some[0]] != (objects.Known{Row: true}) {
		t.Errorf("got %v, %v", known, err)
	}
	if err := b.Store.ForgetPieces(ctx, all[:60]); err != nil {
		t.Fatal(err)
	}
	if got := b.garbage(t); !slices.Equal(got, all[60:]) {
		t.Errorf("garbage is %v, want %v", got, all[60:])
	}
	if known, err = b.Store.KnownPieces(ctx, some); err != nil || len(known) != 0 {
		t.Errorf("got %v, %v", known, err)
	}
	// What is not condemned is not forgotten.
	open := b.piece(t, 1)
	if err := b.Store.ForgetPieces(ctx, []objects.PieceID{open.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Store.Put(ctx, objects.Put{Bucket: "b", Key: "k", Piece: open}, change(0)); err != nil {
		t.Error(err)
	}
	if known, err = b.Store.KnownPieces(ctx, []objects.PieceID{open.ID}); err != nil || known[open.ID] != (objects.Known{Row: true, Named: true}) {
		t.Errorf("got %v, %v", known, err)
	}
}

func openPieces(t *testing.T, b bench) {
	ctx := t.Context()
	b.bucket(t, "b")
	mine := b.piece(t, 1)
	dead := objects.PieceID(b.pieces.next())
	if err := b.Store.AddPieces(ctx, writer-1, []objects.PieceID{dead}); err != nil {
		t.Fatal(err)
	}
	if got := b.garbage(t); !slices.Equal(got, []objects.PieceID{dead}) {
		t.Errorf("garbage is %v, want that of the dead writer", got)
	}
	_, err := b.Store.Put(ctx, objects.Put{Bucket: "b", Key: "k", Piece: objects.Piece{ID: dead}}, change(0))
	if err == nil {
		t.Error("a condemned piece was stored")
	}
	if _, err := b.Store.Put(ctx, objects.Put{Bucket: "b", Key: "k", Piece: mine}, change(0)); err != nil {
		t.Error(err)
	}
	if _, err := b.Store.Put(ctx, objects.Put{Bucket: "b", Key: "again", Piece: mine}, change(0)); err == nil {
		t.Error("a piece was stored twice")
	}
	dropped := b.piece(t, 1)
	if err := b.Store.DropPieces(ctx, []objects.PieceID{dropped.ID, mine.ID}); err != nil {
		t.Fatal(err)
	}
	if got := b.garbage(t); !slices.Equal(got, []objects.PieceID{dead, dropped.ID}) {
		t.Errorf("garbage is %v, want %v", got, []objects.PieceID{dead, dropped.ID})
	}
}

func quotas(t *testing.T, b bench) {
	ctx := t.Context()
	b.bucket(t, "b")
	c := objects.Change{At: at, Quota: 10}
	put := func(key string, size int64) error {
		_, err := b.Store.Put(ctx, objects.Put{Bucket: "b", Key: key, Piece: b.piece(t, size)}, c)
		return err
	}
	if err := put("k", 10); err != nil {
		t.Fatal(err)
	}
	fails(t, put("l", 1), objects.ErrQuota)
	if err := put("k", 9); err != nil {
		t.Errorf("a smaller one in its place: %v", err)
	}
	if err := put("l", 1); err != nil {
		t.Error(err)
	}
	u := b.upload(t, "b", "m", objects.Upload{})
	err := b.Store.PutPart(ctx, objects.NewPart{Bucket: "b", Key: "m", Upload: u.ID, Part: objects.Part{Number: 1, Size: 1}, Piece: b.piece(t, 1).ID}, c)
	fails(t, err, objects.ErrQuota)
	source, err := b.Store.Object(ctx, "b", "l", "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Store.Copy(ctx, objects.Copy{Source: source, Bucket: "b", Key: "n"}, c)
	fails(t, err, objects.ErrQuota)
	b.usage(t, 10)
	c.Quota = 5 // since then
	if _, err := b.Store.Delete(ctx, "b", []objects.Deletion{{Key: "l"}}, c); err != nil {
		t.Errorf("deleting above the quota: %v", err)
	}
	if err := b.Store.AbortUpload(ctx, "b", "m", u.ID); err != nil {
		t.Error(err)
	}
	b.usage(t, 9)

	c = objects.Change{At: at, Quota: 10, All: 9}
	fails(t, put("l", 1), objects.ErrAllQuota)
	if err := put("k", 8); err != nil {
		t.Errorf("below the quota of all: %v", err)
	}
	if err := put("l", 1); err != nil {
		t.Errorf("as much as the quota of all: %v", err)
	}
	b.usage(t, 9)
}

// heldGarbage: while all files are held, no piece is condemned.
func heldGarbage(t *testing.T, b bench) {
	b.bucket(t, "b")
	b.mustPut(t, "b", "k", 1)
	h, err := b.Holds.TakeAll(t.Context(), at, "test")
	if err != nil {
		t.Fatal(err)
	}
	b.delete(t, "b", "k", "")
	if got := b.garbage(t); len(got) != 0 {
		t.Errorf("garbage is %v although all files are held", got)
	}
	if err := b.Holds.Release(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if got := b.garbage(t); len(got) != 1 {
		t.Errorf("garbage is %v, want one piece", got)
	}
}
