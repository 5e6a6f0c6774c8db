package quota

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestThrottle(t *testing.T) {
	now := time.Unix(0, 0)
	q := New(func() time.Time { return now }, func(action string) Rate {
		if action == "free" {
			return Rate{}
		}
		return Rate{PerSecond: 2, Burst: 3}
	})
	allowed := func(account, action string, asked, want int) {
		t.Helper()
		got := 0
		for range asked {
			if q.Allow(account, action) {
				got++
			}
		}
		if got != want {
			t.Errorf("%s, %s: %d of %d allowed, want %d", account, action, got, asked, want)
		}
	}
	allowed("a", "x", 9, 3)
	allowed("a", "y", 9, 3) // each action has its own
	allowed("b", "x", 9, 3) // and each account
	allowed("a", "free", 99, 99)
	now = now.Add(time.Second)
	allowed("a", "x", 9, 2)
	now = now.Add(499 * time.Millisecond)
	allowed("a", "x", 9, 0)
	now = now.Add(time.Millisecond) // a refusal takes no token
	allowed("a", "x", 9, 1)
	now = now.Add(time.Hour)
	allowed("a", "x", 9, 3)
	if len(q.buckets) != 1 {
		t.Errorf("%d buckets after an hour, want the one that was asked of", len(q.buckets))
	}
	now = now.Add(-time.Minute) // a clock that goes back takes nothing away
	allowed("b", "x", 9, 3)
}

func TestNoThrottle(t *testing.T) {
	var q *Throttle
	if !q.Allow("a", "x") {
		t.Error("no throttle refuses")
	}
}

func TestThrottleAtOnce(t *testing.T) {
	q := New(func() time.Time { return time.Unix(0, 0) }, Same(Rate{PerSecond: 1, Burst: 50}))
	var allowed atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if q.Allow("a", "x") {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if allowed.Load() != 50 {
		t.Errorf("%d allowed, want 50", allowed.Load())
	}
}
