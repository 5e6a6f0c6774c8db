package objects

import (
	"strings"
	"time"
)

// Check returns nil if the conditions hold for the present object, which is nil if
// there is none; else ErrPrecondition, or ErrNoSuchObject where only an object could
// match. A delete marker is no object. Stores call it inside the transaction.
func (c Conditions) Check(present *Object) error {
	if present != nil && present.Marker {
		present = nil
	}
	if present == nil {
		if c.Match != "" {
			return ErrNoSuchObject
		}
		return nil // nothing that could be of another time or size
	}
	etag := present.ETag
	switch {
	case c.Match != "" && !matches(c.Match, etag),
		c.NoneMatch != "" && matches(c.NoneMatch, etag),
		!c.Modified.IsZero() && !c.Modified.Truncate(time.Second).Equal(present.Modified.Truncate(time.Second)),
		c.Size != nil && *c.Size != present.Size:
		return ErrPrecondition
	}
	return nil
}

// matches reports whether a condition, with or without quotation marks, names an ETag.
func matches(condition, etag string) bool {
	return condition == "*" || unquoted(condition) == etag
}

// unquoted returns an ETag without the quotation marks that it may have.
func unquoted(etag string) string {
	return strings.TrimSuffix(strings.TrimPrefix(etag, `"`), `"`)
}
