package blockstore_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
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
	f.Fuzz(func(t *testing.T, header, trailer []byte, frames int) {
		frames &= 7
		p := slices.Concat(header, make([]byte, frames*frame.Size), trailer)
		for _, trailer := range [][]byte{trailer, signed(trailer)} { // so that what is behind the checksum is reached
			copy(p[len(p)-len(trailer):], trailer)
			x, err := blockstore.ReadPackIndex(bytes.NewReader(p), int64(len(p)))
			if err != nil && !errors.Is(err, blockstore.ErrBadPack) {
				t.Errorf("got %v", err)
			}
			next := uint32(1)
			for _, b := range x.Blocks {
				if err == nil && (b.Off != next || b.Len < 1 || b.Len > frame.Size/4096 || int(b.Off+b.Len)*4096 >= len(p)) {
					t.Errorf("a frame at %+v in %d bytes", b.Span, len(p))
				}
				next = b.Off + b.Len
			}
		}
	})
}

// signed returns a trailer or header with the checksum that fits it.
func signed(p []byte) []byte {
	if len(p) < 4 {
		return p
	}
	q := bytes.Clone(p)
	binary.LittleEndian.PutUint32(q[len(q)-4:], crc32.Checksum(q[:len(q)-4], crc32.MakeTable(crc32.Castagnoli)))
	return q
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
		"entry damaged":    damaged(whole, end-4096+34),
		"trailer damaged":  damaged(whole, end-10),
		"two headers":      slices.Concat(whole[:end-4096], whole[:4096]),
		"no magic":         damaged(whole, 0),
		"no trailer magic": damaged(whole, end-24),
		"too many blocks":  slices.Concat(whole[:end-4096], signed(damaged(whole[end-4096:], 4096-7))),
		"a frame too far":  slices.Concat(whole[:end-4096], signed(damaged(whole[end-4096:], 32))),
		"a frame too long": slices.Concat(whole[:end-4096], signed(damaged(whole[end-4096:], 2*40+36))),
		"another's":        slices.Concat(whole[:end-4096], signed(damaged(whole[end-4096:], 4096-16))),
		"of other units":   slices.Concat(signed(damaged(whole[:4096], 17)), whole[4096:]),
	} {
		if _, err := blockstore.ReadPackIndex(bytes.NewReader(p), int64(len(p))); !errors.Is(err, blockstore.ErrBadPack) {
			t.Errorf("%s: got %v, want ErrBadPack", name, err)
		}
	}
}

// TestPackVersions: a version that is not known is refused by its number.
func TestPackVersions(t *testing.T) {
	r := newRig(t, frame.None, 8)
	packs, _ := r.stored(1)
	var whole []byte
	r.backend.Edit(packs[0].File.Name(), func(p []byte) []byte { whole = p; return p })
	end := len(whole)
	for _, v := range []byte{1, 3} {
		header, trailer := bytes.Clone(whole[:4096]), bytes.Clone(whole[end-4096:])
		header[4], trailer[4096-20] = v, v
		for part, p := range map[string][]byte{
			"header":  slices.Concat(signed(header), whole[4096:]),
			"trailer": slices.Concat(whole[:end-4096], signed(trailer)),
		} {
			_, err := blockstore.ReadPackIndex(bytes.NewReader(p), int64(len(p)))
			if want := fmt.Sprintf("pack version %d", v); !errors.Is(err, blockstore.ErrBadPack) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s of version %d: got %v, want %q", part, v, err, want)
			}
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
