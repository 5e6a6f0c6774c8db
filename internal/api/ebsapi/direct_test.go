package ebsapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"github.com/aws/smithy-go"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/kms/kmstest"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// bench is a whole service for direct writes, on SQLite and a store in memory.
type bench struct {
	path string // of the database
	*wire
	t       *testing.T
	f       *fixture
	db      *metadb.DB
	backend *blobtest.Memory
	lib     *snapshot.Library
	drafts  *snapshot.Drafts
	kms     *kms.Service
	ring    *keyring.Ring
}

const stranger = "999999999999"

// away is where the stranger's snapshots are.
var away = awsid.Home{Account: stranger, Region: home.Region}

func newBench(t *testing.T) *bench {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.db")
	db, err := metadb.Open(t.Context(), path, metadb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	slots, err := blockstore.NewSlots(12 * frame.Size)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := snapshot.NewPageKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, db: db, path: path, backend: blobtest.NewMemory(), kms: kms.New(kms.Options{Store: db.KMS(), Wrapper: master, Principals: kmstest.Names{}})}
	b.ring = &keyring.Ring{Domains: db.Catalog(), Wrapper: master, KMS: keyring.Embedded{Service: b.kms}}
	store := blockstore.NewStore(db.Catalog(), b.backend, slots, blockstore.Options{})
	t.Cleanup(func() {
		if err := errors.Join(slots.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	b.lib = &snapshot.Library{Store: store, Index: db.Snapshots(), PageKey: pages, Keys: b.ring.Keys, Opened: snapshot.NewOpened(2 * frame.Size)}
	b.drafts = b.node("one")
	b.f = newFixture()
	b.f.API = New(Options{Snapshots: Library(db.Snapshots(), b.lib), Drafts: b.drafts, Keys: b.ring, Defaults: db.Snapshots(), Log: b.f.Log, TokenKey: []byte("k")})
	b.wire = newWire(t, b.f)
	return b
}

// node is one of several that share database and store.
func (b *bench) node(name string) *snapshot.Drafts {
	return &snapshot.Drafts{
		Store: b.db.Snapshots(), Records: b.db.Snapshots(), Library: b.lib, Domains: b.ring,
		IDs: awsid.Source{}, Now: time.Now, Owner: name, Bus: &wake.Bus{},
	}
}

func (b *bench) start(gib int64, change func(*ebs.StartSnapshotInput)) string {
	b.t.Helper()
	in := &ebs.StartSnapshotInput{VolumeSize: &gib}
	if change != nil {
		change(in)
	}
	out, err := b.StartSnapshot(b.t.Context(), in)
	if err != nil {
		b.t.Fatal(err)
	}
	return *out.SnapshotId
}

// content is a block that begins with what; empty, it is all zeros.
func content(what string) []byte {
	p := make([]byte, block.Size)
	copy(p, what)
	return p
}

func (b *bench) put(id string, index int32, what string) error {
	p := content(what)
	_, err := b.PutSnapshotBlock(b.t.Context(), &ebs.PutSnapshotBlockInput{
		SnapshotId: &id, BlockIndex: &index, BlockData: bytes.NewReader(p), DataLength: aws.Int32(block.Size),
		Checksum: aws.String(block.Sum(p).Base64()), ChecksumAlgorithm: "SHA256",
	})
	return err
}

func (b *bench) write(id string, blocks map[int32]string) {
	b.t.Helper()
	for index, what := range blocks {
		if err := b.put(id, index, what); err != nil {
			b.t.Fatal(err)
		}
	}
}

// complete completes a snapshot with count and LINEAR checksum, and settles it on a
// node.
func (b *bench) complete(node *snapshot.Drafts, id string, blocks map[int32]string) {
	b.t.Helper()
	sum := sha256.New()
	for _, index := range slices.Sorted(maps.Keys(blocks)) {
		d := block.Sum(content(blocks[index]))
		sum.Write(d[:])
	}
	out, err := b.CompleteSnapshot(b.t.Context(), &ebs.CompleteSnapshotInput{
		SnapshotId: &id, ChangedBlocksCount: aws.Int32(int32(len(blocks))), Checksum: aws.String(base64.StdEncoding.EncodeToString(sum.Sum(nil))),
		ChecksumAlgorithm: "SHA256", ChecksumAggregationMethod: "LINEAR",
	})
	if err != nil || out.Status != types.StatusPending {
		b.t.Fatalf("got %v, %v", out, err)
	}
	b.settle(node)
}

// settle does the waiting units of complete drafts.
func (b *bench) settle(node *snapshot.Drafts) {
	b.t.Helper()
	r := &work.Runner{Owner: node.Owner, Store: b.db.Work(), Handlers: node.Handlers(), Bus: &wake.Bus{}, Log: b.f.Log, Now: time.Now}
	for did := 0; ; did++ {
		ok, err := r.Step(b.t.Context(), work.Complete, work.Copy)
		if err != nil || did == 0 && !ok {
			b.t.Fatalf("no unit: %v", err)
		}
		if !ok {
			return
		}
	}
}

// dies does the next unit of complete drafts, which must end in a crash.
func (b *bench) dies(node *snapshot.Drafts) {
	b.t.Helper()
	l, ok, err := b.db.Work().Claim(b.t.Context(), work.Claimer{Owner: node.Owner, Kinds: []work.Kind{work.Complete, work.Copy}}, time.Now())
	for err == nil && ok {
		l, ok, err = node.Handlers()[l.Kind].Do(b.t.Context(), &work.Held{Lease: l, Log: b.f.Log})
		if err == nil && !ok {
			l, ok, err = b.db.Work().Claim(b.t.Context(), work.Claimer{Owner: node.Owner, Kinds: []work.Kind{work.Complete, work.Copy}}, time.Now())
		}
	}
	if !errors.Is(err, errCrash) {
		b.t.Fatalf("got %v, want the crash", err)
	}
}

// read returns what the blocks of a snapshot hold, through the API.
func (b *bench) read(id string) map[int32]string {
	b.t.Helper()
	out := map[int32]string{}
	listed, err := b.ListSnapshotBlocks(b.t.Context(), &ebs.ListSnapshotBlocksInput{SnapshotId: &id})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, x := range listed.Blocks {
		got, err := b.GetSnapshotBlock(b.t.Context(), &ebs.GetSnapshotBlockInput{SnapshotId: &id, BlockIndex: x.BlockIndex, BlockToken: x.BlockToken})
		if err != nil {
			b.t.Fatal(err)
		}
		p, err := io.ReadAll(got.BlockData)
		if err != nil || len(p) != block.Size {
			b.t.Fatalf("%d bytes, %v", len(p), err)
		}
		out[*x.BlockIndex] = string(bytes.TrimRight(p, "\x00"))
	}
	return out
}

func (b *bench) same(id string, want map[int32]string) {
	b.t.Helper()
	if got := b.read(id); !maps.Equal(got, want) {
		b.t.Errorf("%s: got %v, want %v", id, got, want)
	}
}

func (b *bench) state(id string) snapshot.Record {
	b.t.Helper()
	r, err := b.db.Snapshots().Get(b.t.Context(), home.Region, id)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bench) collect() gc.Report {
	b.t.Helper()
	c := &gc.Collector{Store: b.db.Garbage(), Backend: b.backend, Aside: b.backend, Pages: b.lib.RootPages, Blocks: b.lib.PageBlocks, Now: time.Now, Poll: time.Millisecond}
	r, err := c.Run(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func TestWriteAndReadBack(t *testing.T) {
	b := newBench(t)
	id := b.start(3, nil)
	blocks := map[int32]string{0: "first", 5: "", 1023: "same", 1024: "same", 6143: "last"}
	b.write(id, map[int32]string{0: "overwritten", 5: "x"})
	b.write(id, blocks)
	if err := b.put(id, 6144, "beyond"); code(err) != "ValidationException" {
		t.Errorf("beyond: %v", err)
	}
	b.complete(b.node("two"), id, blocks) // another node than the one that wrote
	b.same(id, blocks)                    // a written block of zeros is a block
	if r := b.state(id); r.State != snapshot.Completed || r.Blocks != 5 || r.VolumeSize != 3 {
		t.Errorf("got %+v", r)
	}
	b.collect()
	b.same(id, blocks)
	if err := b.put(id, 1, "late"); code(err) != "ValidationException" {
		t.Errorf("written after completion: %v", err)
	}
	again, err := b.CompleteSnapshot(t.Context(), &ebs.CompleteSnapshotInput{SnapshotId: &id, ChangedBlocksCount: aws.Int32(5)})
	if err != nil || again.Status != types.StatusCompleted {
		t.Errorf("completed once more: %v, %v", again, err)
	}
}

// TestWritesTellNothingOfOthers: a completed snapshot of another account is told from
// no snapshot by none of the operations that write.
func TestWritesTellNothingOfOthers(t *testing.T) {
	b := newBench(t)
	done, pending := b.start(1, nil), b.start(1, nil)
	b.write(done, map[int32]string{0: "x"})
	b.complete(b.node("one"), done, map[int32]string{0: "x"})
	b.f.who = iam.Principal{Account: stranger, ARN: "arn:aws:iam::" + stranger + ":root", Kind: iam.Root}
	const absent = "snap-0123456789abcdef0"
	told := func(id string, err error) string { return strings.ReplaceAll(reason(err), id, "it") }
	for _, id := range []string{done, pending} {
		if got, want := told(id, b.put(id, 0, "y")), told(absent, b.put(absent, 0, "y")); got != want {
			t.Errorf("put: got %s, want %s", got, want)
		}
		var texts [2]string
		for i, id := range []string{id, absent} {
			_, err := b.CompleteSnapshot(t.Context(), &ebs.CompleteSnapshotInput{SnapshotId: &id, ChangedBlocksCount: aws.Int32(1)})
			texts[i] = told(id, err)
		}
		if texts[0] != texts[1] {
			t.Errorf("complete: got %s, want %s", texts[0], texts[1])
		}
	}
}

func code(err error) string {
	var told smithy.APIError
	if errors.As(err, &told) {
		return told.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestParent(t *testing.T) {
	b := newBench(t)
	parent := b.start(2, nil)
	old := map[int32]string{0: "a", 1: "b", 2: "c", 1500: "d", 4095: "e"}
	b.write(parent, old)
	b.complete(b.drafts, parent, old)
	child := b.start(3, func(in *ebs.StartSnapshotInput) { in.ParentSnapshotId = &parent })
	if err := b.db.Snapshots().Delete(t.Context(), home, parent); err != nil {
		t.Fatal(err)
	}
	b.collect() // the child holds what it begins as
	changed := map[int32]string{1: "B", 3: "new", 4100: "grown"}
	b.write(child, changed)
	b.complete(b.drafts, child, changed) // counts what was written, not what it inherits
	want := map[int32]string{0: "a", 1: "B", 2: "c", 3: "new", 1500: "d", 4095: "e", 4100: "grown"}
	b.same(child, want)
	if r := b.collect(); r.Blocks != 1 {
		t.Errorf("freed %d blocks, want the one that was replaced", r.Blocks)
	}
	b.same(child, want)
	if r := b.state(child); r.Parent != parent || r.Lineage != parent {
		t.Errorf("got %+v", r)
	}
	_, err := b.StartSnapshot(t.Context(), &ebs.StartSnapshotInput{VolumeSize: aws.Int64(2), ParentSnapshotId: &child})
	if code(err) != "ValidationException" {
		t.Errorf("smaller than its parent: %v", err)
	}
}

// TestForeignParent: blocks of another account's domain are copied, except where
// blocks were written.
func TestForeignParent(t *testing.T) {
	b := newBench(t)
	parent := b.start(1, nil)
	old := map[int32]string{}
	for i := range int32(40) { // more than one append takes
		old[i] = fmt.Sprint("block ", i)
	}
	b.write(parent, old)
	b.complete(b.drafts, parent, old)
	b.f.who.Account = stranger
	if _, err := b.StartSnapshot(t.Context(), &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1), ParentSnapshotId: &parent}); code(err) != "ResourceNotFoundException" {
		t.Errorf("not shared: %v", err)
	}
	if err := b.db.Snapshots().Share(t.Context(), home, parent, []string{stranger}, nil); err != nil {
		t.Fatal(err)
	}
	child := b.start(1, func(in *ebs.StartSnapshotInput) { in.ParentSnapshotId = &parent })
	changed := map[int32]string{33: "mine", 100: "new"}
	b.write(child, changed)
	b.complete(b.drafts, child, changed)
	maps.Copy(old, changed)
	if r := b.state(child); r.Domain == b.state(parent).Domain || r.Account != stranger {
		t.Errorf("got %+v", r)
	}
	if err := b.db.Snapshots().Delete(t.Context(), home, parent); err != nil {
		t.Fatal(err)
	}
	b.collect()
	b.same(child, old)
}

func TestCopy(t *testing.T) {
	b := newBench(t)
	source := b.start(1, nil)
	blocks := map[int32]string{0: "a", 9: ""}
	b.write(source, blocks)
	b.complete(b.drafts, source, blocks)
	names := len(b.backend.Names())
	copied, err := b.drafts.Copy(t.Context(), snapshot.CopyRequest{Home: home, SourceRegion: home.Region, Source: source, Description: "copy"})
	if err != nil || copied.State != snapshot.Pending {
		t.Fatalf("got %+v, %v", copied, err)
	}
	b.settle(b.drafts)
	b.same(copied.ID, blocks)
	if got := len(b.backend.Names()); got != names+1 {
		t.Errorf("%d new files, want the root alone", got-names)
	}
	_, err = b.drafts.Copy(t.Context(), snapshot.CopyRequest{Home: away, SourceRegion: home.Region, Source: source})
	if !errors.Is(err, snapshot.ErrNotFound) {
		t.Errorf("not shared: %v", err)
	}
	if err := b.db.Snapshots().Share(t.Context(), home, source, []string{snapshot.Everybody}, nil); err != nil {
		t.Fatal(err)
	}
	theirs, err := b.drafts.Copy(t.Context(), snapshot.CopyRequest{Home: away, SourceRegion: home.Region, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	b.settle(b.drafts)
	for _, id := range []string{source, copied.ID} {
		if err := b.db.Snapshots().Delete(t.Context(), home, id); err != nil {
			t.Fatal(err)
		}
	}
	b.collect()
	b.f.who.Account = stranger
	b.same(theirs.ID, blocks)
	pending := b.start(1, nil)
	if _, err := b.drafts.Copy(t.Context(), snapshot.CopyRequest{Home: away, SourceRegion: home.Region, Source: pending}); !errors.Is(err, snapshot.ErrNotPending) {
		t.Errorf("a copy of what is pending: %v", err)
	}
}

func TestMismatches(t *testing.T) {
	b := newBench(t)
	sum := aws.String(zeroSum)
	for name, in := range map[string]ebs.CompleteSnapshotInput{
		"count":    {ChangedBlocksCount: aws.Int32(2)},
		"checksum": {ChangedBlocksCount: aws.Int32(1), Checksum: sum, ChecksumAlgorithm: "SHA256", ChecksumAggregationMethod: "LINEAR"},
	} {
		id := b.start(1, nil)
		b.write(id, map[int32]string{3: "x"})
		in.SnapshotId = &id
		if _, err := b.CompleteSnapshot(t.Context(), &in); err != nil {
			t.Errorf("%s: %v, want success", name, err)
		}
		b.settle(b.drafts)
		if r := b.state(id); r.State != snapshot.Failed || r.Message == "" {
			t.Errorf("%s: got %+v", name, r)
		}
		if out, err := b.CompleteSnapshot(t.Context(), &in); err != nil || out.Status != types.StatusError {
			t.Errorf("%s again: %v, %v", name, out, err)
		}
	}
	b.collect()
	if left := b.backend.Names(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestStartTwice(t *testing.T) {
	b := newBench(t)
	in := &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1), ClientToken: aws.String("t"), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}
	first, err := b.StartSnapshot(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	b.complete(b.drafts, *first.SnapshotId, nil)
	again, err := b.StartSnapshot(t.Context(), in)
	if err != nil || *again.SnapshotId != *first.SnapshotId || again.Status != types.StatusCompleted || len(again.Tags) != 1 {
		t.Errorf("got %+v, %v", again, err)
	}
	in.VolumeSize = aws.Int64(2)
	if _, err := b.StartSnapshot(t.Context(), in); code(err) != "ConflictException" {
		t.Errorf("other parameters: %v", err)
	}
}

// TestGroupCommit: puts that arrive together share appends, from two nodes at once.
func TestGroupCommit(t *testing.T) {
	b := newBench(t)
	id := b.start(1, nil)
	nodes := []*snapshot.Drafts{b.drafts, b.node("two")}
	blocks := map[int32]string{}
	var wg sync.WaitGroup
	for i := range int32(80) {
		blocks[i] = fmt.Sprint("block ", i%60) // some repeat
		wg.Go(func() {
			p := content(fmt.Sprint("block ", i%60))
			if err := nodes[i%2].Put(context.Background(), home, id, snapshot.WrittenBlock{Index: int64(i), Data: p, Digest: block.Sum(p)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if packs := len(b.backend.Names()); packs > 40 {
		t.Errorf("%d packs for 80 blocks at once", packs)
	}
	b.complete(b.drafts, id, blocks)
	b.same(id, blocks)
}

// crash is a store of drafts whose node dies before or after some event.
type crash struct {
	snapshot.DraftStore
	before, after string
}

var errCrash = errors.New("the node died")

func (c crash) Append(ctx context.Context, l work.Lease, a snapshot.Appended) error {
	if c.before == "append" {
		return errCrash
	}
	err := c.DraftStore.Append(ctx, l, a)
	if c.after == "append" {
		return errCrash
	}
	return err
}

func (c crash) EndAppend(context.Context, work.Lease) error { return errCrash }

func (c crash) Publish(ctx context.Context, l work.Lease, s snapshot.Manifest) error {
	if c.before == "publish" {
		return errCrash
	}
	return c.DraftStore.Publish(ctx, l, s)
}

// TestCrashes: a node dies between the durable pack and the commit, after the
// commit, and between the durable root and its publication. What was answered with
// success is there, and what was not may be there; everything else is garbage.
func TestCrashes(t *testing.T) {
	b := newBench(t)
	id := b.start(1, nil)
	b.write(id, map[int32]string{0: "kept", 1: "kept too"})
	put := func(c crash, index int64, what string) {
		t.Helper()
		c.DraftStore = b.db.Snapshots()
		node := b.node("dies")
		node.Store = c
		p := content(what)
		if err := node.Put(t.Context(), home, id, snapshot.WrittenBlock{Index: index, Data: p, Digest: block.Sum(p)}); !errors.Is(err, errCrash) {
			t.Fatalf("got %v", err)
		}
	}
	put(crash{before: "append"}, 1, "never")
	put(crash{after: "append"}, 2, "unanswered")
	if err := b.db.Work().ExpireAll(t.Context()); err != nil { // the node's leases lapse
		t.Fatal(err)
	}
	if r := b.collect(); r.Files != 1 {
		t.Errorf("freed %d files, want the pack that nothing names", r.Files)
	}
	if err := b.put(id, 3, "never"); err != nil { // not a dedupe hit: it has to be written
		t.Fatal(err)
	}
	blocks := map[int32]string{0: "kept", 1: "kept too", 2: "unanswered", 3: "never"}
	if err := b.db.Snapshots().Complete(t.Context(), home, id, snapshot.Expected{Blocks: 4}); err != nil {
		t.Fatal(err)
	}
	dies := b.node("dies")
	dies.Store = crash{DraftStore: b.db.Snapshots(), before: "publish"}
	b.dies(dies)
	if err := b.db.Work().ExpireAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.settle(b.drafts)
	b.collect()
	b.same(id, blocks)
}

// TestConflict: one index can't be written with different data at the same time.
func TestConflict(t *testing.T) {
	b := newBench(t)
	id := b.start(1, nil)
	started, going := make(chan struct{}), make(chan struct{})
	slow := b.node("slow")
	slow.Store = gate{b.db.Snapshots(), started, going}
	put := func(what string) error {
		p := content(what)
		return slow.Put(context.Background(), home, id, snapshot.WrittenBlock{Index: 1, Data: p, Digest: block.Sum(p)})
	}
	first := make(chan error, 1)
	go func() { first <- put("one") }()
	<-started
	if err := put("two"); !errors.Is(err, snapshot.ErrConflict) {
		t.Errorf("got %v, want a conflict", err)
	}
	close(going)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// gate lets appends through once going is closed.
type gate struct {
	snapshot.DraftStore
	started, going chan struct{}
}

func (g gate) Append(ctx context.Context, l work.Lease, a snapshot.Appended) error {
	close(g.started)
	<-g.going
	return g.DraftStore.Append(ctx, l, a)
}

// TestACopyIsWholeWhateverItsRowsSay: the draft's own word that everything was
// copied, and the rows of what was, are checked against the base.
func TestACopyIsWholeWhateverItsRowsSay(t *testing.T) {
	for name, harm := range map[string]func(b *bench){
		"it is said to be copied": func(b *bench) { b.sql(`UPDATE drafts SET copied = 1`) },
		"a row of it is lost": func(b *bench) {
			r := &work.Runner{Owner: "n", Store: b.db.Work(), Handlers: b.drafts.Handlers(), Bus: &wake.Bus{}, Log: b.f.Log, Now: time.Now}
			if ok, err := r.Step(t.Context(), work.Complete); !ok || err != nil { // cuts it into ranges
				t.Fatal(ok, err)
			}
			l, ok, err := b.db.Work().Claim(t.Context(), work.Claimer{Owner: "n", Kinds: []work.Kind{work.Copy}}, time.Now())
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			next, ok, err := b.drafts.Handlers()[work.Copy].Do(t.Context(), &work.Held{Lease: l, Log: b.f.Log})
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			b.sql(`DELETE FROM draft_blocks WHERE block = 2`)
			if err := b.db.Work().Release(t.Context(), next, work.Complete, time.Now()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			source, blocks := b.start(1, nil), map[int32]string{}
			for i := range int32(5) {
				blocks[i] = fmt.Sprint("block ", i)
			}
			b.write(source, blocks)
			b.complete(b.drafts, source, blocks)
			if err := b.db.Snapshots().Share(t.Context(), home, source, []string{snapshot.Everybody}, nil); err != nil {
				t.Fatal(err)
			}
			theirs, err := b.drafts.Copy(t.Context(), snapshot.CopyRequest{Home: away, SourceRegion: home.Region, Source: source})
			if err != nil {
				t.Fatal(err)
			}
			harm(b)
			b.settle(b.drafts)
			if r := b.state(theirs.ID); r.State != snapshot.Completed || r.Blocks != 5 {
				t.Errorf("the copy is %s with %d blocks, want all 5", r.State, r.Blocks)
			}
		})
	}
}

// sql does to the database what no event does.
func (b *bench) sql(stmt string) {
	b.t.Helper()
	c, err := sql.Open("sqlite", "file:"+b.path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Exec(stmt); err != nil {
		b.t.Fatal(err)
	}
}

// stuck is a back end with a file that can't be removed.
type stuck struct {
	*blobtest.Memory
	name string
}

func (s stuck) Remove(ctx context.Context, name string) error {
	if name == s.name {
		return errors.New("input/output error")
	}
	return s.Memory.Remove(ctx, name)
}

// TestOneFileThatCannotBeRemovedKeepsNoOther from being removed, and is named.
func TestOneFileThatCannotBeRemovedKeepsNoOther(t *testing.T) {
	b := newBench(t)
	for i := range 4 {
		id, blocks := b.start(1, nil), map[int32]string{0: fmt.Sprint("of ", i)}
		b.write(id, blocks)
		b.complete(b.drafts, id, blocks)
		if err := b.db.Snapshots().Delete(t.Context(), home, id); err != nil {
			t.Fatal(err)
		}
	}
	lowest, name := blockstore.FileID(0), ""
	for _, n := range b.backend.Names() {
		if f, ok := blockstore.ParseName(n); ok && (name == "" || f.ID < lowest) {
			lowest, name = f.ID, n
		}
	}
	c := &gc.Collector{Store: b.db.Garbage(), Backend: stuck{b.backend, name}, Aside: b.backend, Pages: b.lib.RootPages, Blocks: b.lib.PageBlocks, Now: time.Now, Poll: time.Millisecond}
	var named bool
	for range 3 {
		r, err := c.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		named = named || strings.Contains(fmt.Sprint(r.Damaged), name)
	}
	if left := b.backend.Names(); len(left) != 1 || !named {
		t.Errorf("%q stay, named: %v; want the one that can't be removed", left, named)
	}
}
