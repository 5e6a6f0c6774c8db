package objectstest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/tag"
)

// upload begins an upload.
func (b bench) upload(t *testing.T, bucket, key string, u objects.Upload) objects.Upload {
	t.Helper()
	u.Bucket, u.Key, u.Created = bucket, key, at
	if u.ID == "" {
		u.ID = fmt.Sprintf("%016x", b.pieces.next())
	}
	u, err := b.Store.CreateUpload(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// part stores a part whose ETag is its number and size.
func (b bench) part(t *testing.T, u objects.Upload, number int, size int64) objects.CompletedPart {
	t.Helper()
	p := objects.Part{Number: number, Size: size, ETag: fmt.Sprintf("%04x%08x", number, size)}
	if err := b.Store.PutPart(t.Context(), objects.NewPart{Bucket: u.Bucket, Key: u.Key, Upload: u.ID, Part: p, Piece: b.piece(t, size).ID}, change(1)); err != nil {
		t.Fatal(err)
	}
	return objects.CompletedPart{Number: number, ETag: p.ETag}
}

func complete(u objects.Upload, parts ...objects.CompletedPart) objects.Completion {
	return objects.Completion{Bucket: u.Bucket, Key: u.Key, Upload: u.ID, Parts: parts, Size: -1}
}

const minPart = objects.MinPart

func partsBecomeAnObject(t *testing.T, b bench) {
	ctx := t.Context()
	b.bucket(t, "b")
	u := b.upload(t, "b", "k", objects.Upload{Initiator: "arn", Metadata: objects.Metadata{ContentType: "x/y"}, Tags: tag.Set{{Key: "a"}}})
	got, err := b.Store.Upload(ctx, "b", "k", u.ID)
	if diff := cmp.Diff(u, got, asStored); err != nil || diff != "" || u.Account != account {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	three := b.part(t, u, 3, 7)
	b.part(t, u, 1, 1) // is replaced
	one := b.part(t, u, 1, minPart)
	b.part(t, u, 2, minPart) // is left out
	b.part(t, u, 4, 9)
	b.usage(t, 2*minPart+7+9)
	parts, err := b.Store.Parts(ctx, "b", "k", u.ID, 1, 2)
	want := []objects.Part{{Number: 2, Size: minPart, ETag: fmt.Sprintf("%04x%08x", 2, minPart), Modified: change(1).At}, {Number: 3, Size: 7, ETag: three.ETag, Modified: change(1).At}}
	if diff := cmp.Diff(want, parts, asStored); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	b.mustPut(t, "b", "k", 100) // is replaced

	_, err = b.Store.CompleteUpload(ctx, complete(u, three, one), change(2))
	fails(t, err, objects.ErrPartOrder)
	refused := complete(u, one, three)
	refused.If.NoneMatch = "*"
	_, err = b.Store.CompleteUpload(ctx, refused, change(2))
	fails(t, err, objects.ErrPrecondition)

	o, err := b.Store.CompleteUpload(ctx, complete(u, one, three), change(2))
	if err != nil {
		t.Fatal(err)
	}
	if o.Size != minPart+7 || o.Parts != 2 || !strings.HasSuffix(o.ETag, "-2") || o.Metadata.ContentType != "x/y" || len(o.Tags) != 1 || !o.Modified.Equal(change(2).At) {
		t.Errorf("got %+v", o)
	}
	found, err := b.Store.Object(ctx, "b", "k", "")
	if diff := cmp.Diff(o, found, asStored); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	c, err := b.Store.Content(ctx, o.Content)
	if err != nil || c.Size != minPart+7 || len(c.Extents) != 2 || c.Extents[0].Len != minPart || c.Extents[1].Len != 7 {
		t.Errorf("the content is %+v, %v", c, err)
	}
	b.usage(t, minPart+7)
	if got := b.garbage(t); len(got) != 4 {
		t.Errorf("garbage is %v, want what was replaced and left out", got)
	}
	_, err = b.Store.Upload(ctx, "b", "k", u.ID)
	fails(t, err, objects.ErrNoSuchUpload)
	fails(t, b.Store.AbortUpload(ctx, "b", "k", u.ID), objects.ErrNoSuchUpload)
	fails(t, b.Store.PutPart(ctx, objects.NewPart{Bucket: "b", Key: "k", Upload: u.ID, Part: objects.Part{Number: 1}}, change(0)), objects.ErrNoSuchUpload)
	b.delete(t, "b", "k", "")
	b.usage(t, 0)
}

func completionsRepeat(t *testing.T, b bench) {
	ctx := t.Context()
	b.bucket(t, "b")
	u := b.upload(t, "b", "k", objects.Upload{})
	c := complete(u, b.part(t, u, 1, 5))
	first, err := b.Store.CompleteUpload(ctx, c, change(0))
	if err != nil {
		t.Fatal(err)
	}
	b.mustPut(t, "b", "k", 1)
	again, err := b.Store.CompleteUpload(ctx, c, change(1))
	if err != nil || again.ETag != first.ETag || again.Version != first.Version || again.Size != first.Size || !again.Modified.Equal(first.Modified) || again.Parts != 1 {
		t.Errorf("got %+v, %v, want %+v", again, err, first)
	}
	if got := b.size(t, "b", "k", ""); got != 1 {
		t.Errorf("the repetition changed the object: %d bytes", got)
	}
	other := complete(u, objects.CompletedPart{Number: 1, ETag: "0b"})
	_, err = b.Store.CompleteUpload(ctx, other, change(1))
	fails(t, err, objects.ErrNoSuchUpload)
	if err := b.Store.ForgetCompletions(ctx, change(1).At); err != nil {
		t.Fatal(err)
	}
	_, err = b.Store.CompleteUpload(ctx, c, change(1))
	fails(t, err, objects.ErrNoSuchUpload)
}

func partsAreEncryptedAlike(t *testing.T, b bench) {
	b.bucket(t, "b")
	u := b.upload(t, "b", "k", objects.Upload{Encryption: objects.Encryption{Algorithm: "aws:kms", DataKey: []byte{1}}})
	for _, key := range [][]byte{nil, {2}, {1}} {
		p := objects.NewPart{Bucket: "b", Key: "k", Upload: u.ID, Part: objects.Part{Number: 1, Size: 5, ETag: "0a"}, Piece: b.piece(t, 5).ID, DataKey: key}
		var want error
		if len(key) == 0 || key[0] != 1 {
			want = objects.ErrEncryption
		}
		fails(t, b.Store.PutPart(t.Context(), p, change(0)), want)
	}
	b.usage(t, 5)
}

func abortedIsGone(t *testing.T, b bench) {
	ctx := t.Context()
	b.bucket(t, "b")
	b.bucket(t, "c")
	u := b.upload(t, "b", "k", objects.Upload{})
	one := b.part(t, u, 1, 5)
	for _, where := range [][2]string{{"b", "l"}, {"c", "k"}} {
		fails(t, b.Store.AbortUpload(ctx, where[0], where[1], u.ID), objects.ErrNoSuchUpload)
		_, err := b.Store.Upload(ctx, where[0], where[1], u.ID)
		fails(t, err, objects.ErrNoSuchUpload)
	}
	if err := b.Store.AbortUpload(ctx, "b", "k", u.ID); err != nil {
		t.Fatal(err)
	}
	fails(t, b.Store.AbortUpload(ctx, "b", "k", u.ID), objects.ErrNoSuchUpload)
	_, err := b.Store.CompleteUpload(ctx, complete(u, one), change(0))
	fails(t, err, objects.ErrNoSuchUpload)
	_, err = b.Store.Parts(ctx, "b", "k", u.ID, 0, 10)
	fails(t, err, objects.ErrNoSuchUpload)
	b.usage(t, 0)
	if got := b.garbage(t); len(got) != 1 {
		t.Errorf("garbage is %v", got)
	}
}

func uploadsAreListed(t *testing.T, b bench) {
	b.bucket(t, "b")
	b.bucket(t, "c")
	for _, name := range []string{"b/2", "a/5", "a/3", "c/1", "a/4"} {
		key, id, _ := strings.Cut(name, "/")
		b.upload(t, "b", key, objects.Upload{ID: id})
	}
	b.upload(t, "c", "a", objects.Upload{ID: "6"})
	for _, tt := range []struct {
		r    objects.KeyRange
		want string
	}{
		{objects.KeyRange{Limit: 9}, "a/3 a/4 a/5 b/2 c/1"},
		{objects.KeyRange{Limit: 2}, "a/3 a/4"},
		{objects.KeyRange{Limit: 9, After: "a", AfterItem: "4"}, "a/5 b/2 c/1"},
		{objects.KeyRange{Limit: 9, After: "a"}, "b/2 c/1"},
		{objects.KeyRange{Limit: 9, Prefix: "b"}, "b/2"},
	} {
		tt.r.Bucket = "b"
		list, err := b.Store.Uploads(t.Context(), tt.r)
		var got []string
		for _, u := range list {
			got = append(got, u.Key+"/"+u.ID)
			if u.Bucket != "b" || u.Account != account {
				t.Errorf("got %+v", u)
			}
		}
		if s := strings.Join(got, " "); err != nil || s != tt.want {
			t.Errorf("%+v: got %s, %v, want %s", tt.r, s, err, tt.want)
		}
	}
	_, err := b.Store.Uploads(t.Context(), objects.KeyRange{Bucket: "d", Limit: 1})
	fails(t, err, objects.ErrNoSuchBucket)
}

func uploadsExpire(t *testing.T, b bench) {
	ctx := t.Context()
	b.bucket(t, "b")
	var all []objects.Upload
	for _, key := range []string{"a/1", "a/2", "a/3", "b/1"} {
		u := b.upload(t, "b", key, objects.Upload{})
		b.part(t, u, 1, 5)
		all = append(all, u)
	}
	expire := func(before time.Time, limit, want int) {
		t.Helper()
		if n, err := b.Store.ExpireUploads(ctx, "b", "a/", before, limit); err != nil || n != want {
			t.Errorf("%d expired, %v, want %d", n, err, want)
		}
	}
	expire(at, 10, 0)
	expire(at.Add(time.Second), 2, 2)
	expire(at.Add(time.Second), 2, 1)
	for i, u := range all {
		_, err := b.Store.Upload(ctx, "b", u.Key, u.ID)
		if gone := errors.Is(err, objects.ErrNoSuchUpload); gone != (i < 3) {
			t.Errorf("%s: %v", u.Key, err)
		}
	}
	b.usage(t, 5)
}

func partsOfObjects(t *testing.T, b bench) {
	ctx := t.Context()
	b.bucket(t, "b")
	u := b.upload(t, "b", "from", objects.Upload{Algorithm: objects.CRC32, ChecksumType: objects.Composite})
	sum := objects.Checksum{Algorithm: objects.CRC32, Type: objects.FullObject, Value: "AAAAAA=="}
	var parts []objects.CompletedPart
	for number, size := range map[int]int64{2: minPart, 5: minPart + 1, 7: 10} {
		p := objects.NewPart{Bucket: "b", Key: "from", Upload: u.ID, Part: objects.Part{Number: number, Size: size, ETag: "0a", Checksum: sum}, Piece: b.piece(t, size).ID}
		if err := b.Store.PutPart(ctx, p, change(0)); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{2, 5, 7} {
		parts = append(parts, objects.CompletedPart{Number: n, ETag: "0a", Checksum: sum.Value})
	}
	source, err := b.Store.CompleteUpload(ctx, complete(u, parts...), change(0))
	if err != nil {
		t.Fatal(err)
	}
	if source.Checksum.Type != objects.Composite || !strings.HasSuffix(source.Checksum.Value, "-3") {
		t.Errorf("got checksum %+v", source.Checksum)
	}
	got, err := b.Store.ObjectParts(ctx, source.Content, 2, 5)
	want := []objects.Part{{Number: 5, Off: minPart, Size: minPart + 1, Checksum: sum}, {Number: 7, Off: 2*minPart + 1, Size: 10, Checksum: sum}}
	if diff := cmp.Diff(want, got, asStored); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}

	// Ranges of it become parts of another, the second of them twice the same piece.
	to := b.upload(t, "b", "to", objects.Upload{})
	for number, off := range map[int]int64{1: minPart - 2, 2: 2*minPart - 1} {
		size := int64(minPart)
		if number == 2 {
			size = 2 + 5
		}
		p := objects.NewPart{Bucket: "b", Key: "to", Upload: to.ID, Part: objects.Part{Number: number, Size: size, ETag: "0c"}, Source: source.Content, Off: off}
		if err := b.Store.PutPart(ctx, p, change(1)); err != nil {
			t.Fatal(err)
		}
	}
	b.delete(t, "b", "from", "")
	o, err := b.Store.CompleteUpload(ctx, complete(to, objects.CompletedPart{Number: 1, ETag: "0c"}, objects.CompletedPart{Number: 2, ETag: "0c"}), change(2))
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Store.Content(ctx, o.Content)
	if err != nil {
		t.Fatal(err)
	}
	var ranges []string
	for _, e := range c.Extents {
		ranges = append(ranges, fmt.Sprintf("%d+%d", e.Skip, e.Len))
	}
	if got, want := strings.Join(ranges, " "), fmt.Sprintf("%d+2 0+%d %d+2 0+5", minPart-2, minPart-2, minPart-1); got != want {
		t.Errorf("extents are %s, want %s", got, want)
	}
	if got := b.garbage(t); len(got) != 0 {
		t.Errorf("garbage is %v", got)
	}
	err = b.Store.PutPart(ctx, objects.NewPart{Bucket: "b", Key: "to", Upload: b.upload(t, "b", "to", objects.Upload{}).ID, Part: objects.Part{Number: 1, Size: 1}, Source: source.Content}, change(3))
	fails(t, err, objects.ErrNoSuchObject)
	b.delete(t, "b", "to", "")
	if got := b.garbage(t); len(got) != 3 {
		t.Errorf("garbage is %v, want all", got)
	}
}
