package sigv4

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// capture canonicalises and keeps what the signature covers, so that r is no longer
// needed.
func (q *Request) capture(r *http.Request, query params) error {
	q.method = r.Method
	if q.Service == "s3" {
		q.path = encodedOnce(r.URL.EscapedPath())
	} else {
		q.path = encode(normalised(r.URL.EscapedPath()), true)
	}
	if err := q.wholeSigned(r.Header); err != nil {
		return err
	}
	q.query = query.canonical()
	if q.Presigned && q.PayloadHash == "" {
		q.PayloadHash = r.Header.Get("X-Amz-Content-Sha256")
	}
	q.headers = canonicalHeaders(r, q.SignedHeaders)
	return nil
}

// wholeSigned refuses x-amz- headers that are not signed. They say what is asked
// for (KMS's target, S3's copy source and ACL, the checksum of a block), so
// somebody who has got hold of a signed request, or a presigned URL, must not be
// able to add or change one.
func (q *Request) wholeSigned(h http.Header) error {
	for name := range h {
		name = strings.ToLower(name)
		if name == "x-amz-content-sha256" || name == "x-amz-date" {
			continue // already part of the string to sign
		}
		if name == "x-amz-security-token" && q.Service != "s3" {
			continue // some clients add it after signing; another token leads to another secret
		}
		if strings.HasPrefix(name, "x-amz-") && !slices.Contains(q.SignedHeaders, name) {
			return fmt.Errorf("%w: header %.64q is not signed", ErrMismatch, name)
		}
	}
	return nil
}

// encodedOnce brings a path that is already encoded into canonical form:
// upper-case escapes, for exactly the bytes that need one.
func encodedOnce(path string) string {
	if path == "" {
		return "/"
	}
	var b strings.Builder
	for i, part := range strings.Split(path, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		plain, err := url.PathUnescape(part)
		if err != nil {
			plain = part // can't happen for a parsed URL
		}
		b.WriteString(encode(plain, false))
	}
	return b.String()
}

// normalised removes dot segments and empty segments, and keeps a last slash.
func normalised(path string) string {
	var out []string
	for part := range strings.SplitSeq(path, "/") {
		switch part {
		case "", ".":
		case "..":
			out = out[:max(0, len(out)-1)]
		default:
			out = append(out, part)
		}
	}
	clean := "/" + strings.Join(out, "/")
	if len(out) > 0 && strings.HasSuffix(path, "/") {
		clean += "/"
	}
	return clean
}

// encode escapes every byte but A-Z a-z 0-9 - . _ ~ and, if asked, the slash.
func encode(text string, keepSlash bool) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~', c == '/' && keepSlash:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// param is one decoded query parameter.
type param struct{ name, value string }

type params []param

// parseQuery decodes a raw query. Unlike url.ParseQuery it takes a semicolon
// as part of a value, as AWS does, and keeps the order.
func parseQuery(raw string) (params, error) {
	if strings.Count(raw, "&") >= maxQueryVars {
		return nil, fmt.Errorf("%w: more than %d query parameters", ErrIncomplete, maxQueryVars)
	}
	var list params
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		if errName != nil || errValue != nil {
			return nil, fmt.Errorf("%w: malformed escape in the query", ErrIncomplete)
		}
		list = append(list, param{name, value})
	}
	return list, nil
}

func (p params) has(name string) bool {
	return slices.ContainsFunc(p, func(v param) bool { return v.name == name })
}

// one returns the first value of name, and how many there are.
func (p params) one(name string) (value string, n int) {
	for _, v := range p {
		if v.name != name {
			continue
		}
		if n++; n == 1 {
			value = v.value
		}
	}
	return value, n
}

func (p params) canonical() string {
	encoded := make(params, 0, len(p))
	for _, v := range p {
		if v.name != "X-Amz-Signature" {
			encoded = append(encoded, param{encode(v.name, false), encode(v.value, false)})
		}
	}
	slices.SortFunc(encoded, func(a, b param) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value))
	})
	var b strings.Builder
	for i, v := range encoded {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(v.name + "=" + v.value)
	}
	return b.String()
}

func canonicalHeaders(r *http.Request, names []string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString(name)
		b.WriteByte(':')
		for i, value := range headerValues(r, name) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(foldSpaces(value))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// headerValues returns the values of a header, including those that net/http keeps
// outside the map.
func headerValues(r *http.Request, name string) []string {
	values := r.Header.Values(name)
	switch {
	case name == "host":
		return []string{r.Host}
	case len(values) > 0:
		return values
	case name == "content-length" && r.ContentLength >= 0:
		return []string{strconv.FormatInt(r.ContentLength, 10)}
	case name == "transfer-encoding":
		return r.TransferEncoding
	}
	return nil
}

// foldSpaces trims a value and replaces each run of spaces by one.
func foldSpaces(value string) string {
	value = strings.TrimSpace(value)
	for strings.Contains(value, "  ") {
		value = strings.ReplaceAll(value, "  ", " ")
	}
	return value
}
