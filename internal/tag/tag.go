// Package tag holds AWS's rules for resource tags (contract §6): which keys and
// values are allowed, how many of them, and how they are compared.
package tag

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf16"
)

// Limits on user tags.
const (
	MaxPerResource = 50
	MaxKey         = 128 // UTF-16 units
	MaxValue       = 256
)

// Tag is a key with its value.
type Tag struct {
	Key   string `json:"Key"`
	Value string `json:"Value"`
}

// Set is the tags of one resource, sorted by key, no key twice.
type Set []Tag

// Error is a broken rule with the AWS code and message for it.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Validate checks tags that a request gives.
func Validate(tags []Tag) error {
	seen := map[string]bool{}
	for _, t := range tags {
		switch {
		case t.Key == "":
			return &Error{"InvalidTagKey.Malformed", "Tag key cannot be null or empty."}
		case units(t.Key) > MaxKey:
			return &Error{"InvalidParameterValue", "Tag key exceeds the maximum length of 128 characters"}
		case units(t.Value) > MaxValue:
			return &Error{"InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters"}
		case Reserved(t.Key):
			return &Error{"InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use"}
		case seen[t.Key]:
			return &Error{"InvalidParameterValue", "Duplicate tag key '" + t.Key + "' specified."}
		}
		seen[t.Key] = true
	}
	if len(tags) > MaxPerResource {
		return ErrTooMany
	}
	return nil
}

// ErrTooMany reports more than MaxPerResource user tags on one resource.
var ErrTooMany = &Error{"TagLimitExceeded", "The maximum number of Tags for a resource has been reached."}

// Reserved reports whether a key is AWS's own.
func Reserved(key string) bool { return len(key) >= 4 && strings.EqualFold(key[:4], "aws:") }

// Merge returns s with tags added or overwritten, or ErrTooMany.
func (s Set) Merge(tags []Tag) (Set, error) {
	out := slices.Clone(s)
	for _, t := range tags {
		i, ok := slices.BinarySearchFunc(out, t, func(a, b Tag) int { return cmp.Compare(a.Key, b.Key) })
		if ok {
			out[i] = t
			continue
		}
		out = slices.Insert(out, i, t)
	}
	n := 0
	for _, t := range out {
		if !Reserved(t.Key) {
			n++
		}
	}
	if n > MaxPerResource {
		return nil, ErrTooMany
	}
	return out, nil
}

// Get returns the value of key.
func (s Set) Get(key string) (string, bool) {
	for _, t := range s {
		if t.Key == key {
			return t.Value, true
		}
	}
	return "", false
}

func units(s string) int { return len(utf16.Encode([]rune(s))) }
