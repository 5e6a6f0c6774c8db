package compact

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
)

// benchFrames is how many uncompressed frames are read and worked on at a time:
// 4 MiB. It is also the most frames, however short they are.
const benchFrames = 8

// maxFrames is the most frames that are worked on at a time.
const maxFrames = 256

// bench is the memory of one run: frames that were read, room for what they become,
// and the tools of the goroutines that work on them.
type bench struct {
	in, out []byte
	frames  []loaded
	tools   []*tool
}

// loaded is a frame that was read.
type loaded struct {
	blockstore.Placement
	data       []byte // what is to be written
	room       []byte // as long as data
	key        uint32 // number of the data key that it is under then
	compressed bool   // just now
	encrypted  bool   // just now, under another data key
	err        error  // it stays where it is
	fatal      error  // this machine computes wrongly
}

// tool is what one goroutine needs.
type tool struct {
	comp    *frame.Compressor
	opened  []byte
	plain   []byte
	scratch []byte
}

func newBench(workers int) (*bench, error) {
	comp, err := frame.NewCompressor(workers)
	if err != nil {
		return nil, err
	}
	b := &bench{in: make([]byte, benchFrames*frame.Size), out: make([]byte, benchFrames*frame.Size)}
	for range workers {
		b.tools = append(b.tools, &tool{comp, make([]byte, frame.Size), make([]byte, block.Size), make([]byte, frame.ScratchSize)})
	}
	return b, nil
}

// take returns how many of the blocks fit on the bench.
func (b *bench) take(live []blockstore.Placement) (n int) {
	for used := 0; n < min(len(live), maxFrames); n++ {
		if used += int(live[n].Len) * blockstore.Align; used > len(b.in) {
			break
		}
	}
	return max(1, n)
}

// read reads frames of a file, neighbours at once. Errors of single frames are in
// these.
func (b *bench) read(ctx context.Context, s *blockstore.Store, f blockstore.File, some []blockstore.Placement) ([]loaded, error) {
	b.frames = b.frames[:0]
	for i := 0; i < len(some); {
		n := neighbours(some[i:])
		at := int64(some[i].Off) * blockstore.Align
		used := b.used()
		size := spanned(some[i : i+n])
		err := s.ReadAt(ctx, f, b.in[used:used+size], at)
		for _, p := range some[i : i+n] {
			end := used + int64(p.Len)*blockstore.Align
			fr := loaded{Placement: p, data: b.in[used:end], room: b.out[used:end]}
			if fr.err = err; err != nil && !errors.Is(err, blockstore.ErrUnavailable) { // some of it may be readable
				fr.err = s.ReadAt(ctx, f, fr.data, int64(p.Off)*blockstore.Align)
			}
			b.frames = append(b.frames, fr)
			used = end
		}
		i += n
	}
	return b.frames, ctx.Err()
}

// used returns the bytes that the frames on the bench take.
func (b *bench) used() (n int64) {
	for i := range b.frames {
		n += int64(len(b.frames[i].data))
	}
	return n
}

// neighbours returns how many of the first frames lie one behind the other.
func neighbours(some []blockstore.Placement) int {
	n := 1
	for n < len(some) && some[n-1].Before(some[n].Span) {
		n++
	}
	return n
}

// each lets the tools work on all frames.
func (b *bench) each(frames []loaded, fn func(*tool, *loaded)) {
	var next atomic.Int64
	var working sync.WaitGroup
	for _, t := range b.tools {
		working.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(frames)); i = next.Add(1) - 1 {
				fn(t, &frames[i])
			}
		})
	}
	working.Wait()
}

// handling says what is done with the frames of a pack.
type handling struct {
	store    *blockstore.Store
	file     blockstore.File
	keys     *frame.Keys // nil: they are copied as they are
	compress bool        // those that are not compressed
	retire   uint32      // those under data keys with lower numbers are encrypted anew
}

// rework checks a frame, compresses it if that is worth it, and encrypts it anew if its
// data key is to go.
func (t *tool) rework(ctx context.Context, fr *loaded, how handling) {
	if fr.err != nil {
		return
	}
	info, err := frame.Inspect(fr.data)
	if err == nil && info.ID != fr.ID {
		err = fmt.Errorf("%w: frame of another block", frame.ErrCorrupt)
	}
	if err != nil {
		fr.err = err
		return
	}
	fr.key = info.Key
	if how.keys == nil {
		return
	}
	if how.compress && !info.Compressed {
		if t.compress(ctx, fr, how); fr.err != nil || fr.fatal != nil || fr.compressed {
			return
		}
	}
	if info.Key < how.retire {
		t.encrypt(ctx, fr, how)
	}
}

// compress compresses a frame if that is worth it.
func (t *tool) compress(ctx context.Context, fr *loaded, how handling) {
	keys := how.keys
	copy(t.opened, fr.data) // an encrypted frame is opened in place
	plain, _, err := how.store.Open(ctx, keys, blockstore.Location{File: how.file, Span: fr.Span}, t.opened, nil, fr.ID)
	if err != nil {
		fr.err = err
		return
	}
	packed, err := t.comp.Frame(keys, fr.room, plain, fr.ID, t.scratch)
	if err != nil {
		fr.fatal = err
	} else if packed != nil {
		fr.encrypted = fr.key != keys.Newest()
		fr.data, fr.key, fr.compressed = packed, keys.Newest(), true
	}
}

// encrypt encrypts a frame anew, under the newest data key.
func (t *tool) encrypt(ctx context.Context, fr *loaded, how handling) {
	keys := how.keys
	opened := t.opened[:len(fr.data)]
	copy(opened, fr.data)
	out := fr.room[:len(fr.data)]
	if err := how.store.Reencrypt(ctx, keys, blockstore.Location{File: how.file, Span: fr.Span}, opened, t.plain, out, fr.ID, t.scratch); err != nil {
		fr.err = err
		return
	}
	fr.data, fr.key, fr.encrypted = out, keys.Newest(), true
}
