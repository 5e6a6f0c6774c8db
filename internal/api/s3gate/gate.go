package s3gate

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"

	"github.com/versity/versitygw/s3response"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/logkey"
)

// maxDelete bounds the body of a DeleteObjects: 1,000 keys of 1,024 bytes with
// their markup.
const (
	maxDelete    = 2 << 20
	maxDeletions = 1000 // keys of one request, as S3 has it
)

// Options are the parts and settings of a Gate. All but Authorize and Domain are
// required.
type Options struct {
	// Gateway sends requests to the embedded S3.
	Gateway http.RoundTripper
	// Authorize returns an *iam.DeniedError unless the caller may do action
	// ("s3:GetObject") on resources (ARNs). Nil means what Call has.
	Authorize func(ctx context.Context, c *awshttp.Call, action string, with policy.Context, resources ...string) error
	// Domain makes bucket.Domain address a bucket; it must be the same as the
	// gateway's.
	Domain string
	// BucketOwner returns the account of a bucket, or objects.ErrNoSuchBucket.
	BucketOwner func(ctx context.Context, bucket string) (string, error)
	Log         *slog.Logger
}

// Gate is the S3 edge. It is safe for concurrent use.
type Gate struct {
	opts  Options
	proxy http.Handler
}

var _ awshttp.Edge = (*Gate)(nil)

// New returns the edge.
func New(opts Options) *Gate {
	if opts.Authorize == nil {
		opts.Authorize = func(ctx context.Context, c *awshttp.Call, action string, with policy.Context, resources ...string) error {
			return c.Authorize(ctx, action, with, resources...)
		}
	}
	return &Gate{opts: opts, proxy: newProxy(opts.Gateway, opts.Log)}
}

// ServeAWS implements awshttp.Edge. The signature of r has been verified, those of
// a streamed body have not.
func (g *Gate) ServeAWS(w http.ResponseWriter, r *http.Request, c *awshttp.Call) {
	t, v, err := g.admit(w, r, c)
	if err == nil {
		if answer, ok := unset[v]; ok && t.key == "" && t.bucket != "" {
			err = g.answerUnset(w, r, c, t.bucket, answer)
		} else {
			g.proxy.ServeHTTP(w, withCall(r, c))
		}
	}
	if err != nil {
		f := fault(err)
		if f == awshttp.Internal(awshttp.S3) {
			g.opts.Log.ErrorContext(r.Context(), "serving an S3 request", logkey.Request, c.RequestID, logkey.Error, err)
		}
		c.Fail(w, f)
	}
}

// admit returns what is asked for, and an error if it may not be done.
func (g *Gate) admit(w http.ResponseWriter, r *http.Request, c *awshttp.Call) (target, verb, error) {
	t, err := parseTarget(r, g.opts.Domain)
	if err != nil {
		return t, verb{}, err
	}
	sub, err := t.subresource()
	if err != nil {
		return t, verb{}, err
	}
	v := verb{r.Method, sub}
	action, all, err := needs(r, t, v)
	if err != nil {
		return t, v, err
	}
	c.Action = action
	if c.Principal.Kind == iam.Anonymous {
		return t, v, denied
	}
	if action == "DeleteObjects" {
		if all, err = deletions(w, r, t.bucket); err != nil {
			return t, v, err
		}
	}
	return t, v, g.authorize(r.Context(), c, t, v, all)
}

// authorize asks for each need. However many objects a request deletes, their
// evaluation shares the bound of the request.
func (g *Gate) authorize(ctx context.Context, c *awshttp.Call, t target, v verb, all []need) error {
	request := t.keys(c.Origin.Time)
	with, described := request, ""
	for _, n := range all {
		if bucket, _, _ := strings.Cut(n.resource, "/"); bucket != described {
			var err error
			if with, err = g.withOwner(ctx, c, request, bucket); err != nil {
				return err
			}
			described = bucket
		}
		if _, err := g.ask(ctx, c, n.action, with, n.resource); err != nil {
			return err
		}
		file, named := strings.CutSuffix(n.resource, "/")
		if !named {
			continue
		}
		// The gateway keeps "k/" as a folder, and where it does not look for one it
		// takes the file "k": so no policy on k may be passed by with k/. What reads,
		// writes or deletes an object tells the two apart, so there only a Deny counts:
		// who may make "k/" need not be allowed k.
		strict := v.sub != "" && v.sub != "delete"
		explicit, err := g.ask(ctx, c, n.action, with, file)
		if explicit || err != nil && (strict || !errors.Is(err, denied)) {
			return err
		}
	}
	return nil
}

// ask returns denied unless the caller may do action to a resource, and whether that
// is a Deny, or may be one: nobody knows what takes too long to evaluate.
func (g *Gate) ask(ctx context.Context, c *awshttp.Call, action string, with policy.Context, resource string) (explicit bool, err error) {
	err = g.opts.Authorize(ctx, c, "s3:"+action, with, arnPrefix+resource)
	if no, ok := errors.AsType[*iam.DeniedError](err); ok {
		return no.Explicit || no.Costly, denied
	}
	return false, err
}

// withOwner adds the account that a bucket belongs to. Policies do not apply to root.
func (g *Gate) withOwner(ctx context.Context, c *awshttp.Call, with policy.Context, bucket string) (policy.Context, error) {
	if c.Principal.Kind == iam.Root || bucket == "*" {
		return with, nil
	}
	owner, err := g.opts.BucketOwner(ctx, bucket)
	if errors.Is(err, objects.ErrNoSuchBucket) {
		return with, nil
	}
	if err != nil {
		return nil, err
	}
	with = maps.Clone(with)
	with.Set("s3:ResourceAccount", owner)
	with.Set("aws:ResourceAccount", owner)
	return with, nil
}

// deletions reads the keys out of a DeleteObjects, leaving r with its body.
func deletions(w http.ResponseWriter, r *http.Request, bucket string) ([]need, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDelete))
	if err != nil {
		var over *http.MaxBytesError
		if errors.As(err, &over) {
			return nil, tooLarge
		}
		return nil, malformed // it ended early
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	// This is the gateway's own type, so that both read the same keys.
	var list s3response.DeleteObjects
	if err := xml.Unmarshal(body, &list); err != nil {
		return nil, malformed
	}
	if len(list.Objects) > maxDeletions {
		return nil, malformed
	}
	var all []need
	for _, object := range list.Objects {
		if object.Key == nil {
			return nil, malformed
		}
		key, ok := objects.CleanKey(*object.Key)
		if !ok {
			return nil, invalidKey
		}
		action := "DeleteObject"
		if object.VersionId != nil && *object.VersionId != "" {
			action = versioned[action]
		}
		all = append(all, need{action, bucket + "/" + key})
	}
	return all, nil
}
