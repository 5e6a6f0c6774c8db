package sigv4

import (
	"crypto/hmac"
	"crypto/sha1" // what version 2 signs with
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// V2 is a signature of version 2, of an EC2 query or of a request to S3. AWS has given up version 2, but some clients still use it. V2 holds
// copies of everything the signature covers, and outlives its request.
type V2 struct {
	AccessKeyID  string
	SessionToken string // empty for a long-lived key

	signature string // base64
	toSign    string
	orSign    string // the same request, as other signers write it; empty: there is one way
	hash      func() hash.Hash
	date      time.Time // when it was signed; zero if only the expiry is given
	expires   time.Time // zero if only the date is given
}

// IsV2 reports whether a form or query carries a signature of version 2.
func IsV2(form url.Values) bool { return form.Has("AWSAccessKeyId") && form.Has("Signature") }

// v2Hashes are the values of SignatureMethod.
func v2Hashes() map[string]func() hash.Hash {
	return map[string]func() hash.Hash{"HmacSHA256": sha256.New, "HmacSHA1": sha1.New}
}

// ParseV2Form parses the signature of an EC2 query without checking it. form has
// all parameters of r, from its query string and its body. The error is
// ErrIncomplete, wrapped.
func ParseV2Form(r *http.Request, form url.Values) (V2, error) {
	for _, name := range []string{"AWSAccessKeyId", "Signature", "SignatureVersion", "SignatureMethod", "SecurityToken", "Timestamp", "Expires"} {
		if len(form[name]) > 1 {
			return V2{}, fmt.Errorf("%w: %s must be given once", ErrIncomplete, name)
		}
	}
	q := V2{AccessKeyID: form.Get("AWSAccessKeyId"), SessionToken: form.Get("SecurityToken"), signature: form.Get("Signature")}
	q.hash = v2Hashes()[form.Get("SignatureMethod")]
	if form.Get("SignatureVersion") != "2" || q.hash == nil {
		return V2{}, fmt.Errorf("%w: SignatureVersion must be 2 and SignatureMethod HmacSHA256 or HmacSHA1", ErrIncomplete)
	}
	var err error
	if form.Has("Timestamp") {
		q.date, err = parseV2Time(form.Get("Timestamp"))
	} else {
		q.expires, err = parseV2Time(form.Get("Expires"))
	}
	if err != nil {
		return V2{}, err
	}
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	q.toSign = strings.Join([]string{r.Method, strings.ToLower(r.Host), path, v2Query(form)}, "\n")
	return q, nil
}

func parseV2Time(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("%w: one of Timestamp and Expires must be a date such as 2006-01-02T15:04:05Z", ErrIncomplete)
	}
	return at, nil
}

// v2Query returns the canonical form: all parameters but the signature, sorted by
// name.
func v2Query(form url.Values) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if name == "Signature" {
			continue
		}
		for _, value := range form[name] {
			b.WriteString("&" + encode(name, false) + "=" + encode(value, false))
		}
	}
	return strings.TrimPrefix(b.String(), "&")
}

// v2Signed reports whether a signature covers a parameter of an S3 query, if it is
// there.
func v2Signed(name string) bool {
	switch name {
	case "accelerate", "acl", "analytics", "cors", "delete", "inventory", "lifecycle", "location", "logging", "metrics",
		"notification", "object-lock", "partNumber", "policy", "replication", "requestPayment", "restore", "tagging", "torrent",
		"uploadId", "uploads", "versionId", "versioning", "versions", "website",
		"response-content-type", "response-content-language", "response-expires", "response-cache-control",
		"response-content-disposition", "response-content-encoding":
		return true
	}
	return false
}

// v2Harmless reports whether a parameter that no signature covers may be there all
// the same, as at AWS: it says which part of a list is asked for, or nothing. A
// request with any other is refused: whoever has the URL must not be able to turn
// it into another request.
func v2Harmless(name string) bool {
	switch name {
	case "prefix", "delimiter", "marker", "max-keys", "encoding-type", "list-type", "start-after", "continuation-token", "fetch-owner",
		"key-marker", "version-id-marker", "upload-id-marker", "max-uploads", "max-parts", "part-number-marker", "x-id":
		return true
	}
	return false
}

// ParseV2Object parses the signature of a request to S3, in the header or in the
// query, without checking it. bucket is the bucket of a virtual host, or empty if
// the path begins with the bucket. The error is ErrIncomplete or ErrMismatch,
// wrapped.
func ParseV2Object(r *http.Request, bucket string) (V2, error) {
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return V2{}, err
	}
	given := map[string]string{}
	for _, p := range query {
		if _, twice := given[p.name]; twice {
			return V2{}, fmt.Errorf("%w: %.64q must be given once", ErrIncomplete, p.name)
		}
		if v2InHeader(p.name) && (strings.ContainsAny(p.name, ":\n") || strings.Contains(p.value, "\n")) {
			// What is signed would have its name or its value end elsewhere.
			return V2{}, fmt.Errorf("%w: %.64q can be no header", ErrMismatch, p.name)
		}
		given[p.name] = p.value
	}
	q := V2{hash: sha1.New}
	date := ""
	if header, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS "); ok {
		date, err = q.inHeader(r.Header, header)
	} else {
		date, err = q.inQuery(given)
	}
	if err != nil {
		return V2{}, err
	}
	headers, contents := v2Headers(r.Header, given)
	resource, err := v2Resource(r.URL, bucket, given)
	if err != nil {
		return V2{}, err
	}
	text := strings.Join([]string{r.Method, contents["content-md5"], contents["content-type"], date, headers}, "\n")
	q.toSign = text + resource
	if path, query, found := strings.Cut(resource, "?"); strings.LastIndex(path, "/") == 0 && len(path) > 1 {
		// botocore signs a bucket as /bucket/ and asks for /bucket; the bucket is the same.
		q.orSign = text + path + "/"
		if found {
			q.orSign += "?" + query
		}
	}
	return q, nil
}

// inHeader reads `KEY:signature`, and returns the date as it is signed.
func (q *V2) inHeader(h http.Header, text string) (date string, err error) {
	key, signature, ok := strings.Cut(text, ":")
	if !ok || key == "" || len(h.Values("Authorization")) > 1 {
		return "", fmt.Errorf("%w: the authorization header is not AWS KEY:signature", ErrIncomplete)
	}
	q.AccessKeyID, q.signature, q.SessionToken = key, signature, h.Get("X-Amz-Security-Token")
	date = h.Get("Date")
	text = date
	if other := h.Get("X-Amz-Date"); other != "" {
		date, text = "", other // it is signed with the other x-amz- headers
	}
	for _, form := range []string{http.TimeFormat, time.RFC1123Z, time.RFC850, time.ANSIC, dateForm} {
		if q.date, err = time.Parse(form, text); err == nil {
			return date, nil
		}
	}
	return "", fmt.Errorf("%w: no usable X-Amz-Date or Date header", ErrIncomplete)
}

// inQuery reads the parameters of a presigned request, and returns its end as it is
// signed.
func (q *V2) inQuery(given map[string]string) (expires string, err error) {
	seconds, err := strconv.ParseInt(given["Expires"], 10, 64)
	if err != nil {
		return "", fmt.Errorf("%w: Expires must be seconds since 1970", ErrIncomplete)
	}
	q.AccessKeyID, q.SessionToken, q.signature = given["AWSAccessKeyId"], given["x-amz-security-token"], given["Signature"]
	q.expires = time.Unix(seconds, 0)
	return given["Expires"], nil
}

// ParseV2URL is ParseV2Object for a URL that arrived as text.
func ParseV2URL(rawURL, bucket string) (V2, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The cause repeats the URL, and that is a credential.
		return V2{}, fmt.Errorf("%w: malformed URL", ErrIncomplete)
	}
	return ParseV2Object(&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}, bucket)
}

// v2InHeader reports whether a parameter of a query is signed as if it were a header.
func v2InHeader(name string) bool {
	return strings.HasPrefix(name, "x-amz-") || name == "content-md5" || name == "content-type"
}

// v2Headers returns the x-amz- headers in canonical form, each on a line of its
// own, and the headers about the contents. Signers also put them into the query.
// v2Headers removes them from there, so that only the resource's parameters are
// left.
func v2Headers(h http.Header, query map[string]string) (amz string, contents map[string]string) {
	all := map[string]string{}
	for name, values := range h {
		all[strings.ToLower(name)] = strings.Join(values, ",")
	}
	for name, value := range query {
		if v2InHeader(name) {
			all[name] = value
			delete(query, name)
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if strings.HasPrefix(name, "x-amz-") {
			b.WriteString(name + ":" + strings.TrimSpace(all[name]) + "\n")
		}
	}
	return b.String(), all
}

func v2Resource(u *url.URL, bucket string, query map[string]string) (string, error) {
	resource := u.EscapedPath()
	if bucket != "" {
		resource = "/" + bucket + resource
	}
	mark := "?"
	for _, name := range slices.Sorted(maps.Keys(query)) {
		switch {
		case name == "AWSAccessKeyId" || name == "Signature" || name == "Expires":
			continue
		case v2Harmless(name):
			continue
		case !v2Signed(name):
			return "", fmt.Errorf("%w: parameter %.64q is not signed", ErrMismatch, name)
		}
		resource += mark + name
		if query[name] != "" {
			resource += "=" + query[name]
		}
		mark = "&"
	}
	return resource, nil
}

// signs reports whether the signature is that of text.
func (q V2) signs(text string, secret Secret) bool {
	h := hmac.New(q.hash, []byte(secret.Reveal()))
	h.Write([]byte(text))
	want := base64.StdEncoding.EncodeToString(h.Sum(nil))
	return hmac.Equal([]byte(want), []byte(q.signature))
}

// Verify checks the times against now and the signature against secret. The
// error is ErrExpired or ErrMismatch, wrapped.
func (q V2) Verify(secret Secret, now time.Time) error {
	skew := now.Sub(q.date).Abs()
	if !q.date.IsZero() && skew > maxSkew || q.date.IsZero() && now.After(q.expires) {
		return fmt.Errorf("%w: signed for another time than %s", ErrExpired, now.UTC().Format(dateForm))
	}
	if !q.signs(q.toSign, secret) && (q.orSign == "" || !q.signs(q.orSign, secret)) {
		return fmt.Errorf("verifying the request of key %.32q: %w", q.AccessKeyID, ErrMismatch)
	}
	return nil
}
