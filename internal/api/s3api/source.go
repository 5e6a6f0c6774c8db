package s3api

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/diskport/diskport/internal/imports/objects"
)

// copySource is what a x-amz-copy-source names.
type copySource struct{ bucket, key, version string }

// parseCopySource reads [/]bucket/key[?versionId=…]. Bucket and key are
// percent-encoded, the rest is not.
func parseCopySource(headers []string) (s copySource, err error) {
	if len(headers) != 1 {
		return s, invalidArgument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey", "x-amz-copy-source", strings.Join(headers, ","))
	}
	path, version, named := strings.Cut(headers[0], "?versionId=")
	if named {
		if s.version, err = url.QueryUnescape(version); err != nil || s.version == "" {
			return s, invalidArgument("Version id cannot be the empty string", "x-amz-copy-source", headers[0])
		}
	}
	path, err = url.PathUnescape(path)
	if err != nil || !utf8.ValidString(path) {
		return s, invalidArgument("Invalid copy source encoding", "x-amz-copy-source", headers[0])
	}
	s.bucket, s.key, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if s.bucket == "" || s.key == "" {
		return s, invalidArgument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey", "x-amz-copy-source", headers[0])
	}
	return s, checkKey(s.key)
}

// sourceNamesVersion reports whether the copy source is a version of its own choice.
func (c *call) sourceNamesVersion() bool {
	return strings.Contains(c.header.Get("X-Amz-Copy-Source"), "?versionId=")
}

// source returns the object that is copied, if the caller may read it and it meets
// the conditions of the request.
func (c *call) source(ctx context.Context) (objects.Object, error) {
	s, err := parseCopySource(c.header["X-Amz-Copy-Source"])
	if err != nil {
		return objects.Object{}, err
	}
	from, err := c.opts.Objects.Bucket(ctx, s.bucket)
	if errors.Is(err, objects.ErrNoSuchBucket) {
		return objects.Object{}, noSuchBucket(s.bucket)
	}
	if err != nil {
		return objects.Object{}, err
	}
	if owner := c.header.Get("X-Amz-Source-Expected-Bucket-Owner"); owner != "" && owner != from.Account {
		return objects.Object{}, accessDenied()
	}
	o, missing := c.opts.Objects.Object(ctx, s.bucket, s.key, s.version)
	if missing != nil && !isMissing(missing) {
		return o, missing
	}
	// For the source, policies are asked about the source: its tags and its version.
	reader := *c
	reader.object, reader.missing, reader.guard = o, missing, nil
	reader.bucket, reader.target.bucket, reader.key = from, s.bucket, s.key
	reader.query = url.Values{}
	action := "GetObject"
	if s.version != "" {
		action, reader.query = "GetObjectVersion", url.Values{"versionId": {s.version}}
	}
	if err := reader.allow(ctx, from, s.key, action, reader.keys()); err != nil {
		return o, err
	}
	if missing != nil {
		return o, reader.missingObject(ctx)
	}
	if o.Marker {
		return o, invalidRequest("The source of a copy request may not specifically refer to a delete marker by version id.")
	}
	c.sourceVersioned = from.Versioning != objects.Unversioned
	if failed := conditionalOf(c.header, "X-Amz-Copy-Source-").check(o); failed != "" {
		return o, preconditionFailed("x-amz-copy-source-" + failed)
	}
	return o, nil
}

// mayCopyTags returns an error unless the caller may read the tags of the source and
// write them, if it has any.
func (c *call) mayCopyTags(ctx context.Context, src objects.Object) error {
	if len(src.Tags) == 0 {
		return nil
	}
	from, err := c.opts.Objects.Bucket(ctx, src.Bucket)
	if err != nil {
		return err
	}
	with, read := c.keys(), "GetObjectTagging"
	if c.sourceNamesVersion() {
		read = "GetObjectVersionTagging"
		with.Set("s3:VersionId", src.Version)
	}
	tagSet(src.Tags).addTo(with, "s3:ExistingObjectTag/", "")
	if err := c.allow(ctx, from, src.Key, read, with); err != nil {
		return err
	}
	return c.allow(ctx, c.bucket, c.key, "PutObjectTagging", c.keys())
}

func trimETag(text string) string { return strings.Trim(strings.TrimSpace(text), `"`) }

// parseTime reads a time in the forms of headers and of documents.
func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t, err = time.Parse(time.RFC1123, text)
	}
	return t, err
}
