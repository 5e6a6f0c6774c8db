package backup

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Place is where backups are kept, as operators write it: a directory, or
// s3://BUCKET/PREFIX?endpoint=URL&region=REGION, in which no endpoint is AWS's own S3.
type Place struct {
	Dir string // absolute; empty: in an S3

	Bucket, Prefix   string // the prefix ends with a slash, or is empty
	Endpoint, Region string
}

// ParsePlace reads a place. A directory must be an absolute path.
func ParsePlace(text string) (Place, error) {
	if !strings.HasPrefix(text, "s3://") {
		if !filepath.IsAbs(text) {
			return Place{}, fmt.Errorf("backup: %q is neither the absolute path of a directory nor s3://BUCKET/PREFIX", text)
		}
		return Place{Dir: filepath.Clean(text)}, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return Place{}, fmt.Errorf("backup: %w", err)
	}
	q := u.Query()
	p := Place{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), Endpoint: strings.TrimRight(q.Get("endpoint"), "/"), Region: q.Get("region")}
	q.Del("endpoint")
	q.Del("region")
	if p.Bucket == "" || len(q) > 0 || u.User != nil || u.Fragment != "" || p.Prefix != "" && (path.Clean(p.Prefix) != p.Prefix || !filepath.IsLocal(p.Prefix)) {
		return Place{}, fmt.Errorf("backup: %q is not s3://BUCKET/PREFIX?endpoint=URL&region=REGION", text)
	}
	if p.Prefix != "" {
		p.Prefix += "/"
	}
	if e, err := url.Parse(p.Endpoint); p.Endpoint != "" && (err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "") {
		return Place{}, fmt.Errorf("backup: the endpoint %q is not http[s]://HOST[:PORT]", p.Endpoint)
	}
	if p.Region == "" {
		p.Region = "us-east-1"
	}
	return p, nil
}

// Open returns the target at the place. An S3 needs credentials.
func (p Place) Open(c aws.CredentialsProvider) (Target, error) {
	if p.Dir != "" {
		return NewDir(p.Dir), nil
	}
	if c == nil {
		return nil, errors.New("backup: there are no credentials for s3://" + p.Bucket)
	}
	return newS3(p, c, nil), nil
}
