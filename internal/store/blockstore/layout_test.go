package blockstore_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
)

func FuzzReadPackIndex(f *testing.F) {
	r := newRig(f, frame.None, 8)
	r.domain.KMSKey = "arn:aws:kms:us-east-1:000000000001:key/1"
	w := r.writer()
	if err := r.add(w, 0, 2, 1); err != nil {
		f.Fatal(err)
	}
	packs, _, err := w.Finish(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	var whole []byte
	r.backend.Edit(packs[0].File.Name(), func(p []byte) []byte { whole = p; return p })
	// The frames are left out: they are not parsed here, and inputs stay small.
	f.Add(whole[:4096], whole[len(whole)-4096:], 2)
	f.Add(whole[:4096], whole[:4096], 0)
	f.Fuzz(func(t *testing.T, header, trailer []byte, slots int) {
		slots &= 7
		p := slices.Concat(header, make([]byte, slots*frame.Size), trailer)
		x, err := blockstore.ReadPackIndex(bytes.NewReader(p), int64(len(p)))
		if err == nil && (len(x.Blocks) != slots || len(p) != 4096+slots*frame.Size+4096) {
			t.Errorf("%d blocks in %d bytes", len(x.Blocks), len(p))
		}
	})
}

// TestPackIndexRefuses damages a pack where a checksum alone would not notice.
func TestPackIndexRefuses(t *testing.T) {
	r := newRig(t, frame.None, 8)
	packs, _ := r.stored(3)
	var whole []byte
	r.backend.Edit(packs[0].File.Name(), func(p []byte) []byte { whole = p; return p })
	end := len(whole)
	for name, p := range map[string][]byte{
		"empty":            {},
		"header alone":     whole[:4096],
		"cut":              whole[:end-1],
		"without a frame":  slices.Concat(whole[:4096], whole[4096+frame.Size:]),
		"header damaged":   damaged(whole, 30),
		"trailer damaged":  damaged(whole, end-4096+40),
		"two headers":      slices.Concat(whole[:end-4096], whole[:4096]),
		"no magic":         damaged(whole, 0),
		"no trailer magic": damaged(whole, end-4096),
	} {
		if _, err := blockstore.ReadPackIndex(bytes.NewReader(p), int64(len(p))); !errors.Is(err, blockstore.ErrBadPack) {
			t.Errorf("%s: got %v, want ErrBadPack", name, err)
		}
	}
}

func damaged(p []byte, at int) []byte {
	q := bytes.Clone(p)
	q[at]++
	return q
}

func TestDomainThatDoesNotFit(t *testing.T) {
	r := newRig(t, frame.None, 8)
	r.domain.WrappedKeys = make([]byte, 4050)
	w := r.writer()
	if err := r.add(w, 0, 8, 1); err == nil {
		t.Error("a header of more than a page was taken")
	}
	if _, _, err := w.Finish(t.Context()); err == nil {
		t.Error("Finish succeeds")
	}
	if names := r.backend.Names(); len(names) != 0 {
		t.Errorf("files %q stay", names)
	}
}
