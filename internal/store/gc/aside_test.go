package gc

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
)

// rows is a Store without garbage.
type rows struct {
	Store
	facts map[blockstore.FileID]FileFacts
}

func (r rows) InFlight(context.Context, time.Time) ([]Fence, error) { return nil, nil }
func (r rows) Pending(context.Context) (bool, error)                { return false, nil }
func (r rows) Look(context.Context, []blockstore.FileID) (map[blockstore.FileID]FileFacts, error) {
	return r.facts, nil
}

func (r rows) FilesWithRows(context.Context, []blockstore.FileID) (map[blockstore.FileID]bool, error) {
	with := map[blockstore.FileID]bool{}
	for id, f := range r.facts {
		with[id] = f.Row
	}
	return with, nil
}

// What was set aside and has a row now, or is named, comes back instead of being purged.
func TestBringBackNamed(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	file := func(id blockstore.FileID) blockstore.File {
		return blockstore.File{ID: id, Kind: blockstore.PackFile}
	}
	store := rows{facts: map[blockstore.FileID]FileFacts{
		1: {File: file(1), Row: true, Named: true, Entries: 1},
		2: {File: file(2), Named: true},
		3: {File: file(3), Row: true, Open: true},
	}}
	files := blobtest.NewMemory()
	for id := blockstore.FileID(1); id <= 4; id++ {
		w, err := files.Create(t.Context(), file(id).Name(), blockstore.Align)
		if err == nil {
			err = w.WriteAt(t.Context(), [][]byte{blockstore.AlignedBytes(blockstore.Align)}, 0)
		}
		if err == nil {
			err = w.Close(t.Context(), blockstore.Align)
		}
		if err == nil {
			err = files.SetAside(t.Context(), file(id).Name(), at)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c := &Collector{Store: store, Backend: files, Aside: files, Now: func() time.Time { return at.Add(31 * 24 * time.Hour) }}
	r, err := c.Run(t.Context())
	if err != nil || r.Purged.Files != 2 {
		t.Errorf("purged %d files, %v; want those of an open row and of none", r.Purged.Files, err)
	}
	if diff := cmp.Diff([]string{file(1).Name(), file(2).Name()}, files.Names()); diff != "" {
		t.Errorf("files in the store (-want +got):\n%s", diff)
	}
}

// No cycle begins while rows are entered between two.
func TestBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Collector{Store: rows{}, Backend: blobtest.NewMemory(), Aside: blobtest.NewMemory(), Now: time.Now}
		ran := make(chan error, 1)
		err := c.Between(t.Context(), func() error {
			go func() {
				_, err := c.Run(t.Context())
				ran <- err
			}()
			synctest.Wait()
			select {
			case err := <-ran:
				t.Errorf("a cycle ran meanwhile: %v", err)
			default:
			}
			return nil
		})
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// A file that another cycle removed while the files were listed is not one that the
// database does not know.
func TestFilesThatAreGoneAreNotUnknown(t *testing.T) {
	c := &Collector{Backend: blobtest.NewMemory()}
	found := []blockstore.FoundFile{{File: blockstore.File{ID: 1, Kind: blockstore.PackFile}, Closed: true}}
	if still, gone, err := c.stillThere(t.Context(), found); err != nil || len(still) > 0 || gone != 1 {
		t.Errorf("%v are still there, %d are gone, %v", still, gone, err)
	}
}
