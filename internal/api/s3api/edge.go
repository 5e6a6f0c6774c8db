package s3api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/imports/bucketpolicy"
	"github.com/diskport/diskport/internal/imports/objects"
)

// Principals translates the principals that bucket policies name. iam.Service
// implements it.
type Principals interface {
	BindPrincipals(ctx context.Context, document string) (string, error)
	ShowPrincipals(ctx context.Context, document string) (string, error)
}

// Options are the parts and settings of an Edge. Objects, Keys, Principals, Regions
// and Log are required.
type Options struct {
	Objects    *objects.Service
	Keys       iam.AccessKeys // of those who sign forms
	Principals Principals
	// Encryption chooses and checks KMS keys; nil means that there is no KMS.
	Encryption Encryption
	Regions    awsid.Regions // where buckets can be
	// Domain makes bucket.Domain address a bucket. It must be the front chain's.
	Domain string
	// Strict answers as AWS does where Diskport is kinder.
	Strict bool
	Log    *slog.Logger
	Aged   func() time.Time // that uploads expire by; nil means time.Now
}

// Edge serves S3. It is safe for concurrent use.
type Edge struct {
	opts  Options
	judge *bucketpolicy.Judge
}

var _ awshttp.Edge = (*Edge)(nil)

// New returns the edge.
func New(o Options) *Edge {
	if o.Aged == nil {
		o.Aged = time.Now
	}
	return &Edge{opts: o, judge: bucketpolicy.New(o.Objects, awsid.Partition(o.Regions.Own()))}
}

// call is one request on its way through the edge.
type call struct {
	*Edge
	*awshttp.Call
	target

	w      http.ResponseWriter
	r      *http.Request
	header http.Header // of r, with what a presigned query says besides

	bucket   objects.Bucket      // that is addressed
	object   objects.Object      // that is addressed, if the operation needs one …
	missing  error               // … or why there is none
	document []byte              // the body, if the operation takes a small one
	unread   error               // why the document can't be used
	form     map[string]string   // the fields of a form, by their names in lower case; nil: the request is none
	tags     tagSet              // that the document gives to an object
	guard    *bucketpolicy.Guard // of the bucket that was asked about last

	sourceVersioned bool // the object that is copied is a version in a bucket that keeps them
}

// ServeAWS implements awshttp.Edge. The signature of r has been verified, those in
// its body have not.
func (e *Edge) ServeAWS(w http.ResponseWriter, r *http.Request, hc *awshttp.Call) {
	c := &call{Edge: e, Call: hc, w: w, r: r, header: r.Header}
	w.Header().Set("X-Amz-Id-2", hc.HostID())
	if err := c.serve(r.Context()); err != nil {
		c.answerError(r.Context(), err)
	}
}

func (c *call) serve(ctx context.Context) (err error) {
	if c.target, err = parseTarget(c.r, c.opts.Domain); err != nil {
		return err
	}
	sub, err := c.subresource()
	if err != nil {
		return err
	}
	switch {
	case c.r.Method == http.MethodOptions:
		return c.preflight(ctx)
	case c.isForm(sub):
		return c.postForm(ctx)
	}
	if c.header, err = c.hoisted(c.r); err != nil {
		return err
	}
	op, err := find(c.target, c.r.Method, sub, c.header)
	if err != nil {
		return err
	}
	c.Action = op.name
	c.tell()
	if !c.opts.Regions.Has(c.Region) {
		return c.wrongRegion(c.opts.Regions.Own())
	}
	if err := c.checkHeaders(op); err != nil {
		return err
	}
	if err := c.admit(ctx, op); err != nil {
		return err
	}
	if c.unread != nil {
		return c.unread
	}
	return op.run(ctx, c)
}

// tell tells the audit log what the request is about.
func (c *call) tell() {
	c.Parameters = map[string]any{}
	if c.target.bucket != "" {
		c.Parameters["bucketName"] = c.target.bucket
	}
	if c.target.key != "" {
		c.Parameters["key"] = c.target.key
	}
	for _, name := range []string{"versionId", "uploadId", "partNumber"} {
		if v := c.query.Get(name); v != "" {
			c.Parameters[name] = v
		}
	}
	if from := c.header.Get(headerCopySource); from != "" {
		c.Parameters[headerCopySource] = from
	}
}

// headerCopySource names what is copied.
const headerCopySource = "x-amz-copy-source"

// admit finds what op acts on and asks whether the caller may.
func (c *call) admit(ctx context.Context, op operation) error {
	if op.on != service && op.name != "CreateBucket" {
		if err := c.findBucket(ctx, op); err != nil {
			return err
		}
		c.allowOrigin(ctx)
	}
	if op.document > 0 {
		c.document, c.unread = c.readDocument(op.document)
		if name, told, ok := documentTold(c.document); ok {
			c.Parameters[name] = told
		}
	}
	if op.needsObject {
		version := c.query.Get("versionId")
		c.object, c.missing = c.opts.Objects.Object(ctx, c.target.bucket, c.key, version)
		if c.missing != nil && !isMissing(c.missing) {
			return c.missing
		}
	}
	if op.name == "PutObjectTagging" && c.unread == nil {
		c.tags, _ = tagsIn(c.document, maxObjectTags) // what can't be read is refused later
	}
	return c.authorize(ctx, op)
}

func isMissing(err error) bool {
	return errors.Is(err, objects.ErrNoSuchObject) || errors.Is(err, objects.ErrNoSuchVersion)
}

// findBucket looks up the bucket that is addressed. Whoever may not do op anyway is
// not told that there is none.
func (c *call) findBucket(ctx context.Context, op operation) (err error) {
	c.bucket, err = c.opts.Objects.Bucket(ctx, c.target.bucket)
	if errors.Is(err, objects.ErrNoSuchBucket) {
		if c.Principal.Kind != iam.Anonymous && !c.mayAlone(ctx, op) {
			return accessDenied()
		}
		return noSuchBucket(c.target.bucket)
	}
	if err != nil {
		return err
	}
	if owner := c.header.Get("X-Amz-Expected-Bucket-Owner"); owner != "" && owner != c.bucket.Account {
		return accessDenied()
	}
	if c.opts.Strict && c.Principal.Kind != iam.Anonymous && c.Region != c.bucket.Region {
		return c.wrongRegion(c.bucket.Region)
	}
	return nil
}

func (c *call) wrongRegion(right string) *failure {
	return fail(http.StatusBadRequest, "AuthorizationHeaderMalformed",
		"The authorization header is malformed; the region '"+c.Region+"' is wrong; expecting '"+right+"'", element{"Region", right})
}

// versioned reports whether answers name versions.
func (c *call) versioned() bool { return c.bucket.Versioning != objects.Unversioned }
