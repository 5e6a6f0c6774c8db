package listing

import (
	"errors"
	"slices"
	"testing"
	"time"
)

func TestPlacesAreInOrderOfCreationThenID(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	want := []Place{{}, At(time.Time{}, "a"), At(at, "b"), At(at, "c"), At(at.Add(time.Microsecond), "a")}
	got := []Place{want[3], want[4], want[0], want[2], want[1]}
	slices.SortFunc(got, Place.Compare)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestParse(t *testing.T) {
	for _, want := range []Place{{}, {ID: "x"}, {Created: 1700000000000001, ID: "snap-0 1"}} {
		if got, err := Parse(want.String()); err != nil || got != want {
			t.Errorf("%q: got %+v, %v", want, got, err)
		}
	}
	if got, err := Parse(""); err != nil || got != (Place{}) {
		t.Errorf("nothing: got %+v, %v, want the zero place", got, err)
	}
	for _, text := range []string{"x", "1", "x_y", "_y", "99999999999999999999_y", "20260304050607.089000000 y"} {
		if _, err := Parse(text); !errors.Is(err, ErrPlace) {
			t.Errorf("%q: got %v, want %v", text, err, ErrPlace)
		}
	}
}
