package flow

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudget(t *testing.T) {
	b := newBudget(100, 60)
	ctx := t.Context()
	take := func(holder string, n int64, want bool) {
		t.Helper()
		if got := b.take(ctx, holder, n, 0); got != want {
			t.Errorf("%s takes %d: %v, want %v", holder, n, got, want)
		}
	}
	take("a", 50, true)
	take("a", 11, false) // beyond its share
	take("a", 10, true)
	take("b", 41, false) // beyond the limit
	take("b", 40, true)
	take("c", 1, false)
	b.give("a", 60)
	take("c", 60, true)
	b.give("b", 40)
	b.give("c", 60)
	b.give("d", 0)
	if b.inUse() != 0 || len(b.by) != 0 {
		t.Errorf("%d bytes of %d holders are left", b.inUse(), len(b.by))
	}
}

func TestBudgetWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100, 100)
		b.take(t.Context(), "a", 80, 0)
		began := time.Now()
		time.AfterFunc(time.Second, func() { b.give("a", 10) })   // not enough yet
		time.AfterFunc(2*time.Second, func() { b.give("a", 70) }) // enough
		if !b.take(t.Context(), "b", 50, time.Minute) || time.Since(began) != 2*time.Second {
			t.Errorf("the bytes did not come when there were enough, but after %v", time.Since(began))
		}
		began = time.Now()
		if b.take(t.Context(), "b", 60, time.Minute) || time.Since(began) != time.Minute {
			t.Errorf("gave up after %v, want a minute", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if b.take(ctx, "b", 60, time.Minute) || time.Since(began) != time.Second {
			t.Errorf("gave up after %v, want when the request ended", time.Since(began))
		}
		began = time.Now()
		if b.take(t.Context(), "b", 101, time.Minute) || time.Since(began) != 0 {
			t.Errorf("waited %v for what can never be", time.Since(began))
		}
	})
}
