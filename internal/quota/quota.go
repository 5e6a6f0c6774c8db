// Package quota limits how often things are asked for, as AWS throttles its APIs: there is
// a token bucket for each action and subject, which is the caller or the thing that it asks
// for. Edges ask it once a request is authenticated, and before anything else is done for
// it.
package quota

import (
	"sync"
	"time"
)

// Rate is how often something may happen: Burst times at once, then PerSecond
// times a second. The zero value sets no limit.
type Rate struct {
	PerSecond float64
	Burst     float64
}

// Throttle holds the buckets of one service. It may be used concurrently. A nil
// *Throttle allows everything.
type Throttle struct {
	now  func() time.Time
	rate func(action string) Rate

	mu      sync.Mutex // guards what follows
	buckets map[key]*bucket
	swept   time.Time
}

type key struct{ who, action string }

// bucket holds tokens, as many as there were at a time.
type bucket struct {
	tokens float64
	at     time.Time
}

// New returns a throttle; rate says how often each action may be asked for. Actions
// come from a fixed table, so the number of buckets is bounded by the number of
// subjects.
func New(now func() time.Time, rate func(action string) Rate) *Throttle {
	return &Throttle{now: now, rate: rate, buckets: map[key]*bucket{}, swept: now()}
}

// Same returns the rate function of a service whose actions all have the same rate.
func Same(r Rate) func(string) Rate { return func(string) Rate { return r } }

// Allow reports whether an action is allowed now to a subject (a principal, an
// account, a snapshot), and counts it if so.
func (t *Throttle) Allow(who, action string) bool {
	if t == nil {
		return true
	}
	r := t.rate(action)
	if r.PerSecond <= 0 {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	t.sweep(now)
	b, ok := t.buckets[key{who, action}]
	if !ok {
		b = &bucket{tokens: r.Burst, at: now}
		t.buckets[key{who, action}] = b
	}
	b.tokens = min(r.Burst, b.tokens+max(0, now.Sub(b.at).Seconds())*r.PerSecond)
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// sweepEvery is how long a bucket that is not used is kept, at least.
const sweepEvery = time.Minute

// sweep forgets buckets that are full again. It needs mu.
func (t *Throttle) sweep(now time.Time) {
	if now.Sub(t.swept) < sweepEvery {
		return
	}
	t.swept = now
	for k, b := range t.buckets {
		r := t.rate(k.action)
		if b.tokens+now.Sub(b.at).Seconds()*r.PerSecond >= r.Burst {
			delete(t.buckets, k)
		}
	}
}
