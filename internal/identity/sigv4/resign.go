package sigv4

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Resign turns r, a presigned GET that q has verified, into a request signed with
// version 4 in the header, for a back end that does not know version 2. The
// parameters of the old signature are removed from the query.
func (q V2) Resign(r *http.Request, secret Secret, region string, now time.Time) error {
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(query, func(p param) bool {
		return p.name == "AWSAccessKeyId" || p.name == "Signature" || p.name == "Expires" ||
			strings.HasPrefix(p.name, "x-amz-") || p.name == "content-md5" || p.name == "content-type"
	})
	r.URL.RawQuery = left.canonical()
	path, _, _ := strings.Cut(r.RequestURI, "?")
	r.RequestURI = path
	if r.URL.RawQuery != "" {
		r.RequestURI += "?" + r.URL.RawQuery
	}
	now = now.UTC()
	if q.SessionToken != "" {
		r.Header.Set("X-Amz-Security-Token", q.SessionToken)
	}
	r.Header.Set("X-Amz-Date", now.Format(dateForm))
	r.Header.Set("X-Amz-Content-Sha256", UnsignedPayload)
	names := []string{"host"}
	for name := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	s := Request{PayloadHash: UnsignedPayload}
	scope := q.AccessKeyID + "/" + now.Format("20060102") + "/" + region + "/s3/" + terminator
	if err := s.set(now, scope, strings.Join(names, ";"), strings.Repeat("0", sigLen)); err != nil {
		return err
	}
	if err := s.capture(r, left); err != nil {
		return err
	}
	r.Header.Set("Authorization", algorithm+" Credential="+scope+", SignedHeaders="+strings.Join(names, ";")+
		", Signature="+hex.EncodeToString(s.sign(secret, UnsignedPayload)))
	return nil
}
