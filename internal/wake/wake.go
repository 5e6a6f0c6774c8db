// Package wake wakes goroutines that wait for something to change: a claimer, when
// there is work; a job, when its unit may have been taken away; a held request, when its
// task has ended.
//
// A wake says only that it may be worth looking again: state is in the database
// alone, and every waiter also looks by itself now and then. So a wake that is lost
// costs time, but not correctness. A Bus wakes what waits in its own process; its Link,
// if it has one, has the buses of the other nodes do the same. Every is for what is done
// now and then whatever happens.
package wake

import "sync"

// Topic is what a goroutine waits for.
type Topic string

// Work is woken when there may be units to claim, of whatever kind. Where the kind is
// known, its own topic is woken instead (work.Due).
const Work Topic = "work"

// Task returns the topic that is woken when something has happened to the task or
// snapshot with an id.
func Task(id string) Topic { return Topic("task " + id) }

// Units returns the topic that is woken when the units of the task or snapshot with an
// id may have been taken away from the jobs that do them.
func Units(id string) Topic { return Topic("units " + id) }

// Link carries wakes to other nodes. Its suite is waketest.
type Link interface {
	// Tell has the topics woken on all other nodes, soon. It does not wait for that, may
	// wake more than it was told to, and does not fail: see the package for what a wake
	// that is lost costs.
	Tell(names ...Topic)
}

// Bus carries wakes. Its methods may be called concurrently; the zero value is
// ready, and is that of the only node.
type Bus struct {
	// Link carries wakes on; it is set before the first of them. Nil: there are no other
	// nodes.
	Link Link

	mu      sync.Mutex // guards waiting
	waiting map[Topic]map[*wait]bool
}

// wait is one wait, for any of its topics.
type wait struct {
	woken chan struct{} // closed by the first wake
	names []Topic
}

// Wait returns a channel that is closed at the next wake of any of the topics. Call Wait
// before looking, so that nothing is missed in between, and call stop when the wait
// is over, whatever ended it.
func (b *Bus) Wait(names ...Topic) (woken <-chan struct{}, stop func()) {
	w := &wait{make(chan struct{}), names}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil {
		b.waiting = map[Topic]map[*wait]bool{}
	}
	for _, name := range names {
		if b.waiting[name] == nil {
			b.waiting[name] = map[*wait]bool{}
		}
		b.waiting[name][w] = true
	}
	return w.woken, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.leave(w)
	}
}

// leave forgets a wait, if it is not over already. It needs mu.
func (b *Bus) leave(w *wait) {
	for _, name := range w.names {
		if delete(b.waiting[name], w); len(b.waiting[name]) == 0 {
			delete(b.waiting, name)
		}
	}
}

// Wake ends all waits for the topics that have begun before the call, on every node.
func (b *Bus) Wake(names ...Topic) {
	b.Deliver(names...)
	if b.Link != nil {
		b.Link.Tell(names...)
	}
}

// Deliver is Wake for this node alone.
func (b *Bus) Deliver(names ...Topic) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		b.end(name)
	}
}

// DeliverAll ends all waits of this node: a link calls it when it may have missed wakes.
func (b *Bus) DeliverAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name := range b.waiting {
		b.end(name)
	}
}

// end ends the waits for a topic. It needs mu.
func (b *Bus) end(name Topic) {
	for w := range b.waiting[name] {
		close(w.woken)
		b.leave(w)
	}
}
