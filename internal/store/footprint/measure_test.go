package footprint

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/diskport/diskport/internal/store/snapshot"
)

// TestAccountsTakeTurns: one that asks for many measurements keeps another waiting for
// no more than the one that is under way.
func TestAccountsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		next := make(chan struct{})
		m := New(Config{Hold: func(_ context.Context, rec snapshot.Record, _ string) (func(), error) {
			order = append(order, rec.ID)
			<-next
			return nil, errors.New("enough")
		}})
		var measuring sync.WaitGroup
		for _, rec := range []snapshot.Record{{Account: "a", ID: "a1"}, {Account: "a", ID: "a2"}, {Account: "a", ID: "a3"}, {Account: "b", ID: "b1"}} {
			measuring.Go(func() { _, _ = m.Measure(t.Context(), rec, nil) })
			synctest.Wait()
		}
		for range 4 {
			next <- struct{}{}
			synctest.Wait()
		}
		measuring.Wait()
		if want := []string{"a1", "b1", "a2", "a3"}; !slices.Equal(order, want) {
			t.Errorf("measured %q, want %q", order, want)
		}
	})
}
