package ebsapi

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/smithy-go"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// TestStartEncryption is the table of contract §7.5: how a request, its parent and
// the account's defaults determine the encryption of a new snapshot.
func TestStartEncryption(t *testing.T) {
	const arn, theirs = "arn:aws:kms:us-east-1:123456789012:key/one", "arn:aws:kms:us-east-1:123456789012:key/two"
	byDefault := snapshot.Defaults{Encrypt: true, KMSKey: theirs}
	for name, c := range map[string]struct {
		defaults snapshot.Defaults
		body     string
		want     string // key; "-": not encrypted
		refused  string // message
		status   int    // of a refusal; 0 is 400
	}{
		"nothing said":            {want: "-", body: `{"VolumeSize":3}`},
		"asked for":               {want: "", body: `{"VolumeSize":3,"Encrypted":true}`},
		"with a key":              {want: arn, body: `{"VolumeSize":3,"Encrypted":true,"KmsKeyArn":"` + arn + `"}`},
		"account's key":           {want: theirs, defaults: snapshot.Defaults{KMSKey: theirs}, body: `{"VolumeSize":3,"Encrypted":true}`},
		"by default":              {want: theirs, defaults: byDefault, body: `{"VolumeSize":3}`},
		"by default with a key":   {want: arn, defaults: byDefault, body: `{"VolumeSize":3,"KmsKeyArn":"` + arn + `"}`},
		"a key alone":             {refused: "The parameter KmsKeyArn requires the parameter Encrypted to be true.", body: `{"VolumeSize":3,"KmsKeyArn":"` + arn + `"}`},
		"parent":                  {want: "-", body: `{"VolumeSize":3,"ParentSnapshotId":"` + snapA + `"}`},
		"parent and a key":        {refused: "The parameters KmsKeyArn and ParentSnapshotId cannot be used together.", defaults: byDefault, body: `{"VolumeSize":3,"ParentSnapshotId":"` + snapA + `","KmsKeyArn":"` + arn + `"}`},
		"another's parent":        {refused: "The snapshot '" + foreign + "' does not exist.", status: 404, defaults: byDefault, body: `{"VolumeSize":3,"ParentSnapshotId":"` + foreign + `"}`},
		"plain parent by default": {refused: "The parent snapshot '" + snapA + "' is not encrypted, and encryption by default is on.", defaults: byDefault, body: `{"VolumeSize":3,"ParentSnapshotId":"` + snapA + `"}`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			f.defaults.set = c.defaults
			got := f.send("POST", "/snapshots", []byte(c.body))
			if c.refused != "" {
				if r := parse(t, got); got.Code != cmp.Or(c.status, 400) || r.Message == nil || *r.Message != c.refused {
					t.Fatalf("got %d %s", got.Code, got.Body)
				}
				return
			}
			key := "-"
			if e := f.drafts.started.Encrypt; e != nil {
				key = e.Key
			}
			if got.Code != 201 || key != c.want {
				t.Errorf("got %d with key %q, want %q", got.Code, key, c.want)
			}
		})
	}
}

func (b *bench) key(t *testing.T, policy string) kms.Key {
	t.Helper()
	who := kms.Caller{Principal: iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":root", Kind: iam.Root}, Region: "us-east-1"}
	k, err := b.kms.CreateKey(t.Context(), who, kms.KeySpec{Policy: policy, Bypass: true})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func reason(err error) string {
	var told smithy.APIError
	if errors.As(err, &told) {
		return told.ErrorCode() + ": " + told.ErrorMessage()
	}
	return ""
}

// TestEncryptedFromEndToEnd writes and reads, and disables and enables the key.
func TestEncryptedFromEndToEnd(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	k := b.key(t, "")
	encrypt := func(in *ebs.StartSnapshotInput) { in.Encrypted, in.KmsKeyArn = aws.Bool(true), aws.String(k.ARN()) }
	id := b.start(1, encrypt)
	once := func(in *ebs.StartSnapshotInput) { encrypt(in); in.ClientToken = aws.String("once") }
	replayed := b.start(1, once)
	blocks := map[int32]string{0: "planted plaintext", 7: "more of it"}
	b.write(id, blocks)
	b.complete(b.drafts, id, blocks)
	b.same(id, blocks)
	if r := b.state(id); r.KMSKey != k.ARN() || r.DataKey == "" {
		t.Errorf("got key %q, data key %q", r.KMSKey, r.DataKey)
	}
	for _, name := range b.backend.Names() {
		b.backend.Edit(name, func(data []byte) []byte {
			if bytes.Contains(data, []byte("planted plaintext")) {
				t.Errorf("%s holds plaintext", name)
			}
			return data
		})
	}
	child := b.start(1, func(in *ebs.StartSnapshotInput) { in.ParentSnapshotId = &id })
	if r := b.state(child); r.KMSKey != k.ARN() {
		t.Errorf("the child is under %q", r.KMSKey)
	}

	if err := b.kms.SetEnabled(ctx, k.Ref, kms.Disable); err != nil {
		t.Fatal(err)
	}
	const disabled = "ValidationException: The KMS key of the request or of the snapshot cannot be used: key-disabled."
	if _, err := b.ListSnapshotBlocks(ctx, &ebs.ListSnapshotBlocksInput{SnapshotId: &id}); reason(err) != disabled {
		t.Errorf("listing under a disabled key: %v", err)
	}
	if err := b.put(child, 3, "x"); reason(err) != disabled {
		t.Errorf("writing under a disabled key: %v", err)
	}
	_, err := b.StartSnapshot(ctx, &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1), Encrypted: aws.Bool(true), KmsKeyArn: aws.String(k.ARN())})
	if reason(err) != disabled {
		t.Errorf("starting under a disabled key: %v", err)
	}
	// A replay is answered even if the key can't be used any more.
	if again := b.start(1, once); again != replayed {
		t.Errorf("a replay started %s, want %s", again, replayed)
	}
	if _, err := b.StartSnapshot(ctx, &ebs.StartSnapshotInput{VolumeSize: aws.Int64(2), ClientToken: aws.String("once")}); code(err) != "ConflictException" {
		t.Errorf("another request with the token: %v", err)
	}
	b.complete(b.drafts, child, nil)
	if r := b.state(child); r.State != snapshot.Failed || r.Message != "Given key ID is not accessible" {
		t.Errorf("completed under a disabled key: %s, %q", r.State, r.Message)
	}
	b.collect() // needs no key
	if err := b.kms.SetEnabled(ctx, k.Ref, kms.Enable); err != nil {
		t.Fatal(err)
	}
	b.same(id, blocks)
}

// TestABlockThatIsKept: a block that was asked for so often that it stays in memory is
// not served while its key is disabled, nor when its snapshot is gone.
func TestABlockThatIsKept(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	k := b.key(t, "")
	id := b.start(1, func(in *ebs.StartSnapshotInput) { in.Encrypted, in.KmsKeyArn = aws.Bool(true), aws.String(k.ARN()) })
	blocks := map[int32]string{0: "kept"}
	b.write(id, blocks)
	b.complete(b.drafts, id, blocks)
	list, err := b.ListSnapshotBlocks(ctx, &ebs.ListSnapshotBlocksInput{SnapshotId: &id})
	if err != nil {
		t.Fatal(err)
	}
	get := func() error {
		out, err := b.GetSnapshotBlock(ctx, &ebs.GetSnapshotBlockInput{SnapshotId: &id, BlockIndex: aws.Int32(0), BlockToken: list.Blocks[0].BlockToken})
		if err != nil {
			return err
		}
		got, err := io.ReadAll(out.BlockData)
		if err == nil && !bytes.Equal(got, content("kept")) {
			t.Error("the block is another")
		}
		return errors.Join(err, out.BlockData.Close())
	}
	reads := 0
	b.lib.Store.Backend = reading{b.lib.Store.Backend, &reads}
	for range 4 {
		if err := get(); err != nil {
			t.Fatal(err)
		}
	}
	if reads != 2 {
		t.Errorf("the block was read %d times, want 2: when it was asked for first and when it was asked for again", reads)
	}
	if err := b.kms.SetEnabled(ctx, k.Ref, kms.Disable); err != nil {
		t.Fatal(err)
	}
	if err := get(); code(err) != "ValidationException" {
		t.Errorf("under a disabled key: %v", err)
	}
	if err := b.kms.SetEnabled(ctx, k.Ref, kms.Enable); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(get(), b.db.Snapshots().Delete(ctx, home, id)); err != nil {
		t.Fatal(err)
	}
	if err := get(); code(err) != "ResourceNotFoundException" {
		t.Errorf("of a deleted snapshot: %v", err)
	}
}

// reading counts the reads of packs.
type reading struct {
	blockstore.Backend
	n *int
}

func (r reading) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if strings.HasPrefix(name, "pack") {
		*r.n++
	}
	return r.Backend.ReadAt(ctx, name, p, off)
}

// caller is the caller that copies are made for.
func (b *bench) caller() kms.Caller {
	return kms.Caller{Principal: b.f.who, Region: "us-east-1", Context: iam.Origin{Time: time.Now()}.Context()}
}

func TestCopyUnderAKey(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	one, two := b.key(t, ""), b.key(t, "")
	source := b.start(1, nil)
	blocks := map[int32]string{0: "a", 9: ""}
	b.write(source, blocks)
	b.complete(b.drafts, source, blocks)
	under := func(from, key string) snapshot.Record {
		t.Helper()
		r := snapshot.CopyRequest{Home: home, SourceRegion: home.Region, Caller: b.caller(), Source: from}
		if key != "" {
			r.Encrypt = &snapshot.Encryption{Key: key}
		}
		rec, err := b.drafts.Copy(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		if rec.State == snapshot.Pending {
			b.settle(b.drafts)
		}
		return b.state(rec.ID)
	}
	first := under(source, one.ID)
	b.same(first.ID, blocks)
	again := under(first.ID, "")
	if again.Domain != first.Domain || again.KMSKey != one.ARN() {
		t.Errorf("a copy of an encrypted snapshot is in %s under %q", again.Domain, again.KMSKey)
	}
	second := under(first.ID, two.ID)
	b.same(second.ID, blocks)
	if second.Domain == first.Domain || second.KMSKey != two.ARN() || second.DataKey == first.DataKey {
		t.Errorf("got %+v", second)
	}
	for what, key := range map[string]string{"unknown": "alias/none", "malformed": "arn:aws:kms"} {
		if r := under(source, key); r.State != snapshot.Failed || r.Message != "Given key ID is not accessible" {
			t.Errorf("%s key: got %s, %q", what, r.State, r.Message)
		}
	}
	if err := b.kms.SetEnabled(ctx, one.Ref, kms.Disable); err != nil {
		t.Fatal(err)
	}
	if r := under(first.ID, two.ID); r.State != snapshot.Failed || r.Message != "Given key ID is not accessible" {
		t.Errorf("from under a disabled key: got %s, %q", r.State, r.Message)
	}
	b.same(second.ID, blocks)
}

// TestKeyGoesWhileACopyIsMade: the key was good when the copy was asked for.
func TestKeyGoesWhileACopyIsMade(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	k := b.key(t, "")
	source := b.start(1, nil)
	b.write(source, map[int32]string{0: "a"})
	b.complete(b.drafts, source, map[int32]string{0: "a"})
	rec, err := b.drafts.Copy(ctx, snapshot.CopyRequest{Home: home, SourceRegion: home.Region, Caller: b.caller(), Source: source, Encrypt: &snapshot.Encryption{Key: k.ID}})
	if err != nil || rec.State != snapshot.Pending {
		t.Fatalf("got %+v, %v", rec, err)
	}
	if err := b.kms.SetEnabled(ctx, k.Ref, kms.Disable); err != nil {
		t.Fatal(err)
	}
	b.settle(b.drafts)
	if r := b.state(rec.ID); r.State != snapshot.Failed || r.Message != "Given key ID is not accessible" {
		t.Errorf("got %s, %q", r.State, r.Message)
	}
}

// TestSharedUnderAKey: sharing a snapshot does not share its key.
func TestSharedUnderAKey(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	k := b.key(t, "")
	id := b.start(1, func(in *ebs.StartSnapshotInput) { in.Encrypted, in.KmsKeyArn = aws.Bool(true), aws.String(k.ARN()) })
	b.write(id, map[int32]string{0: "a"})
	b.complete(b.drafts, id, map[int32]string{0: "a"})
	if err := b.db.Snapshots().Share(ctx, home, id, []string{stranger}, nil); err != nil {
		t.Fatal(err)
	}
	b.f.who = iam.Principal{Account: stranger, ARN: "arn:aws:iam::" + stranger + ":root", Kind: iam.Root}
	if _, err := b.ListSnapshotBlocks(ctx, &ebs.ListSnapshotBlocksInput{SnapshotId: &id}); code(err) != "AccessDeniedException" {
		t.Errorf("without the key: %v", err)
	}
	allow := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::` + account + `:root","arn:aws:iam::` + stranger + `:root"]},"Action":"kms:*","Resource":"*"}]}`
	owner := kms.Caller{Principal: iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":root", Kind: iam.Root}, Region: "us-east-1"}
	if err := b.kms.SetPolicy(ctx, owner, k, kms.KeyPolicy{Document: allow, Bypass: true}); err != nil {
		t.Fatal(err)
	}
	b.same(id, map[int32]string{0: "a"})
	rec, err := b.drafts.Copy(ctx, snapshot.CopyRequest{Home: away, SourceRegion: home.Region, Caller: b.caller(), Source: id})
	if err != nil {
		t.Fatal(err)
	}
	b.settle(b.drafts)
	if r := b.state(rec.ID); r.State != snapshot.Completed || r.KMSKey == "" || r.KMSKey == k.ARN() {
		t.Errorf("a copy of another's encrypted snapshot is %s under %q, want the account's own key", r.State, r.KMSKey)
	}
	rec, err = b.drafts.Copy(ctx, snapshot.CopyRequest{Home: away, SourceRegion: home.Region, Caller: b.caller(), Source: id, DefaultKey: "alias/gone"})
	if err != nil || rec.State != snapshot.Failed {
		t.Errorf("the account's default key is not what a copy is under: %+v, %v", rec, err)
	}
}

// TestCopyShowsItsProgress looks at a copy that dies before its end.
func TestCopyShowsItsProgress(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	k := b.key(t, "")
	source := b.start(1, nil)
	b.write(source, map[int32]string{0: "a", 1: "b"})
	b.complete(b.drafts, source, map[int32]string{0: "a", 1: "b"})
	rec, err := b.drafts.Copy(ctx, snapshot.CopyRequest{Home: home, SourceRegion: home.Region, Caller: b.caller(), Source: source, Encrypt: &snapshot.Encryption{Key: k.ID}})
	if err != nil {
		t.Fatal(err)
	}
	dies := b.node("dies")
	dies.Store = crash{DraftStore: b.db.Snapshots(), before: "publish"}
	b.dies(dies)
	if r := b.state(rec.ID); r.State != snapshot.Pending || r.Progress != 99 {
		t.Errorf("got %s at %d %%, want pending at 99", r.State, r.Progress)
	}
}
