package s3api

import (
	"net/http"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/imports/objects"
)

// conditional are the headers that ask about an object before it is read.
type conditional struct {
	match, noneMatch          string
	modifiedSince, unmodified time.Time // zero: none that can be read
}

func conditionalOf(h http.Header, prefix string) conditional {
	date := func(name string) time.Time {
		t, err := http.ParseTime(h.Get(prefix + name))
		if err != nil {
			return time.Time{}
		}
		return t
	}
	return conditional{
		match: h.Get(prefix + "If-Match"), noneMatch: h.Get(prefix + "If-None-Match"),
		modifiedSince: date("If-Modified-Since"), unmodified: date("If-Unmodified-Since"),
	}
}

// check returns the name of the condition that an object does not meet, or "". The
// order and what outweighs what are RFC 9110's.
func (c conditional) check(o objects.Object) string {
	modified := o.Modified.Truncate(time.Second)
	switch {
	case c.match != "" && !matches(c.match, o.ETag):
		return "If-Match"
	case c.match == "" && !c.unmodified.IsZero() && modified.After(c.unmodified):
		return "If-Unmodified-Since"
	case c.noneMatch != "" && matches(c.noneMatch, o.ETag):
		return "If-None-Match"
	case c.noneMatch == "" && !c.modifiedSince.IsZero() && !modified.After(c.modifiedSince):
		return "If-Modified-Since"
	}
	return ""
}

// matches reports whether a list of ETags, or "*", has one.
func matches(list, etag string) bool {
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
		if part == "*" || strings.Trim(part, `"`) == etag {
			return true
		}
	}
	return false
}

// writeConditions reads what must be true of the object that is about to be written.
func writeConditions(h http.Header) (objects.Conditions, error) {
	out := objects.Conditions{Match: strings.Trim(strings.TrimSpace(h.Get("If-Match")), `"`), NoneMatch: strings.TrimSpace(h.Get("If-None-Match"))}
	if out.NoneMatch != "" && out.NoneMatch != "*" {
		return out, notImplemented("If-None-Match with an ETag")
	}
	if out.Match != "" && out.NoneMatch != "" {
		return out, notImplemented("If-Match together with If-None-Match")
	}
	return out, nil
}
