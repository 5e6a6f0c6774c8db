package wake

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+1)
		defer cancel()
		begun, times := time.Now(), 0
		for at := range Every(ctx, time.Second) {
			if times++; times == 3 {
				time.Sleep(4500 * time.Millisecond) // of the ticks meanwhile, one is kept
			}
			if at.After(time.Now()) || at.Sub(begun)%time.Second != 0 {
				t.Errorf("tick %d at %v", times, at.Sub(begun))
			}
		}
		if took := time.Since(begun); times != 7 || took != 10*time.Second+1 {
			t.Errorf("%d ticks, and an end after %v", times, took)
		}
		for range Every(t.Context(), time.Second) {
			break
		}
		if took := time.Since(begun); took != 11*time.Second+1 {
			t.Errorf("left after %v", took)
		}
	})
}
