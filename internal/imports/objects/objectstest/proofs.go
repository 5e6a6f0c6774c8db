package objectstest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/imports/objects"
)

func proofs(t *testing.T, b bench) {
	ctx := t.Context()
	b.bucket(t, "b")
	whole := b.piece(t, 10)
	whole.Digest = map[objects.Algorithm][]byte{objects.CRC64NVME: {1, 2, 3, 4, 5, 6, 7, 8}}
	o, err := b.Store.Put(ctx, objects.Put{Bucket: "b", Key: "k", Piece: whole}, change(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Store.Pin(ctx, "b", "k", "", "p"); err != nil {
		t.Fatal(err)
	}
	b.mustPut(t, "b", "gone", 3)
	b.delete(t, "b", "gone", "")
	open := b.piece(t, 1)
	secret := objects.Encryption{Algorithm: "aws:kms", Key: "arn", DataKey: []byte("key")}
	u := b.upload(t, "b", "u", objects.Upload{Encryption: secret})
	part := b.piece(t, 20)
	p := objects.NewPart{Bucket: "b", Key: "u", Upload: u.ID, Part: objects.Part{Number: 1, Size: 20, ETag: "0a"}, Piece: part.ID, DataKey: secret.DataKey}
	if err := b.Store.PutPart(ctx, p, change(0)); err != nil {
		t.Fatal(err)
	}
	plain := b.upload(t, "b", "v", objects.Upload{})
	for number, off := range map[int]int64{1: 0, 2: 4} {
		p := objects.NewPart{Bucket: "b", Key: "v", Upload: plain.ID, Part: objects.Part{Number: number, Size: 4, ETag: "0c"}, Source: o.Content, Off: off}
		if err := b.Store.PutPart(ctx, p, change(0)); err != nil {
			t.Fatal(err)
		}
	}

	rows, err := b.Store.NamedPieces(ctx, 0, 10)
	want := []objects.PieceRow{
		{ID: whole.ID, Size: 10, Proof: "CRC64NVME AQIDBAUGBwg=", Account: account},
		{ID: part.ID, Size: 20, Account: account, Encryption: secret},
	}
	if diff := cmp.Diff(want, rows, asStored); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	if rows, err = b.Store.NamedPieces(ctx, 0, 1); err != nil || cmp.Diff(want[:1], rows, asStored) != "" {
		t.Errorf("the first is %+v, %v", rows, err)
	}
	if rows, err = b.Store.NamedPieces(ctx, whole.ID, 10); err != nil || cmp.Diff(want[1:], rows, asStored) != "" {
		t.Errorf("behind the first are %+v, %v", rows, err)
	}
	if bytes, err := b.Store.PieceBytes(ctx); err != nil || bytes != 30 {
		t.Errorf("they have %d bytes, %v", bytes, err)
	}
	uses, err := b.Store.PieceUses(ctx, whole.ID, 10)
	wantUses := []objects.PieceUse{
		{Bucket: "b", Key: "k", Version: objects.NullVersion}, {Bucket: "b", Key: "v", Upload: plain.ID}, {Bucket: "b", Key: "v", Upload: plain.ID}, {Pin: "p"},
	}
	if diff := cmp.Diff(wantUses, uses); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if uses, err = b.Store.PieceUses(ctx, whole.ID, 2); err != nil || len(uses) != 2 {
		t.Errorf("at most two: %+v, %v", uses, err)
	}
	if uses, err = b.Store.PieceUses(ctx, open.ID, 10); err != nil || len(uses) != 0 {
		t.Errorf("an open one is used by %+v, %v", uses, err)
	}

	// Where a piece begins in an object that has several.
	done, err := b.Store.CompleteUpload(ctx, objects.Completion{Bucket: "b", Key: "v", Upload: plain.ID, Size: -1, Parts: []objects.CompletedPart{{Number: 1, ETag: "0c"}}}, change(1))
	if err != nil || done.Size != 4 {
		t.Fatal(done, err)
	}
	uses, err = b.Store.PieceUses(ctx, whole.ID, 10)
	wantUses = []objects.PieceUse{wantUses[0], {Bucket: "b", Key: "v", Version: objects.NullVersion}, wantUses[3]}
	if diff := cmp.Diff(wantUses, uses); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
