package snapshot

import (
	"errors"
	"testing"

	"github.com/diskport/diskport/internal/block"
)

// TestAnIndexIsInFlightUntilItsAppendHasEnded: not until the client that put it has
// gone. Other content could be committed before the older block is, and the older
// one would then displace what was acknowledged later.
func TestAnIndexIsInFlightUntilItsAppendHasEnded(t *testing.T) {
	a := newAppender(&Drafts{}, Draft{})
	put := func(what string) (*appending, bool, error) {
		return a.enter(WrittenBlock{Index: 2, Digest: block.Sum([]byte(what))})
	}
	first, leads, err := put("one")
	if err != nil || !leads {
		t.Fatal(leads, err)
	}
	again, leads, err := put("one")
	if err != nil || leads || again != first {
		t.Errorf("the same content: leads %v, %v, want the same append", leads, err)
	}
	a.next = nil // the append takes no more; its clients go away now
	second, _, err := put("one")
	if err != nil || second == first {
		t.Fatalf("the same content, while the first append is under way: %v", err)
	}
	for _, c := range []struct {
		name   string
		landed *appending
		want   error
	}{{"both are under way", nil, ErrConflict}, {"one has ended", first, ErrConflict}, {"both have ended", second, nil}} {
		if c.landed != nil {
			a.landed(c.landed)
		}
		if _, _, err := put("two"); !errors.Is(err, c.want) {
			t.Errorf("other content when %s: %v, want %v", c.name, err, c.want)
		}
	}
}
