package space

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestObserverIsToldOfEachChange in their order, by Run, which needs no tick for it. One
// that has no room to take a change is told again, and one that uses the Guard holds
// nobody up.
func TestObserverIsToldOfEachChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{free: 500 * mib}
		g, _ := newFake(t, f)
		told := make(chan State, 10)
		noRoom := errors.New("no room to note it")
		g.Observe(func(_ context.Context, s State) error {
			if s.Full != nil && g.LetGo(ToGoOn) { // as a transaction that finds no room
				return noRoom
			}
			told <- s
			return nil
		})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go g.Run(ctx)
		synctest.Wait()
		set := func(n int64) { // Run looks at the disk too
			g.mu.Lock()
			defer g.mu.Unlock()
			f.free = n
		}
		set(0)
		began := time.Now()
		if grows(g) {
			t.Fatal("grows with nothing free")
		}
		s := <-told
		if s.Full == nil || s.Free != 0 || !s.Since.Equal(began) || time.Since(began) == 0 {
			t.Errorf("told of %+v after %v, want once room was let go for it", s, time.Since(began))
		}
		set(500 * mib)
		if s = <-told; s.Full != nil || s.Free != 500*mib {
			t.Errorf("told of %+v, want room again", s)
		}
		stop()
		synctest.Wait()
	})
}

// TestObserverThatComesLate is told of what is so already, and one that fails for very
// long is not told what was undone.
func TestObserverThatComesLate(t *testing.T) {
	f := &fake{free: 500 * mib}
	g, _ := newFake(t, f)
	f.free = 0
	g.Check()
	var told []bool
	fails := errors.New("not now")
	g.Observe(func(_ context.Context, s State) error {
		told = append(told, s.Full != nil)
		return fails
	})
	g.tell(t.Context())
	for range maxUntold + 1 { // it ends with room
		f.free = 500*mib - f.free
		g.Check()
	}
	told, fails = nil, nil
	g.tell(t.Context())
	if len(told) != maxUntold || !told[0] || told[len(told)-1] {
		t.Errorf("told of %d changes, %v, want %d, from want to room", len(told), told, maxUntold)
	}
}
