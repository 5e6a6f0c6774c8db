package s3api

import (
	"strconv"
	"strings"
)

// span is a range of an object's bytes.
type span struct{ off, n int64 }

// parseRange reads a Range header. ok is false if it asks for nothing that can be
// answered in part, so that the whole object is; it fails with InvalidRange if no
// byte of the object lies in the range.
func parseRange(header string, size int64) (s span, ok bool, err error) {
	text, found := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(strings.TrimSpace(text), "-")
	if !found || !dash || strings.Contains(text, ",") {
		return span{}, false, nil // several ranges are answered with the whole, as at AWS
	}
	first, last = strings.TrimSpace(first), strings.TrimSpace(last)
	if first == "" {
		n, valid := digits(last)
		switch {
		case !valid:
			return span{}, false, nil
		case n == 0 || size == 0:
			return span{}, false, invalidRange(header, size)
		}
		n = min(n, size)
		return span{size - n, n}, true, nil
	}
	from, valid := digits(first)
	to := size - 1
	if valid && last != "" {
		to, valid = digits(last)
	}
	switch {
	case !valid || last != "" && to < from:
		return span{}, false, nil
	case from >= size:
		return span{}, false, invalidRange(header, size)
	}
	return span{from, min(to, size-1) - from + 1}, true, nil
}

// parseCopyRange reads a x-amz-copy-source-range, which must lie within the source.
func parseCopyRange(header string, size int64) (span, error) {
	text, found := strings.CutPrefix(header, "bytes=")
	first, last, _ := strings.Cut(text, "-")
	from, fromOK := digits(first)
	to, toOK := digits(last)
	if !found || !fromOK || !toOK || to < from {
		return span{}, invalidArgument("The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy",
			"x-amz-copy-source-range", header)
	}
	if to >= size {
		return span{}, invalidArgument("Range specified is not valid for source object of size: "+strconv.FormatInt(size, 10), "x-amz-copy-source-range", header)
	}
	return span{from, to - from + 1}, nil
}

// digits reads a number without a sign. One that is too large counts as the largest.
func digits(text string) (int64, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}

// contentRange is the header about a part of an object.
func (s span) contentRange(size int64) string {
	return "bytes " + strconv.FormatInt(s.off, 10) + "-" + strconv.FormatInt(s.off+s.n-1, 10) + "/" + strconv.FormatInt(size, 10)
}
