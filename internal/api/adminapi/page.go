package adminapi

import (
	"net/http"
	"strconv"

	"github.com/diskport/diskport/internal/listing"
)

// pageOf reads which page of a list a request is for: "limit" entries, by default
// and at most listing.Page, behind the place in "after", which is the "next" of
// another page.
func pageOf(r *request) (after listing.Place, limit int, err error) {
	query := r.URL.Query()
	limit = listing.Page
	if text := query.Get("limit"); text != "" {
		limit, err = strconv.Atoi(text)
		if err != nil || limit < 1 || limit > listing.Page {
			return after, 0, &failure{http.StatusBadRequest, "InvalidParameter", "limit must be a number from 1 to " + strconv.Itoa(listing.Page)}
		}
	}
	if after, err = listing.Parse(query.Get("after")); err != nil {
		return after, 0, &failure{http.StatusBadRequest, "InvalidParameter", "after must be what another page has as next"}
	}
	return after, limit, nil
}

// cut makes a page of a list that has one entry more than fits if there is another
// page, and returns the place behind which that begins.
func cut[T any](list []T, limit int, place func(T) listing.Place) (page []T, next string) {
	if len(list) <= limit {
		return list, ""
	}
	return list[:limit], place(list[limit-1]).String()
}
