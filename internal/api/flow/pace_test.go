package flow

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	p := pace{rate: 1000, patience: 10 * time.Second}
	for _, tt := range []struct {
		name                 string
		before, waited, want time.Duration
		n                    int
	}{
		{"at the least rate", 4 * time.Second, time.Second, 4 * time.Second, 1000},
		{"slower", 4 * time.Second, 2 * time.Second, 3 * time.Second, 1000},
		{"faster", 4 * time.Second, time.Second, 5 * time.Second, 2000},
		{"nothing saved beyond the patience", 4 * time.Second, time.Second, 10 * time.Second, 1 << 30},
		{"a huge read", 0, 0, 10 * time.Second, 1<<63 - 1},
		{"nothing came", 4 * time.Second, 5 * time.Second, -time.Second, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := p.left(tt.before, tt.waited, tt.n); got != tt.want {
				t.Errorf("%v left, want %v", got, tt.want)
			}
		})
	}
}
