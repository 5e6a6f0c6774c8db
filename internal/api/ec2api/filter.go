package ec2api

import (
	"context"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/tag"
)

// Limits on the filters of one request.
const (
	maxFilters      = 50
	maxFilterValues = 200
)

// filter is one filter of a request. Its values may hold wildcards.
type filter struct {
	Name  string
	Value []string `ec2:"Value,empty"`
}

// filtered is embedded in requests with filters. Clients use both spellings of the
// parameter.
type filtered struct {
	Filter []filter `ec2:"Filter|Filters"`
}

func (f filtered) filters() []filter { return f.Filter }

// fields says what a list can be filtered by: for each name, the values that an
// item has. tags, where given, adds "tag:<key>".
type fields[T any] struct {
	named map[string]func(T) []string
	tags  func(T) tag.Set
}

func (f fields[T]) knows(name string) bool {
	_, ok := f.named[name]
	return ok || f.tags != nil && strings.HasPrefix(name, "tag:")
}

func (f fields[T]) values(item T, name string) []string {
	if get, ok := f.named[name]; ok {
		return get(item)
	}
	if value, ok := f.tags(item).Get(strings.TrimPrefix(name, "tag:")); ok {
		return []string{value}
	}
	return nil
}

// matching returns a function that reports whether an item matches every filter by
// at least one value; nil when there are no filters.
func (f fields[T]) matching(filters []filter) func(T) bool {
	if len(filters) == 0 {
		return nil
	}
	return func(item T) bool { return f.match(item, filters) }
}

func (f fields[T]) match(item T, filters []filter) bool {
	for _, want := range filters {
		if !anyMatch(want.Value, f.values(item, want.Name)) {
			return false
		}
	}
	return true
}

func anyMatch(patterns, values []string) bool {
	for _, p := range patterns {
		for _, v := range values {
			if wild(p, v) {
				return true
			}
		}
	}
	return false
}

// wild reports whether s matches pattern, in which * stands for any text, ? for any
// one character, and \ makes the next character literal.
func wild(pattern, s string) bool {
	p, text := []rune(pattern), []rune(s)
	star, retry := -1, 0 // where to go back to: the last *, and the end of what it covers
	i, j := 0, 0
	for j < len(text) {
		switch {
		case i < len(p) && p[i] == '*':
			star, retry = i, j
			i++
		case i < len(p) && p[i] == '?':
			i, j = i+1, j+1
		case i+1 < len(p) && p[i] == '\\' && p[i+1] == text[j]:
			i, j = i+2, j+1
		case i < len(p) && p[i] == text[j] && (p[i] != '\\' || i+1 == len(p)):
			i, j = i+1, j+1
		case star >= 0:
			retry++
			i, j = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(string(p[i:]), "*") == ""
}

// maxNarrow is the most values of a filter that are passed on to a store.
const maxNarrow = 10

// Stores read less when a filter names exactly what it looks for. What a store is
// asked for may find too much, but never too little, since match decides in the
// end.

// exact returns the values of the filter with a name, if there is one and none of
// its values has wildcards.
func (f filtered) exact(name string) (values []string, ok bool) {
	for _, w := range f.Filter {
		if w.Name == name && w.literal() {
			return w.Value, true
		}
	}
	return nil, false
}

func (f filter) literal() bool {
	return len(f.Value) <= maxNarrow && !slices.ContainsFunc(f.Value, func(v string) bool { return strings.ContainsAny(v, `*?\`) })
}

// among returns those of all values whose shown form the filter with a name
// matches; nil if there is no such filter.
func among[W any](f filtered, name string, all []W, shown func(W) string) []W {
	for _, w := range f.Filter {
		if w.Name == name {
			return slices.DeleteFunc(slices.Clone(all), func(word W) bool { return !anyMatch(w.Value, []string{shown(word)}) })
		}
	}
	return nil
}

// ids returns the ids of the resources that a request can be about: those that it
// names, as far as a filter of the given name, or of tags, can find them; nil if it
// may be about any.
func (c call) ids(ctx context.Context, named []string, f filtered, name string) ([]string, error) {
	var ids []string
	if len(named) > 0 {
		ids = named
	}
	if values, ok := f.exact(name); ok {
		ids = both(ids, values)
	}
	for _, w := range f.Filter {
		key, ok := strings.CutPrefix(w.Name, "tag:")
		if !ok || !w.literal() {
			continue
		}
		tagged, few, err := c.taggedWith(ctx, key, w.Value)
		if err != nil {
			return nil, err
		}
		if few {
			ids = both(ids, tagged)
		}
	}
	return ids, nil
}

// both returns what is in a, unless that is nil, and in b.
func both(a, b []string) []string {
	if a == nil {
		return b
	}
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}

// taggedWith returns the ids of the account's resources that have one of the values
// under a key, if they are few.
func (c call) taggedWith(ctx context.Context, key string, values []string) (ids []string, few bool, err error) {
	ids = []string{}
	for _, value := range values {
		tags, err := c.Tags.List(ctx, c.Home(), tag.Filter{Tag: &tag.Tag{Key: key, Value: value}}, tag.Place{}, listing.Page)
		if err != nil || len(tags) == listing.Page {
			return nil, false, err
		}
		for _, t := range tags {
			ids = append(ids, t.Resource.ID)
		}
	}
	return ids, len(ids) <= listing.Page, nil
}

// filterRules are the rows of every request with filters.
func filterRules[T any, R interface{ filters() []filter }](known fields[T]) []rule[R] {
	return []rule[R]{
		{
			field: "Filter.N.Name", code: "InvalidParameterValue", message: "The filter '%s' is invalid",
			broken: func(_ call, r R) (string, bool) {
				for _, f := range r.filters() {
					if !known.knows(f.Name) {
						return orNull(f.Name), true
					}
				}
				return "", false
			},
		},
		{
			field: "Filter.N.Value", code: "InvalidParameterValue", message: "The filter 'null' is invalid.",
			broken: func(_ call, r R) (string, bool) {
				for _, f := range r.filters() {
					if len(f.Value) == 0 {
						return "", true
					}
				}
				return "", false
			},
		},
		{
			field: "Filter.N", code: "FilterLimitExceeded", message: "The maximum number of filters or filter values for a request has been exceeded.",
			broken: func(_ call, r R) (string, bool) {
				values := 0
				for _, f := range r.filters() {
					values += len(f.Value)
				}
				return "", len(r.filters()) > maxFilters || values > maxFilterValues
			},
		},
	}
}

func orNull(s string) string {
	if s == "" {
		return "null"
	}
	return s
}
