package source

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/imports/objects"
)

// Kind says what sort of source a Location or a Pin names. Its text is stored.
type Kind string

// The kinds.
const (
	// Embedded is an object of the embedded S3.
	Embedded Kind = "embedded"
	// Foreign is an object of an S3 elsewhere.
	Foreign Kind = "foreign"
	// Handover is an open file that a program on this machine handed over.
	Handover Kind = "handover"
)

// Request is a source as a caller of ImportSnapshot gives it: Bucket and Key,
// or URL.
type Request struct {
	Account     string // of the caller; 12 digits
	Region      string // of the import, where the object must be
	Bucket, Key string
	URL         string
	Role        string   // name of the service role
	OwnHosts    []string // host[:port] under which this service can be reached
	Endpoint    Endpoint // of the foreign S3, if there is one
	Now         time.Time
	Origin      iam.Origin // of the request, for the policies of the principal that presigned a Url
}

// Location is where a source lies. It does not prove any permission.
type Location struct {
	Kind        Kind
	Bucket, Key string // both empty for Handover
	Role        string // as in Request
	Region      string // that the Url names; empty when it names none
	Presigned   bool   // the Url is meant as the permission to read; Pin checks it

	account string
	owner   string            // account of the bucket, of the embedded S3, when Resolve looked
	content objects.ContentID // of the object there, then; 0: there was none, or one without bytes
	within  string            // region of the import
	now     time.Time
	origin  iam.Origin
	named   bool          // by bucket and key alone, whichever S3 has it
	url     string        // Foreign and Presigned: as it is to be fetched
	token   string        // Handover
	signed  sigv4.Request // Presigned, and signErr nil
	signErr error

	signedV2 sigv4.V2 // if signErr is sigv4.ErrV2 and v2Err nil
	v2Err    error
}

// maxURL bounds a Url in bytes: S3's longest key, each byte encoded, and a
// signature with a session token.
const maxURL = 8 << 10

// ParseLocation returns where a source lies. It fails with ErrLocation.
//
//	s3://bucket/key                                 taken literally
//	https://bucket.s3[.region].amazonaws.com/key    virtual-hosted
//	https://s3[.region].amazonaws.com/bucket/key    path style
//	http[s]://our-own-host/bucket/key               likewise, and with the
//	http[s]://bucket.our-own-host/key               bucket in the host
//	http[s]://endpoint-of-the-foreign-S3/bucket/key likewise
//	diskport:token                                  a handed-over file
//
// An http[s] location may carry a query signature, of version 4 or, where that is
// allowed, of version 2. If there is a foreign S3, a location that names a bucket
// and no host of ours is an object there.
func ParseLocation(req Request) (Location, error) {
	loc := Location{Kind: Embedded, Role: req.Role, account: req.Account, within: req.Region, now: req.Now, origin: req.Origin}
	if req.URL == "" {
		loc.byName(req.Endpoint)
		return loc.of(req.Bucket, req.Key)
	}
	if len(req.URL) > maxURL {
		return Location{}, refuse("longer than any")
	}
	scheme, rest, _ := strings.Cut(req.URL, ":")
	switch strings.ToLower(scheme) {
	case "s3":
		name, ok := strings.CutPrefix(rest, "//")
		bucket, key, _ := strings.Cut(name, "/")
		if !ok {
			return Location{}, refuse("not s3://bucket/key")
		}
		loc.byName(req.Endpoint)
		return loc.of(bucket, key)
	case "http", "https":
		return loc.parseWeb(req)
	case "diskport":
		loc.Kind, loc.token = Handover, rest
		return loc, nil
	}
	return Location{}, refuse("unknown scheme")
}

// byName notes that a location names no host of ours: with a foreign S3 it lies
// there.
func (loc *Location) byName(e Endpoint) {
	if e != (Endpoint{}) {
		loc.Kind, loc.named = Foreign, true
	}
}

// refuse returns an error that says why, without the Url, which may be a
// credential.
func refuse(why string) error { return fmt.Errorf("%w: %s", ErrLocation, why) }

var bucketForm = regexp.MustCompile(`^[A-Za-z0-9._-]{3,255}$`)

// of completes loc with its object.
func (loc Location) of(bucket, key string) (Location, error) {
	if !bucketForm.MatchString(bucket) {
		return Location{}, refuse("no bucket's name")
	}
	if key == "" || len(key) > 1024 {
		return Location{}, refuse("no object's key")
	}
	loc.Bucket, loc.Key = bucket, key
	return loc, nil
}

func (loc Location) parseWeb(req Request) (Location, error) {
	u, err := url.Parse(req.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return Location{}, refuse("malformed")
	}
	bucket, err := loc.parseHost(u, req)
	if err != nil {
		return Location{}, err
	}
	virtual, key := bucket, strings.TrimPrefix(u.Path, "/")
	if bucket == "" {
		bucket, key, _ = strings.Cut(key, "/")
	}
	if loc, err = loc.of(bucket, key); err != nil {
		return Location{}, err
	}
	if loc, err = loc.parseQuery(u, req.URL, virtual); err != nil {
		return Location{}, err
	}
	if loc.Presigned && loc.named && !req.Endpoint.AWS {
		// It is signed for AWS, which is not configured. If the key is not one of
		// ours, Pin refuses it.
		loc.Kind = Embedded
	}
	return loc, nil
}

// parseHost returns the bucket that the host names, or "", and notes a region.
func (loc *Location) parseHost(u *url.URL, req Request) (bucket string, err error) {
	if bucket, ok := req.Endpoint.at(u); ok {
		loc.Kind = Foreign
		return bucket, nil
	}
	host := strings.ToLower(u.Host)
	for _, own := range req.OwnHosts {
		if bucket, ok := ownHost(host, strings.ToLower(own)); ok {
			return bucket, nil
		}
	}
	if !strings.EqualFold(u.Scheme, "https") {
		return "", refuse("not https")
	}
	found := awsHost.FindStringSubmatch(strings.TrimSuffix(host, ":443"))
	if found == nil {
		return "", refuse("host is not S3's")
	}
	loc.Region = found[2]
	loc.byName(req.Endpoint)
	return found[1], nil
}

// awsHost takes bucket and region out of a host of S3. A bucket may contain dots,
// so the last match is the endpoint.
var awsHost = regexp.MustCompile(`^(?:(.+)\.)?s3(?:(?:\.dualstack)?[.-]([a-z]{2}(?:-[a-z]+)+-[0-9]))?\.amazonaws\.com(?:\.cn)?$`)

// ownHost reports whether host is own, or bucket.own. An own host without a port,
// or with a usual one, stands for all ports.
func ownHost(host, own string) (bucket string, ok bool) {
	at, mine := url.URL{Host: host}, url.URL{Host: own}
	name, ownName := at.Hostname(), mine.Hostname()
	anyPort := mine.Port() == "" || mine.Port() == "80" || mine.Port() == "443"
	if ownName == "" || !anyPort && at.Port() != mine.Port() {
		return "", false
	}
	if name == ownName {
		return "", true
	}
	bucket, ok = strings.CutSuffix(name, "."+ownName)
	if !ok || net.ParseIP(ownName) != nil { // an address has no names below it
		return "", false
	}
	return bucket, true
}

// parseQuery accepts only a query that is a signature and its parameters. virtual
// is the bucket that the host names.
func (loc Location) parseQuery(u *url.URL, raw, virtual string) (Location, error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Location{}, refuse("malformed query")
	}
	if query.Has("X-Amz-Signature") || query.Has("X-Amz-Algorithm") || query.Has("Signature") {
		loc.Presigned = true
	}
	for name := range query {
		lower := strings.ToLower(name)
		signature := strings.HasPrefix(lower, "x-amz-") || lower == "signature" || lower == "awsaccesskeyid" || lower == "expires"
		if !loc.Presigned || !signature && lower != "x-id" && !strings.HasPrefix(lower, "response-") {
			return Location{}, refuse("a query that asks for something else than the object")
		}
	}
	if loc.Presigned {
		loc.url = raw
		loc.signed, loc.signErr = sigv4.ParseURL(raw, u.Host)
		loc.signedV2, loc.v2Err = sigv4.ParseV2URL(raw, virtual)
	}
	return loc, nil
}
