package blockstore_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
	"github.com/diskport/diskport/internal/store/frame"
)

// bytes returns what is in a closed file.
func (r *rig) bytes(f blockstore.File) []byte {
	var all []byte
	r.backend.Edit(f.Name(), func(p []byte) []byte { all = p; return p })
	return all
}

// TestRewriter writes a pack of frames of all lengths, and reads it back.
func TestRewriter(t *testing.T) {
	for name, c := range map[string]frame.Cipher{"plain": frame.None, "encrypted": frame.AES256GCM} {
		t.Run(name, func(t *testing.T) {
			const n = 40 // more than a write of the writer
			r := newRig(t, c, 8)
			comp, err := frame.NewCompressor(1)
			if err != nil {
				t.Fatal(err)
			}
			w, err := r.store.NewRewriter(t.Context(), r.lease, r.domain, nil, 1<<20, 0)
			if err != nil {
				t.Fatal(err)
			}
			plain, buf, scratch := make([]byte, block.Size), make([]byte, frame.Size), make([]byte, frame.ScratchSize)
			var want []blockstore.Placement
			for i := range n {
				fill(plain, i)
				for at := 0; at < i*block.Size/n/2; at += 8 {
					plain[at] = byte(at>>3) ^ byte(at>>11)*byte(i)
				}
				id := r.keys.BlockID(block.Sum(plain))
				framed := buf
				if i%3 == 0 {
					copy(buf, plain)
					err = r.keys.Frame(buf, id, scratch)
				} else {
					framed, err = comp.Frame(r.keys, buf, plain, id, scratch)
				}
				if err != nil || framed == nil {
					t.Fatal(i, err)
				}
				at, err := w.Add(t.Context(), id, framed)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, blockstore.Placement{ID: id, Span: at.Span})
			}
			size := w.Size()
			pack, err := w.Finish(t.Context())
			if err != nil || !slices.Equal(pack.Blocks, want) || pack.Bytes != size+4096 {
				t.Fatalf("%d blocks in %d bytes, %v, want %d in %d", len(pack.Blocks), pack.Bytes, err, len(want), size+4096)
			}
			w.Abort(t.Context()) // does nothing any more
			whole := r.bytes(pack.File)
			x, err := blockstore.ReadPackIndex(bytes.NewReader(whole), int64(len(whole)))
			if err != nil || x.File != pack.File || !slices.Equal(x.Blocks, want) {
				t.Errorf("the pack says %+v, %v", x, err)
			}
			for i, b := range want {
				payload, _, err := r.store.Get(t.Context(), r.keys, b.ID, blockstore.Location{File: pack.File, Span: b.Span}, buf)
				if err != nil || len(payload) != block.Size {
					t.Errorf("block %d: %v", i, err)
				}
			}
		})
	}
}

func TestRewriterRefuses(t *testing.T) {
	r := newRig(t, frame.None, 8)
	w, err := r.store.NewRewriter(t.Context(), r.lease, r.domain, nil, 1<<20, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, frame.Unit + 1, frame.Size + frame.Unit} {
		if _, err := w.Add(t.Context(), block.ID{}, make([]byte, n)); err == nil {
			t.Errorf("a frame of %d bytes was taken", n)
		}
	}
	w.Abort(t.Context())
	if names := r.backend.Names(); len(names) != 0 {
		t.Errorf("files %q stay", names)
	}
	broken := errors.New("broken")
	for step, op := range []string{"row", "create", "write"} {
		r.journal.Before = failAt(op, broken)
		if _, err := r.store.NewRewriter(t.Context(), r.lease, r.domain, nil, 1<<20, 0); !errors.Is(err, broken) {
			t.Errorf("step %d: %v", step, err)
		}
		if names := r.backend.Names(); len(names) != 0 {
			t.Errorf("step %d: files %q stay", step, names)
		}
	}
}

// failAt returns a hook that makes steps of a kind fail.
func failAt(op string, err error) func(blobtest.Step) error {
	return func(s blobtest.Step) error {
		if s.Op == op {
			return err
		}
		return nil
	}
}
