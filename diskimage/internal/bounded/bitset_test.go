package bounded

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestBitset(t *testing.T) {
	b := NewBitset(130)
	for _, i := range []int64{0, 1, 63, 64, 129} {
		if b.Has(i) {
			t.Errorf("an empty set has %d", i)
		}
		if !b.Add(i) || b.Add(i) || !b.Has(i) {
			t.Errorf("adding %d twice did not add it once", i)
		}
	}
	if b.Has(2) || b.Has(128) {
		t.Error("the set has what was not added")
	}
}

// Of several goroutines that add a number, one is told that it was first.
func TestBitsetConcurrently(t *testing.T) {
	b := NewBitset(1000)
	var first atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range int64(1000) {
				if b.Add(i) {
					first.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if first.Load() != 1000 {
		t.Errorf("%d were told to be first, want 1000", first.Load())
	}
}
