package snapshot

import (
	"context"
	"sync"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/work"
)

const (
	// maxAppend is how many blocks one append commits: a pack of 16 MiB.
	maxAppend = 32
	// maxCommitting is how many appends to one draft are made durable at a time
	// on a node. While one waits for the disk, the blocks of another are framed.
	maxCommitting = 2
	// appendFor bounds an append. It is long enough to do without a heartbeat, and
	// short enough for gc, which waits that long for a node that died.
	appendFor = time.Minute
)

// appender gathers the blocks that are put to one draft at the same time into
// appends (group commit).
type appender struct {
	drafts *Drafts
	draft  Draft
	users  int           // guarded by Drafts.mu
	turn   chan struct{} // a token for each append that is being made durable

	mu     sync.Mutex // guards what follows
	next   *appending // takes blocks; nil: none
	flight map[int64]flight
}

// flight is an index that is being written, until the append that it is part of has
// ended: a client that gave up waiting may write other content there only then, or
// the older block could be committed after the newer one.
type flight struct {
	digest  block.Digest
	appends int // that the index is part of
}

// appending is an append that is under way.
type appending struct {
	joined []int64        // indexes of the blocks; guarded by appender.mu
	adds   sync.WaitGroup // blocks that are on their way into packs

	begin  sync.Once
	lease  work.Lease
	packs  *blockstore.PackWriter
	failed error // of beginning it

	mu       sync.Mutex // guards what follows
	blocks   map[int64]DraftBlock
	progress int
	err      error // of the first block that could not be added

	done chan struct{} // closed when it is over
	end  error         // set before done is closed
}

func newAppender(d *Drafts, draft Draft) *appender {
	return &appender{drafts: d, draft: draft, turn: make(chan struct{}, maxCommitting), flight: map[int64]flight{}}
}

// put adds a block to an append and returns when that is committed. The call that
// starts an append commits it.
func (a *appender) put(ctx context.Context, b WrittenBlock) error {
	to, leader, err := a.enter(b)
	if err != nil {
		return err
	}
	unit, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendFor) // it is not this request's alone
	defer cancel()
	func() {
		defer to.adds.Done() // also when adding panics: the leader waits for it
		to.keep(work.Guard(func() error { return a.add(unit, to, b) }))
	}()
	if leader {
		a.commit(unit, to)
	}
	select {
	case <-to.done:
		return to.end
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter joins the append that is taking blocks, or starts one.
func (a *appender) enter(b WrittenBlock) (to *appending, leader bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f, ok := a.flight[b.Index]
	if ok && f.digest != b.Digest {
		return nil, false, ErrConflict
	}
	a.flight[b.Index] = flight{b.Digest, f.appends + 1}
	if leader = a.next == nil; leader {
		a.next = &appending{blocks: map[int64]DraftBlock{}, done: make(chan struct{})}
	}
	to = a.next
	to.adds.Add(1)
	if to.joined = append(to.joined, b.Index); len(to.joined) == maxAppend {
		a.next = nil
	}
	return to, leader, nil
}

// landed takes the indexes of an append that has ended out of flight.
func (a *appender) landed(to *appending) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, index := range to.joined {
		f := a.flight[index]
		if f.appends--; f.appends == 0 {
			delete(a.flight, index)
		} else {
			a.flight[index] = f
		}
	}
}

// add puts a block into the packs of an append.
func (a *appender) add(ctx context.Context, to *appending, b WrittenBlock) error {
	to.begin.Do(func() {
		to.failed = work.Guard(func() error { return a.drafts.beginAppend(ctx, a.draft, to) })
	})
	if to.failed != nil {
		return to.failed
	}
	return a.drafts.add(ctx, to, DraftBlock{Index: b.Index, Digest: b.Digest}, b.Data, b.Progress)
}

// add puts data into the packs of an append.
func (d *Drafts) add(ctx context.Context, to *appending, b DraftBlock, data []byte, progress int) error {
	slot, err := d.Library.Store.Slots.Get(ctx)
	if err != nil {
		return err
	}
	copy(slot.Payload(), data)
	if b.ID, err = to.packs.AddSummed(ctx, slot, b.Digest); err != nil {
		return err
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	to.blocks[b.Index] = b
	to.progress = max(to.progress, progress)
	return nil
}

// commit waits for its turn, closes the append to others, and commits it.
func (a *appender) commit(ctx context.Context, to *appending) {
	a.turn <- struct{}{}
	defer func() { <-a.turn }()
	a.mu.Lock()
	if a.next == to {
		a.next = nil
	}
	a.mu.Unlock()
	to.adds.Wait()
	to.end = a.drafts.endAppend(ctx, to)
	a.landed(to)
	close(to.done)
}

// beginAppend takes a lease, so that gc waits for the append, and starts a pack.
func (d *Drafts) beginAppend(ctx context.Context, draft Draft, to *appending) error {
	domain, keys, err := d.Domains.Open(ctx, draft.Domain)
	if err != nil {
		return err
	}
	if to.lease, err = d.Store.BeginAppend(ctx, draft, d.Owner, d.Now().Add(appendFor)); err != nil {
		return err
	}
	to.packs = d.Library.Store.NewSmallPackWriter(context.WithoutCancel(ctx), to.lease, domain, keys, maxAppend)
	return nil
}

// endAppend makes the packs durable and commits the append.
func (d *Drafts) endAppend(ctx context.Context, to *appending) error {
	if to.packs == nil {
		return to.err
	}
	if to.err != nil {
		to.packs.Abort()
		_ = d.Store.EndAppend(ctx, to.lease) // if this fails, it lapses
		return to.err
	}
	packs, _, err := to.packs.Finish(ctx)
	if err == nil {
		done := Appended{Packs: packs, Progress: to.progress}
		for _, b := range to.blocks {
			done.Blocks = append(done.Blocks, b)
		}
		err = d.Store.Append(ctx, to.lease, done)
	}
	if err != nil {
		_ = d.Store.EndAppend(ctx, to.lease) // the files that were written have rows, so gc finds them
	}
	return err
}

// keep keeps the first error.
func (p *appending) keep(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}
