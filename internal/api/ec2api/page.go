package ec2api

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/diskport/diskport/internal/listing"
)

// pageLife is how long a page token can be used.
const pageLife = 24 * time.Hour

// paged is embedded in requests for lists.
type paged struct {
	MaxResults string // a number; text, because its errors have texts of their own
	NextToken  string
}

func (p paged) maxResults() string { return p.MaxResults }

// whole reports that the list is wanted in one piece.
func (p paged) whole() bool { return p.MaxResults == "" && p.NextToken == "" }

// pageRule is the validation row of MaxResults: it must be at least least; above
// most it counts as most.
func pageRule[R interface{ maxResults() string }](least, most int) rule[R] {
	return rule[R]{
		field: "MaxResults", code: "InvalidParameterValue",
		message: "Value ( %s ) for parameter maxResults is invalid. Expecting a value greater than 5.",
		broken: func(_ call, r R) (string, bool) {
			if r.maxResults() == "" {
				return "", false
			}
			n, err := strconv.ParseInt(r.maxResults(), 10, 32)
			return r.maxResults(), err != nil || int(n) < least || most > 0 && int(n) > most
		},
	}
}

// maxPage is the most entries of a page, whatever MaxResults says.
const maxPage = listing.Page

// maxRead is the most entries that a request for a page reads. Filters that few
// entries match make short pages, as at AWS.
const maxRead = 10 * listing.Page

// list is what pages are cut from.
type list[T any] struct {
	// next returns at most n entries behind a place, in order; fewer when there are
	// no more. errPlace if place is not a place in the list.
	next  func(ctx context.Context, place string, n int) ([]T, error)
	place func(T) string
	match func(T) bool // nil: every entry is shown

	wanted wanted // what the request names
}

// wanted are the resources that a request names by their ids. The request fails unless all of
// them are there, which is looked at before they are read; what is deleted in between would
// be a hole in the answer.
type wanted struct {
	ids  []string
	have func(ctx context.Context, ids []string) error // fails unless all of them are there
}

// check fails unless all of them are there.
func (n wanted) check(ctx context.Context) error {
	if len(n.ids) == 0 {
		return nil
	}
	return n.have(ctx, n.ids)
}

// errPlace reports a token that does not carry a place in the list.
var errPlace = errors.New("ec2api: not a place in the list")

// page reads a page and returns it with the token of the next, empty on the last.
// Without MaxResults the rest is one page, however long it is.
func page[T any](ctx context.Context, c call, p paged, l list[T]) ([]T, string, error) {
	r := reader[T]{list: l, reserve: c.Reserve}
	if p.NextToken != "" {
		place, ok := c.pages.Open(p.NextToken, c.Now(), c.Action, c.account(), c.Region)
		if !ok {
			return nil, "", badToken(p.NextToken)
		}
		r.at = string(place)
	}
	if p.MaxResults != "" {
		n, _ := strconv.Atoi(p.MaxResults) // checked by pageRule
		r.limit = min(n, maxPage)
	}
	err := r.read(ctx)
	if err == nil && r.seen < len(l.wanted.ids) { // by filters, or because one was deleted
		err = l.wanted.check(ctx)
	}
	switch {
	case errors.Is(err, errPlace):
		return nil, "", badToken(p.NextToken)
	case err != nil:
		return nil, "", err
	case !r.more:
		return r.shown, "", nil
	}
	return r.shown, c.pages.Make([]byte(r.at), c.Now().Add(pageLife), c.Action, c.account(), c.Region), nil
}

func badToken(token string) error {
	return refused("InvalidPaginationToken", "The token '"+clip(token)+"' is invalid")
}

// reader reads one page of a list.
type reader[T any] struct {
	list[T]
	reserve func(bytes int) error // of memory for the answer
	limit   int                   // 0: none
	at      string                // place behind which the page, and in the end the next one, begins
	shown   []T
	seen    int  // entries that were read, shown or not
	more    bool // there may be a next page
}

// What an entry of a list takes in memory, with its part of the answer, and how much of
// that is taken without asking: in bytes, both more or less.
const (
	entryBytes = 3 << 10
	freeBytes  = 64 << 10
)

// read reads the page. A list that is wanted in one piece may be of any length, so it
// fails when there is no more memory for answers.
func (r *reader[T]) read(ctx context.Context) error {
	for at, left := r.at, maxRead; ; {
		n := listing.Page
		if r.match == nil && r.limit > 0 {
			n = r.limit + 1 // one more tells whether there is a next page
		}
		entries, err := r.next(ctx, at, n)
		if err != nil {
			return err
		}
		r.seen += len(entries)
		full := r.take(entries)
		if most := len(r.shown) * entryBytes; most > freeBytes {
			if err := r.reserve(most); err != nil {
				return err
			}
		}
		if full || len(entries) < n {
			return nil
		}
		at, left = r.place(entries[n-1]), left-n
		if r.limit > 0 && left <= 0 {
			r.at, r.more = at, true
			return nil
		}
	}
}

// take adds the entries that match to the page. full says that the page is full,
// and that there is another entry that matches.
func (r *reader[T]) take(entries []T) (full bool) {
	for _, e := range entries {
		if r.match != nil && !r.match(e) {
			continue
		}
		if r.limit > 0 && len(r.shown) == r.limit {
			r.more = true
			return true
		}
		r.shown, r.at = append(r.shown, e), r.place(e)
	}
	return false
}

// inOrder makes the next function of a list in order of creation, then id.
func inOrder[T any](read func(ctx context.Context, after listing.Place, n int) ([]T, error)) func(context.Context, string, int) ([]T, error) {
	return func(ctx context.Context, place string, n int) ([]T, error) {
		after, err := listing.Parse(place)
		if err != nil {
			return nil, errPlace
		}
		return read(ctx, after, n)
	}
}

// shownAs is inOrder for entries that are shown in another form.
func shownAs[E, T any](show func(E) T, read func(ctx context.Context, after listing.Place, n int) ([]E, error)) func(context.Context, string, int) ([]T, error) {
	return inOrder(func(ctx context.Context, after listing.Place, n int) ([]T, error) {
		entries, err := read(ctx, after, n)
		shown := make([]T, len(entries))
		for i, e := range entries {
			shown[i] = show(e)
		}
		return shown, err
	})
}
