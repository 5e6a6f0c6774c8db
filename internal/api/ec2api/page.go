package ec2api

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// pageLife bounds the use of a page token.
const pageLife = 24 * time.Hour

// paged is embedded in requests for lists.
type paged struct {
	MaxResults string // a number; text, because its errors have words of their own
	NextToken  string
}

func (p paged) maxResults() string { return p.MaxResults }

// whole reports that the list is wanted in one piece.
func (p paged) whole() bool { return p.MaxResults == "" && p.NextToken == "" }

// pageRule is the row of MaxResults: at least least, above most it counts as most.
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
const maxPage = 1000

// page cuts one page out of a list, in the order of key, and returns the token
// of the next, empty on the last. Without MaxResults the rest is one page.
// Keys say where a page ended, so what comes and goes between two pages
// neither repeats nor hides other entries.
func page[T any](c call, p paged, list []T, key func(T) string) ([]T, string, error) {
	slices.SortFunc(list, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	if p.NextToken != "" {
		after, ok := c.pages.Open(p.NextToken, c.Now(), c.Action, c.account())
		if !ok {
			return nil, "", refused("InvalidPaginationToken", "The token '"+clip(p.NextToken)+"' is invalid")
		}
		list = slices.DeleteFunc(list, func(t T) bool { return key(t) <= string(after) })
	}
	if p.MaxResults == "" {
		return list, "", nil
	}
	n, _ := strconv.Atoi(p.MaxResults) // checked by pageRule
	if n = min(n, maxPage); len(list) <= n {
		return list, "", nil
	}
	list = list[:n]
	next := c.pages.Make([]byte(key(list[n-1])), c.Now().Add(pageLife), c.Action, c.account())
	return list, next, nil
}

// inOrder is a key that sorts by time, then id.
func inOrder(t time.Time, id string) string {
	return t.UTC().Format("20060102150405.000000000") + " " + id
}
