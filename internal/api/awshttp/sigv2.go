package awshttp

import (
	"net/http"
	"strings"

	"github.com/diskport/diskport/internal/identity/sigv4"
)

// takesV2 reports whether a service takes Signature Version 2. S3 does, as AWS's
// did in us-east-1, since boto3 and the AWS CLI still presign with it.
func (f *Front) takesV2(service string) bool {
	return f.opts.AllowSigV2 || service == S3 && !f.opts.Strict
}

// authenticateV2 is authenticate for a signature of version 2: of an EC2 query,
// whose form c has already, or of a request to S3.
func (f *Front) authenticateV2(r *http.Request, c *Call) error {
	c.Region = f.opts.Regions.Own()
	c.Origin = f.origin(r, c)
	signature, err := f.parseV2(r, c)
	if err != nil {
		return err
	}
	principal, secret, err := f.opts.Keys.Lookup(r.Context(), signature.AccessKeyID, signature.SessionToken)
	if err != nil {
		return err
	}
	if err := c.claim(signature.AccessKeyID); err != nil {
		return err
	}
	if err := signature.Verify(secret, f.opts.Now()); err != nil {
		return err
	}
	if err := c.prove(principal); err != nil {
		return err
	}
	if c.Service == S3 {
		c.Form = nil
		c.Payload.Declared = r.Header.Get("X-Amz-Content-Sha256")
	}
	f.admitted(r, c, principal)
	return nil
}

func (f *Front) parseV2(r *http.Request, c *Call) (sigv4.V2, error) {
	if c.Service != S3 {
		r.Body = http.NoBody
		return sigv4.ParseV2Form(r, c.Form)
	}
	bucket, ok := virtualBucket(r.Host, f.opts.Domain)
	if !ok {
		return sigv4.V2{}, mismatch
	}
	return sigv4.ParseV2Object(r, bucket)
}

// virtualBucket takes the bucket out of "bucket.domain[:port]", exactly as the S3
// edge does: if the two differed, a signature would be valid for another object. It
// is empty where the path begins with the bucket.
func virtualBucket(host, domain string) (bucket string, ok bool) {
	if domain == "" {
		return "", true
	}
	bucket, rest, found := strings.Cut(host, "."+domain)
	if !found || bucket == "" {
		return "", true
	}
	return bucket, rest == "" || rest[0] == ':'
}
