package flow

import (
	"context"
	"sync"
	"time"
)

// budget is memory in bytes that many share. It is safe for concurrent use.
type budget struct {
	limit int64
	share int64 // the most that one holder may have

	mu    sync.Mutex // guards what follows
	used  int64
	by    map[string]int64 // by holder; none has 0
	freed chan struct{}    // closed when something is given back; nil: nobody waits
}

func newBudget(limit, share int64) *budget {
	return &budget{limit: limit, share: share, by: map[string]int64{}}
}

// take takes n bytes for a holder, and reports whether it has them. It waits no longer
// than wait for others to give some back.
func (b *budget) take(ctx context.Context, holder string, n int64, wait time.Duration) bool {
	if n > b.share {
		return false
	}
	ok, freed := b.try(holder, n)
	if ok || wait <= 0 {
		return ok
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for !ok {
		select {
		case <-freed:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
		ok, freed = b.try(holder, n)
	}
	return true
}

// try takes n bytes if they are there, else returns what is closed when there are
// more.
func (b *budget) try(holder string, n int64) (ok bool, freed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.limit || b.by[holder]+n > b.share {
		if b.freed == nil {
			b.freed = make(chan struct{})
		}
		return false, b.freed
	}
	b.used += n
	b.by[holder] += n
	return true, nil
}

// give gives back n bytes that a holder took.
func (b *budget) give(holder string, n int64) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.by[holder] -= n; b.by[holder] == 0 {
		delete(b.by, holder)
	}
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}

// inUse returns how much is taken.
func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}
