package bounded_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

func TestAhead(t *testing.T) {
	object := imagetest.Mixed(5000, 1)
	reads := 0
	src := &imagetest.Faulty{R: bytes.NewReader(object), From: math.MaxInt64, Before: func(int64, int) { reads++ }}
	s := bounded.Source{Format: "test", R: src, Size: 5000}
	for _, c := range []struct {
		name       string
		off, n     int64
		at, wanted int64
		reads      int
	}{
		{"inside", 1000, 2000, 1500, 100, 1},
		{"the start", 0, 2000, 0, 2000, 1},
		{"outside", 1000, 2000, 4000, 100, 2},
		{"across the end", 1000, 2000, 2900, 200, 2},
		{"cut to the object", 4000, 2000, 4900, 100, 1},
		{"nothing", 6000, 2000, 4900, 100, 2},
		{"more than there is", 0, bounded.MaxPart + 1, 1, 100, 1},
		{"negative", -1, 2000, 1, 100, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			early := s.Ahead(c.off, c.n)
			reads = 0
			for range 2 {
				part, err := early.Part("part", c.at, c.wanted)
				if err != nil || !bytes.Equal(part.Data, object[c.at:c.at+c.wanted]) {
					t.Fatalf("got %v, %v", part, err)
				}
			}
			if reads != c.reads {
				t.Errorf("%d reads, want %d", reads, c.reads)
			}
		})
	}
	t.Run("failing behind what is wanted", func(t *testing.T) {
		src.From, src.Err = 2000, errors.New("input/output error")
		early := s.Ahead(0, 5000)
		if _, err := early.Part("part", 0, 100); err != nil {
			t.Errorf("got %v, want the bytes that can be read", err)
		}
		if _, err := early.Part("part", 1990, 100); !errors.Is(err, src.Err) {
			t.Errorf("got %v, want the source's error", err)
		}
	})
}
