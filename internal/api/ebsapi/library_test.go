package ebsapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// store keeps records and pages in memory, and counts how often pages are asked
// for.
type store struct {
	snapshot.Records // its other methods are not called here

	records map[string]snapshot.Record

	mu      sync.Mutex // guards what follows
	pages   map[snapshot.PageID]snapshot.PagePlace
	lookups int
	broken  bool
}

func (s *store) Get(_ context.Context, _, id string) (snapshot.Record, error) {
	r, ok := s.records[id]
	if !ok {
		return r, snapshot.ErrNotFound
	}
	return r, nil
}

func (s *store) LocatePages(_ context.Context, ids []snapshot.PageID) (map[snapshot.PageID]snapshot.PagePlace, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookups++
	out := map[snapshot.PageID]snapshot.PagePlace{}
	for _, id := range ids {
		if p, ok := s.pages[id]; ok {
			out[id] = p
		}
	}
	return out, nil
}

// shelf is a real library in memory.
type shelf struct {
	*store
	lib     *snapshot.Library
	catalog *blobtest.Catalog
	keys    *frame.Keys
}

func newShelf(t *testing.T) *shelf {
	slots, err := blockstore.NewSlots(12 * frame.Size)
	if err != nil {
		t.Fatal(err)
	}
	s := &shelf{store: &store{records: map[string]snapshot.Record{}, pages: map[snapshot.PageID]snapshot.PagePlace{}}, catalog: blobtest.NewCatalog()}
	key, err := snapshot.NewPageKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if s.keys, err = frame.NewKeys(frame.AES256GCM); err != nil {
		t.Fatal(err)
	}
	blocks := blockstore.NewStore(s.catalog, blobtest.NewMemory(), slots, blockstore.Options{Group: 2, PackBytes: 4*frame.Size + 8192})
	t.Cleanup(func() {
		if err := slots.Close(); err != nil {
			t.Error(err)
		}
	})
	s.lib = &snapshot.Library{Store: blocks, Index: s.store, PageKey: key, Keys: func(context.Context, string) (*frame.Keys, error) {
		if s.broken {
			return nil, errPlanted
		}
		return s.keys, nil
	}}
	return s
}

// add makes a completed snapshot of 1 GiB.
func (s *shelf) add(t *testing.T, id string, v volume) {
	t.Helper()
	ctx := t.Context()
	lease := work.Lease{Unit: work.Unit{ID: 1}, Attempt: 1}
	w := s.lib.NewRangeWriter(ctx, lease, snapshot.Range{Pages: 2, Domain: blockstore.Domain{ID: "dom"}, Keys: s.keys})
	defer w.Abort()
	for _, i := range slices.Sorted(maps.Keys(v)) {
		slot, err := w.Slot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		copy(slot.Payload(), bytes.Repeat([]byte{v[i]}, block.Size))
		if err := w.Put(ctx, i, slot); err != nil {
			t.Fatal(err)
		}
	}
	out, err := w.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.catalog.Insert(out.Packs...)
	for _, p := range out.Pages {
		s.pages[p.ID] = p
	}
	r := snapshot.Record{ID: id, Account: account, Domain: "dom", State: snapshot.Completed, VolumeSize: 1}
	root, err := s.lib.WriteRoot(ctx, lease, r, out.Pages)
	if err != nil {
		t.Fatal(err)
	}
	r.Root, r.Blocks = root.File, root.Blocks
	s.records[id] = r
}

// TestLibrary reads real snapshots through the edge: lists, differences and
// blocks, and opens each only once.
func TestLibrary(t *testing.T) {
	s := newShelf(t)
	before, after := volume{0: 1, 1: 2, 1500: 3}, volume{1: 2, 1500: 4, 2047: 5}
	s.add(t, snapA, before)
	s.add(t, snapB, after)
	f := newFixture()
	f.Snapshots = Library(s.store, s.lib)

	listed := parse(t, f.do("GET", "/snapshots/"+snapA+"/blocks"))
	if got := indexes(listed); !slices.Equal(got, []int64{0, 1, 1500}) {
		t.Errorf("got blocks %v", got)
	}
	changed := parse(t, f.do("GET", "/snapshots/"+snapB+"/changedblocks?firstSnapshotId="+snapA))
	if got := indexes(changed); !slices.Equal(got, []int64{0, 1500, 2047}) {
		t.Errorf("got changes %v", got)
	}
	lookups := s.lookups
	for _, b := range listed.Blocks {
		w := f.do("GET", fmt.Sprintf("/snapshots/%s/blocks/%d?blockToken=%s", snapA, b.BlockIndex, url.QueryEscape(b.BlockToken)))
		body := w.Body.Bytes()
		if w.Code != 200 || len(body) != block.Size || body[block.Size-1] != before[b.BlockIndex] || w.Header().Get("X-Amz-Checksum") != block.Sum(body).Base64() {
			t.Errorf("block %d: got %d, %d bytes, %v", b.BlockIndex, w.Code, len(body), w.Header())
		}
	}
	if s.lookups != lookups {
		t.Errorf("reading blocks of an open snapshot looked up %d pages again", s.lookups-lookups)
	}
	delete(s.records, snapA)
	if w := f.do("GET", "/snapshots/"+snapA+"/blocks"); w.Code != 404 {
		t.Errorf("deleted: got %d", w.Code)
	}
}

// TestLibraryForgets: a snapshot that can't be opened is tried again, and only some
// of those that can stay open.
func TestLibraryForgets(t *testing.T) {
	s := newShelf(t)
	s.add(t, snapA, volume{0: 1})
	l := Library(s.store, s.lib)
	s.broken = true
	if _, err := l.Open(t.Context(), s.records[snapA]); !errors.Is(err, errPlanted) {
		t.Errorf("got %v, want the fault", err)
	}
	s.broken = false
	first, err := l.Open(t.Context(), s.records[snapA])
	if err != nil {
		t.Fatal(err)
	}
	var others []Blocks
	for i := range keptOpen {
		if again, err := l.Open(t.Context(), s.records[snapA]); err != nil || again != first {
			t.Errorf("opened anew: %v", err)
		}
		id := fmt.Sprintf("snap-%017x", i)
		s.add(t, id, volume{0: 1})
		other, err := l.Open(t.Context(), s.records[id])
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, other)
	}
	for _, i := range []int{keptOpen - 1, 0} { // the newest and the oldest
		again, err := l.Open(t.Context(), s.records[fmt.Sprintf("snap-%017x", i)])
		if kept := again == others[i]; err != nil || kept != (i > 0) {
			t.Errorf("snapshot %d of %d is still open: %v (%v), want %d to stay open", i, keptOpen, kept, err, keptOpen)
		}
	}
}

func TestExpiryTime(t *testing.T) {
	got, err := epoch(time.UnixMilli(1592983796490)).MarshalJSON()
	if err != nil || string(got) != "1592983796.49" {
		t.Errorf("got %s, %v", got, err)
	}
}

// TestDamageIsNamed: a client is told which block it is about, and the operator where that
// lies.
func TestDamageIsNamed(t *testing.T) {
	rotten := fmt.Errorf("%s, block 17: pack/00/1, at 4096: %w", snapA, frame.ErrCorrupt)
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"a block":        {about(snapA, &blockError{17, rotten}), "Block 17 of the snapshot '" + snapA + "' is damaged"},
		"its page":       {about(snapA, &blockError{17, fmt.Errorf("%s: page 0: %w", snapA, snapshot.ErrCorrupt)}), "Block 17 of the snapshot '" + snapA + "' is damaged"},
		"a list":         {about(snapA, fmt.Errorf("%s: page 0: %w", snapA, snapshot.ErrCorrupt)), "The list of the blocks of the snapshot '" + snapA + "' is damaged"},
		"its keys":       {about(snapA, fmt.Errorf("keyring: keys of domain dom-1: %w", secret.ErrWrapped)), "The record of the keys of the snapshot '" + snapA + "' is damaged"},
		"something else": {about(snapA, &blockError{17, errors.New("the database does not answer")}), "An internal error has occurred"},
	} {
		f, known := faultOf(tt.err)
		if known || f.Status != http.StatusInternalServerError || f.Code != "InternalServerException" || !strings.HasPrefix(f.Message, tt.want) {
			t.Errorf("%s: %+v, %v, want %q", name, f, known, tt.want)
		}
	}
}
