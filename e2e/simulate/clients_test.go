package simulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// model is what clients know.
type model struct {
	snapshots map[int]*modelled // by the op that makes it
	tasks     map[int]*task
}

// modelled is a snapshot.
type modelled struct {
	account int
	may     map[int64]map[int]bool // what a block may hold; one that is not here is absent
	made    bool                   // whoever makes it has done so
	deletes bool                   // somebody has asked for it to be deleted
	deleted bool                   // and got an answer
	told    bool                   // that it is there all the same
	due     bool                   // it was accepted: it must be completed, or deleted
	failing bool                   // it must fail
}

type task struct {
	id        string
	accepted  bool
	cancelled bool
}

// only says what a block holds.
func only(content int) map[int]bool { return map[int]bool{content: true} }

func (m *modelled) copy() map[int64]map[int]bool {
	c := map[int64]map[int]bool{}
	for i, may := range m.may {
		c[i] = maps.Clone(may)
	}
	return c
}

func describe(o op) string { return fmt.Sprint("op ", o.n) }

// opOf returns the op that made a snapshot.
func opOf(description string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(description, "op "))
	return n
}

// Timing of calls: an SDK's, about.
const (
	callFor = 30 * time.Second
	tries   = 12
)

// errTimeout is that of a client that waits no longer.
var errTimeout = errors.New("the call has timed out")

// unknown reports whether an error leaves it open what has happened, so that clients try again.
func unknown(err error) bool {
	for _, e := range []error{
		errDied, errStore, errSource, errTimeout, work.ErrNoDatabase, work.ErrLost, context.Canceled, context.DeadlineExceeded, fs.ErrNotExist, source.ErrUnavailable, blockstore.ErrNotExist,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// pickNode returns a node that takes requests, or nil.
func (w *world) pickNode() *node {
	w.mu.Lock()
	defer w.mu.Unlock()
	var up, awake []*node
	for _, n := range w.live {
		if n != nil && n.takes() {
			up = append(up, n)
			if !n.isFrozen() {
				awake = append(awake, n)
			}
		}
	}
	if len(awake) > 0 && w.rng.IntN(8) > 0 { // whoever chooses notices in most cases
		up = awake
	}
	if len(up) == 0 {
		return nil
	}
	return up[w.rng.IntN(len(up))]
}

func (n *node) isFrozen() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.thaw != nil
}

func (n *node) takes() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.up && !n.isDead()
}

// serve has the node answer a request in a goroutine of its own. It returns false if it takes none.
func (n *node) serve(fn func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.up || n.isDead() {
		return false
	}
	n.calls.Go(fn)
	return true
}

// try makes a call once, on any node; who names whoever makes it.
func try[T any](w *world, who string, fn func(ctx context.Context, n *node) (T, error)) (v T, err error) {
	n := w.pickNode()
	if n == nil {
		return v, errDied
	}
	return tryOn(w, n, who, fn)
}

// tryOn is try on a given node.
func tryOn[T any](w *world, n *node, who string, fn func(ctx context.Context, n *node) (T, error)) (v T, err error) {
	type result struct {
		v   T
		err error
	}
	ended := make(chan result, 1)
	ctx, cancel := context.WithTimeout(as(n.ctx, who), callFor)
	defer cancel()
	if !n.serve(func() {
		ctx, end := n.steady(ctx)
		defer end()
		v, err := fn(ctx, n)
		ended <- result{v, err}
	}) {
		return v, errDied
	}
	select {
	case r := <-ended:
		return r.v, r.err
	case <-ctx.Done():
		return v, errTimeout
	}
}

// call makes a call that may be repeated, until it is answered.
func call[T any](w *world, o op, what string, fn func(ctx context.Context, n *node) (T, error)) (v T, err error) {
	for i := range tries {
		if v, err = try(w, describe(o), fn); !unknown(err) {
			w.note(nil, "op %d: %s%s", o.n, what, suffix(err))
			return v, err
		}
		w.note(nil, "op %d: %s: try %d: %v", o.n, what, i+1, err)
		time.Sleep(min(time.Second<<i, 10*time.Second))
	}
	return v, errors.Join(errGaveUp, err)
}

// expect fails the run for an error that is neither unknown nor allowed.
func (w *world) expect(o op, what string, err error, allowed ...error) {
	if err == nil || unknown(err) {
		return
	}
	for _, a := range allowed {
		if errors.Is(err, a) {
			return
		}
	}
	w.failf("op %d, %s: %s: %v", o.n, o.kind, what, err)
}

func (w *world) do(o op) {
	w.note(nil, "op %d begins: %s, account %d, disk %v, puts %v", o.n, o.kind, o.account, o.disk, o.puts)
	w.count("ops", 1)
	switch o.kind {
	case opImport:
		w.doImport(o)
	case opCancel:
		w.doCancel(o)
	case opDraft:
		w.doDraft(o)
	case opCopy:
		w.doCopy(o)
	case opDelete:
		w.doDelete(o)
	case opRead:
		w.doRead(o)
	}
}

func (w *world) doImport(o op) {
	m := &modelled{account: o.account, may: map[int64]map[int]bool{}, made: true}
	for index, content := range o.disk {
		m.may[index] = only(content)
	}
	t := &task{}
	w.mu.Lock()
	w.model.tasks[o.n], w.model.snapshots[o.n] = t, m
	w.mu.Unlock()
	h := home(o.account)
	ask := func() (importtask.Task, error) {
		return call(w, o, "import", func(ctx context.Context, n *node) (importtask.Task, error) {
			return n.service.Import(ctx, importtask.Request{
				Account: h.Account, Region: h.Region, Token: describe(o), Digest: describe(o), Description: describe(o), Format: "RAW",
				RoleName: "vmimport", Bucket: "images", Key: o.disk.String(),
			})
		})
	}
	got, err := ask()
	w.expect(o, "import", err)
	if err == nil && o.roll%3 == 0 {
		again, err := ask()
		if w.expect(o, "repeat", err); err == nil && again.ID != got.ID {
			w.failf("op %d: a repeat of %s made %s", o.n, got.ID, again.ID)
		}
	}
	w.mu.Lock()
	t.accepted, t.id = err == nil, got.ID
	w.mu.Unlock()
}

func (w *world) doCancel(o op) {
	w.mu.Lock()
	var known []int
	for n, t := range w.model.tasks {
		if t.accepted {
			known = append(known, n)
		}
	}
	if len(known) == 0 {
		w.mu.Unlock()
		return
	}
	slices.Sort(known)
	number := known[o.pick%len(known)]
	t := w.model.tasks[number]
	t.cancelled = true
	account := w.model.snapshots[number].account
	w.mu.Unlock()
	_, err := call(w, o, fmt.Sprint("cancel the import of op ", number), func(ctx context.Context, n *node) (importtask.State, error) {
		return n.service.Cancel(ctx, home(account), t.id, "by an op")
	})
	if ended := (*importtask.TransitionError)(nil); !errors.As(err, &ended) {
		w.expect(o, "cancel", err)
	}
}

// some returns a snapshot of the account that passes a test; ok is false if there is none.
func (w *world) some(o op, test func(snapshot.Record) bool) (rec snapshot.Record, ok bool) {
	h := home(o.account)
	all, err := call(w, o, "list", func(ctx context.Context, n *node) ([]snapshot.Record, error) {
		return n.db.Snapshots().List(ctx, h, snapshot.Filter{Owners: []string{h.Account}}, listing.Place{}, 100)
	})
	w.expect(o, "list", err)
	all = slices.DeleteFunc(all, func(r snapshot.Record) bool { return !test(r) })
	if len(all) == 0 {
		return rec, false
	}
	slices.SortFunc(all, func(a, b snapshot.Record) int { return opOf(a.Description) - opOf(b.Description) })
	return all[o.pick%len(all)], true
}

func isCompleted(r snapshot.Record) bool { return r.State == snapshot.Completed }

func (w *world) doDraft(o op) {
	m := &modelled{account: o.account, may: map[int64]map[int]bool{}}
	parent := snapshot.Record{}
	if o.roll%2 == 0 {
		var ok bool
		if parent, ok = w.some(o, isCompleted); ok {
			w.mu.Lock()
			m.may = w.model.snapshots[opOf(parent.Description)].copy()
			w.mu.Unlock()
		}
	}
	w.mu.Lock()
	w.model.snapshots[o.n] = m
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		m.made = true
		w.mu.Unlock()
	}()
	rec, err := call(w, o, "start", func(ctx context.Context, n *node) (snapshot.Record, error) {
		return n.drafts.Start(ctx, snapshot.StartRequest{
			Home: home(o.account), Token: describe(o), Digest: describe(o), Description: describe(o), VolumeSize: volumeGiB, Parent: parent.ID, Timeout: w.idle,
		})
	})
	if w.expect(o, "start", err, snapshot.ErrNotFound); err != nil {
		return
	}
	sure := true
	for _, p := range o.puts {
		sure = w.put(o, m, rec.ID, p) && sure
	}
	w.complete(o, m, rec.ID, sure)
}

// put writes a block, and reports whether it is known to be written.
func (w *world) put(o op, m *modelled, id string, p put) bool {
	w.mu.Lock()
	if m.may[p.index] == nil {
		m.may[p.index] = only(absent)
	}
	m.may[p.index][p.content] = true
	w.mu.Unlock()
	_, err := call(w, o, fmt.Sprintf("put %d at %d", p.content, p.index), func(ctx context.Context, n *node) (struct{}, error) {
		return struct{}{}, n.put(ctx, home(o.account), id, snapshot.WrittenBlock{Index: p.index, Data: palette[p.content], Digest: digests[p.content]})
	})
	w.expect(o, "put", err, snapshot.ErrNotPending, snapshot.ErrNotFound)
	if err != nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	m.may[p.index] = only(p.content)
	return true
}

// complete completes a draft, in most cases.
func (w *world) complete(o op, m *modelled, id string, sure bool) {
	want := snapshot.Expected{Blocks: int64(len(o.puts))}
	switch {
	case o.roll < 10:
		return // it expires
	case o.roll < 20 && sure:
		want.Blocks++ // it fails
	case !sure:
		want.Blocks = -1
	}
	state, err := call(w, o, "complete", func(ctx context.Context, n *node) (snapshot.State, error) {
		return n.drafts.Complete(ctx, home(o.account), id, want)
	})
	w.expect(o, "complete", err, snapshot.ErrNotPending, snapshot.ErrNotFound)
	w.mu.Lock()
	defer w.mu.Unlock()
	m.failing = want.Blocks > int64(len(o.puts))
	m.due = err == nil && !m.failing && state != snapshot.Failed // it has expired
}

// doCopy copies a snapshot, perhaps to another account. There is no token, so it is tried once.
func (w *world) doCopy(o op) {
	from, ok := w.some(o, isCompleted)
	if !ok {
		return
	}
	to := o.roll % 2
	m := &modelled{account: to}
	w.mu.Lock()
	m.may = w.model.snapshots[opOf(from.Description)].copy()
	w.model.snapshots[o.n] = m
	w.mu.Unlock()
	_, err := try(w, describe(o), func(ctx context.Context, n *node) (rec snapshot.Record, err error) {
		if to != o.account {
			if err = n.db.Snapshots().Share(ctx, home(o.account), from.ID, []string{accounts[to]}, nil); err != nil {
				return rec, err
			}
		}
		return n.drafts.Copy(ctx, snapshot.CopyRequest{Home: home(to), Source: from.ID, SourceRegion: region, Description: describe(o)})
	})
	w.note(nil, "op %d: copy of %s%s", o.n, from.Description, suffix(err))
	w.expect(o, "copy", err, snapshot.ErrNotFound)
	w.mu.Lock()
	defer w.mu.Unlock()
	m.due, m.made = err == nil, true
}

func (w *world) doDelete(o op) {
	rec, ok := w.some(o, w.mayDelete)
	if !ok {
		return
	}
	w.deleting(rec)
	_, err := call(w, o, "delete the snapshot of "+rec.Description, func(ctx context.Context, n *node) (struct{}, error) {
		return struct{}{}, n.db.Snapshots().Delete(ctx, home(o.account), rec.ID)
	})
	w.expect(o, "delete", err, snapshot.ErrNotFound)
	if err == nil || errors.Is(err, snapshot.ErrNotFound) {
		w.deleted(rec)
	}
}

// mayDelete reports whether a snapshot may be deleted: whoever makes it has done so.
func (w *world) mayDelete(r snapshot.Record) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.model.snapshots[opOf(r.Description)]
	return m != nil && m.made && (r.State != snapshot.Pending || r.Task == "")
}

// deleting notes that somebody asks for a snapshot to be deleted, and deleted that the answer has come.
func (w *world) deleting(r snapshot.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.model.snapshots[opOf(r.Description)].deletes = true
}

func (w *world) deleted(r snapshot.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.model.snapshots[opOf(r.Description)].deleted = true
	w.tally["deletions"]++
}

// doRead reads a snapshot that is held: whatever happens meanwhile, it is all there.
func (w *world) doRead(o op) {
	rec, ok := w.some(o, isCompleted)
	if !ok {
		return
	}
	began := time.Now()
	_, err := try(w, describe(o), func(ctx context.Context, n *node) (struct{}, error) {
		b, release, err := n.shelf.OpenHeld(ctx, rec, "a reader")
		if err != nil {
			return struct{}{}, err
		}
		defer release()
		return struct{}{}, w.compare(ctx, b, opOf(rec.Description))
	})
	w.note(nil, "op %d: read the snapshot of %s%s", o.n, rec.Description, suffix(err))
	switch {
	case err == nil:
		w.count("snapshots read meanwhile", 1)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, blockstore.ErrNotExist), errors.Is(err, blockstore.ErrNoBlock):
		if !w.skewed() && time.Since(began) < snapshot.HoldFor/2 {
			w.failf("op %d: reading the snapshot of %s, which is held: %v", o.n, rec.Description, err)
		}
	default:
		w.expect(o, "read", err, snapshot.ErrNotFound)
	}
}

// compare compares a completed snapshot with the model. What it holds from then on is what
// it held now.
func (w *world) compare(ctx context.Context, b *snapshot.Blocks, made int) error {
	w.mu.Lock()
	m := w.model.snapshots[made]
	w.mu.Unlock()
	if m == nil {
		return errors.New("nobody has asked for it")
	}
	buf, found, holds := make([]byte, frame.Size), int64(0), map[int64]map[int]bool{}
	for _, index := range places {
		got, err := contentAt(ctx, b, index, buf)
		if err != nil {
			return fmt.Errorf("block %d: %w", index, err)
		}
		if got != absent {
			found++
		}
		holds[index] = only(got)
		w.mu.Lock()
		may := m.may[index]
		w.mu.Unlock()
		if may == nil {
			may = only(absent)
		}
		if !may[got] {
			return fmt.Errorf("block %d holds %d, and may hold %v", index, got, slices.Sorted(maps.Keys(may)))
		}
	}
	if found != b.Count() {
		return fmt.Errorf("it has %d blocks, where clients have written %d", b.Count(), found)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	m.may = holds
	return nil
}

func contentAt(ctx context.Context, b *snapshot.Blocks, index int64, buf []byte) (int, error) {
	data, _, err := b.Get(ctx, index, buf)
	switch {
	case errors.Is(err, snapshot.ErrAbsent):
		return absent, nil
	case err != nil:
		return 0, err
	}
	if content := int(data[0]) / 17; content < numContents && bytes.Equal(data, palette[content]) {
		return content, nil
	}
	return 0, errors.New("it holds what nobody wrote")
}

// watchProgress looks at the progress of all imports through one node after another. What is
// shown is never less than what was shown a heartbeat before.
func (w *world) watchProgress(ctx context.Context) {
	type shown struct {
		at   time.Time
		done int64
	}
	seen := map[string][]shown{}
	for ctx.Err() == nil {
		time.Sleep(700 * time.Millisecond)
		w.mu.Lock()
		calm := w.calm
		ids := map[string]int{}
		for number, t := range w.model.tasks {
			if t.accepted {
				ids[t.id] = w.model.snapshots[number].account
			}
		}
		w.mu.Unlock()
		if calm {
			return
		}
		for _, id := range slices.Sorted(maps.Keys(ids)) {
			asked := time.Now()
			t, err := try(w, id, func(ctx context.Context, n *node) (importtask.Task, error) {
				return n.service.Task(ctx, home(ids[id]), id)
			})
			if err != nil || t.State != importtask.Active {
				continue
			}
			for _, s := range seen[id] {
				if s.at.Before(asked.Add(-work.Heartbeat-time.Second)) && s.done > t.Counts.Done {
					w.failf("task %s has done %d bytes, where %v ago it was %d", id, t.Counts.Done, asked.Sub(s.at), s.done)
				}
			}
			w.count("looks at progress", 1)
			seen[id] = append(seen[id], shown{time.Now(), t.Counts.Done})
		}
	}
}
