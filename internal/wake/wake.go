// Package wake wakes goroutines of this process that wait for something to change:
// a claimer, when there is work; a held request, when its task has ended.
//
// A wake says only that it may be worth looking again: state is in the database
// alone, and every waiter also looks by itself now and then. So a wake that is lost
// costs time, but not correctness. On many nodes the database's notifications feed
// the same topics. Every is for what is done now and then whatever happens.
package wake

import "sync"

// Topic is what a goroutine waits for.
type Topic string

// Work is woken when there may be units to claim.
const Work Topic = "work"

// Task returns the topic that is woken when something has happened to the task or
// snapshot with an id.
func Task(id string) Topic { return Topic("task " + id) }

// Bus carries wakes. Its methods may be called concurrently; the zero value is
// ready.
type Bus struct {
	mu      sync.Mutex // guards waiting
	waiting map[Topic]*topic
}

type topic struct {
	woken chan struct{} // closed by the next wake
	users int
}

// Wait returns a channel that is closed at the next wake of the topic. Call Wait
// before looking, so that nothing is missed in between, and call stop when the wait
// is over, whatever ended it.
func (b *Bus) Wait(name Topic) (woken <-chan struct{}, stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil {
		b.waiting = map[Topic]*topic{}
	}
	t := b.waiting[name]
	if t == nil {
		t = &topic{woken: make(chan struct{})}
		b.waiting[name] = t
	}
	t.users++
	return t.woken, sync.OnceFunc(func() { b.leave(name, t) })
}

func (b *Bus) leave(name Topic, t *topic) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.users--; t.users == 0 && b.waiting[name] == t {
		delete(b.waiting, name)
	}
}

// Wake ends all waits for the topics that have begun before the call.
func (b *Bus) Wake(names ...Topic) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		if t := b.waiting[name]; t != nil {
			close(t.woken)
			delete(b.waiting, name)
		}
	}
}
