package work

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, begin := Pace{Rate: 1 << 20, Now: time.Now}, time.Now()
		for range 8 {
			if err := p.Wait(t.Context(), 1<<18); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("2 MiB at 1 MiB a second took %v", took)
		}
		time.Sleep(time.Hour) // is not made up for
		begin = time.Now()
		if err := p.Wait(t.Context(), 1<<20); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("1 MiB after a pause took %v", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, rate := range []int64{0, 1} {
			p := Pace{Rate: rate, Now: time.Now}
			if err := p.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
				t.Errorf("rate %d, cancelled: %v", rate, err)
			}
		}
	})
}
