// Package listing says how lists are cut into pages: a list is in order of creation,
// then id, and a page begins behind a Place. Stores read pages; edges turn places
// into the tokens that clients hand back.
//
// A place says where a page ended, not how many entries came before, so entries
// that come or go between two pages neither repeat nor hide others.
package listing

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Page is the most entries that one read of a store should ask for, unless a
// client wants fewer.
const Page = 1000

// Place is where an entry stands in a list. The zero Place is before all entries.
type Place struct {
	Created int64 // microseconds since 1970 UTC, as stores keep times
	ID      string
}

// At returns the place of an entry that was created at t.
func At(t time.Time, id string) Place {
	if t.IsZero() {
		return Place{ID: id}
	}
	return Place{t.UnixMicro(), id}
}

// Compare orders places: -1 when p comes before q, +1 when it comes after.
func (p Place) Compare(q Place) int {
	return cmp.Or(cmp.Compare(p.Created, q.Created), cmp.Compare(p.ID, q.ID))
}

// String returns the place as Parse reads it. It needs no escaping in a query.
func (p Place) String() string { return strconv.FormatInt(p.Created, 10) + "_" + p.ID }

// ErrPlace reports a text that is not a place.
var ErrPlace = errors.New("listing: not a place in a list")

// Parse reads what String returned. The empty text is the zero Place.
func Parse(text string) (Place, error) {
	if text == "" {
		return Place{}, nil
	}
	created, id, ok := strings.Cut(text, "_")
	n, err := strconv.ParseInt(created, 10, 64)
	if !ok || err != nil {
		return Place{}, ErrPlace
	}
	return Place{n, id}, nil
}
