package sigv4

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The errors of this package. Match them with errors.Is.
var (
	// ErrMissing: the request carries no credentials at all.
	ErrMissing = errors.New("no signature")
	// ErrIncomplete: the authentication data is malformed or lacks a part.
	ErrIncomplete = errors.New("incomplete signature")
	// ErrNoHash, an ErrIncomplete: the body is not read for the check, and nothing says
	// what its hash is.
	ErrNoHash = fmt.Errorf("%w: X-Amz-Content-Sha256 is missing", ErrIncomplete)
	// ErrExpiry, an ErrIncomplete: X-Amz-Expires is not a number of seconds up to a week.
	ErrExpiry = fmt.Errorf("%w: X-Amz-Expires must be 0 to %d seconds", ErrIncomplete, maxExpiry/time.Second)
	// ErrExpired: the date is outside the clock window, or a presigned
	// request is past its expiry.
	ErrExpired = errors.New("signature expired")
	// ErrMismatch: the signature does not match the request and the secret.
	ErrMismatch = errors.New("signature does not match")
	// ErrV2: the request is signed with Signature Version 2.
	ErrV2 = errors.New("signature version 2")
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	dateForm   = "20060102T150405Z"

	maxSkew      = 15 * time.Minute   // clock window of AWS, both ways
	maxExpiry    = 7 * 24 * time.Hour // longest presigned life at AWS
	maxSigned    = 128                // signed headers; SDKs sign about ten
	maxRegion    = 63                 // bytes: a DNS label, as all that can be a region
	maxQueryVars = 4096               // parameters of one canonical query
	sigLen       = 64                 // hex digits of a SHA-256
)

// Values of the X-Amz-Content-Sha256 header that are not digests.
const (
	// UnsignedPayload says that the signature does not cover the body.
	UnsignedPayload = "UNSIGNED-PAYLOAD"
	// StreamingPrefix starts the values that announce an aws-chunked body.
	StreamingPrefix = "STREAMING-"
)

// Request is the signature of one request and everything it covers.
type Request struct {
	AccessKeyID   string
	Region        string
	Service       string        // from the credential scope, such as "ec2"
	Date          time.Time     // when it was signed, UTC
	Expires       time.Duration // life of a presigned request; 0 in a header
	SignedHeaders []string      // lower case, as listed
	Presigned     bool          // the signature was in the query
	SessionToken  string        // empty for a long-lived key

	// PayloadHash is the declared hash of the body: hex, UnsignedPayload, a
	// STREAMING- value, or empty if nothing was declared.
	PayloadHash string

	signature string
	scope     string // date/region/service/aws4_request
	method    string
	path      string // canonical
	query     string // canonical
	headers   string // canonical, each line ended
}

// Parse parses the signature of r without checking it. It does not touch the body.
// The error is ErrMissing, ErrIncomplete or ErrV2, wrapped.
func Parse(r *http.Request) (Request, error) {
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return Request{}, err
	}
	header := r.Header.Values("Authorization")
	presigned := query.has("X-Amz-Algorithm") || query.has("X-Amz-Signature")
	var req Request
	switch {
	case presigned && len(header) > 0, len(header) > 1:
		err = fmt.Errorf("%w: more than one authentication given", ErrIncomplete)
	case presigned:
		req, err = fromQuery(query)
	case len(header) == 1:
		req, err = fromHeader(r, header[0])
	case query.has("AWSAccessKeyId") && query.has("Signature"):
		err = fmt.Errorf("reading the query: %w", ErrV2)
	default:
		err = ErrMissing
	}
	if err != nil {
		return Request{}, err
	}
	return req, req.capture(r, query)
}

// ParseURL parses a presigned URL that arrived as text, as if it were requested
// with a GET from host ("host:port"). The URL's own host is ignored.
func ParseURL(rawURL, host string) (Request, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The cause repeats the URL, and that is a credential.
		return Request{}, fmt.Errorf("%w: malformed URL", ErrIncomplete)
	}
	return Parse(&http.Request{Method: http.MethodGet, URL: u, Host: host, Header: http.Header{}})
}

// Scope returns the service that r is signed for, such as "ec2", or "" if it
// carries no version 4 credential. It is for routing: nothing is verified.
func Scope(r *http.Request) string {
	credential := ""
	if rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), algorithm); ok {
		credential = authFields(rest)["Credential"]
	} else if query, err := parseQuery(r.URL.RawQuery); err == nil {
		credential, _ = query.one("X-Amz-Credential")
	}
	var req Request
	if req.setCredential(credential) != nil {
		return ""
	}
	return req.Service
}

func fromHeader(r *http.Request, authorization string) (Request, error) {
	if strings.HasPrefix(authorization, "AWS ") {
		return Request{}, fmt.Errorf("reading the authorization header: %w", ErrV2)
	}
	rest, ok := strings.CutPrefix(authorization, algorithm+" ")
	if !ok {
		return Request{}, fmt.Errorf("%w: the authorization header is not %s", ErrIncomplete, algorithm)
	}
	fields := authFields(rest)
	req := Request{
		SessionToken: r.Header.Get("X-Amz-Security-Token"),
		PayloadHash:  r.Header.Get("X-Amz-Content-Sha256"),
	}
	date, err := headerDate(r.Header)
	if err != nil {
		return Request{}, err
	}
	return req, req.set(date, fields["Credential"], fields["SignedHeaders"], fields["Signature"])
}

// authFields splits `Credential=…, SignedHeaders=…, Signature=…`. The first
// of two equal names wins; a later one can't hide what Scope has seen.
func authFields(text string) map[string]string {
	fields := make(map[string]string, 3)
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if _, seen := fields[name]; !seen {
			fields[name] = value
		}
	}
	return fields
}

func headerDate(h http.Header) (time.Time, error) {
	if text := h.Get("X-Amz-Date"); text != "" {
		return parseDate(text)
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: no usable X-Amz-Date or Date header", ErrIncomplete)
	}
	return date.UTC(), nil
}

func parseDate(text string) (time.Time, error) {
	date, err := time.Parse(dateForm, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: X-Amz-Date is not of the form %s", ErrIncomplete, dateForm)
	}
	return date, nil
}

func fromQuery(query params) (Request, error) {
	var value [6]string
	for i, name := range [6]string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Security-Token"} {
		v, n := query.one(name)
		if n > 1 || n == 0 && name != "X-Amz-Security-Token" {
			return Request{}, fmt.Errorf("%w: %s must be given once", ErrIncomplete, name)
		}
		value[i] = v
	}
	if value[0] != algorithm {
		return Request{}, fmt.Errorf("%w: X-Amz-Algorithm is not %s", ErrIncomplete, algorithm)
	}
	date, err := parseDate(value[2])
	if err != nil {
		return Request{}, err
	}
	req := Request{Presigned: true, SessionToken: value[5]}
	if req.Expires, err = expiry(query); err != nil {
		return Request{}, err
	}
	req.PayloadHash, _ = query.one("X-Amz-Content-Sha256")
	return req, req.set(date, value[1], value[3], value[4])
}

// expiry reads X-Amz-Expires. Without it (SDKs leave it out for all but S3)
// the request lives as long as one signed in the header.
func expiry(query params) (time.Duration, error) {
	text, n := query.one("X-Amz-Expires")
	if n == 0 {
		return maxSkew, nil
	}
	seconds, err := strconv.ParseUint(text, 10, 32)
	life := time.Duration(seconds) * time.Second
	if n > 1 || err != nil || life > maxExpiry {
		return 0, ErrExpiry
	}
	return life, nil
}

func (q *Request) set(date time.Time, credential, signedHeaders, signature string) error {
	q.Date = date
	if err := q.setCredential(credential); err != nil {
		return err
	}
	if q.scope[:8] != date.Format("20060102") {
		return fmt.Errorf("%w: the date in the credential scope is not that of the request", ErrMismatch)
	}
	q.SignedHeaders = strings.Split(signedHeaders, ";")
	if len(q.SignedHeaders) > maxSigned || !slices.Contains(q.SignedHeaders, "host") || signedHeaders != strings.ToLower(signedHeaders) {
		return fmt.Errorf("%w: SignedHeaders must be lower case names with host among them", ErrIncomplete)
	}
	if len(signature) != sigLen {
		return fmt.Errorf("%w: Signature must have %d hex digits", ErrIncomplete, sigLen)
	}
	q.signature = signature
	return nil
}

// setCredential splits KEY/yyyymmdd/region/service/aws4_request from the
// right: a key made elsewhere may hold slashes.
func (q *Request) setCredential(credential string) error {
	part := strings.Split(credential, "/")
	n := len(part) - 5
	if n < 0 || slices.Contains(part, "") || part[n+4] != terminator || len(part[n+1]) != 8 || len(part[n+2]) > maxRegion {
		return fmt.Errorf("%w: Credential must be KEY/yyyymmdd/region/service/%s", ErrIncomplete, terminator)
	}
	q.AccessKeyID = strings.Join(part[:n+1], "/")
	q.Region, q.Service = part[n+2], part[n+3]
	q.scope = strings.Join(part[n+1:], "/")
	return nil
}
