package ec2api

import (
	"strings"

	"github.com/diskport/diskport/internal/tag"
)

// Limits on the filters of one request.
const (
	maxFilters      = 50
	maxFilterValues = 200
)

// filter is one of a request. Its values may hold wildcards.
type filter struct {
	Name  string
	Value []string `ec2:"Value,empty"`
}

// filtered is embedded in requests with filters; clients use both spellings.
type filtered struct {
	Filter []filter `ec2:"Filter|Filters"`
}

func (f filtered) filters() []filter { return f.Filter }

// fields says what a list can be filtered by: for each name the values that an
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

// keep returns the items that match every filter by at least one value.
func (f fields[T]) keep(items []T, filters []filter) []T {
	var kept []T
	for _, item := range items {
		if f.match(item, filters) {
			kept = append(kept, item)
		}
	}
	return kept
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

// wild reports whether s matches pattern, in which * stands for any text, ? for
// any one character, and \ takes the meaning from what follows it.
func wild(pattern, s string) bool {
	p, text := []rune(pattern), []rune(s)
	star, retry := -1, 0 // where to go back to: the last *, and what it covers up to
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
