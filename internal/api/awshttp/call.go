// Package awshttp is the front chain that every AWS request passes: which service
// is meant, request id, size caps, signature, principal, access log, panic guard.
// Behind it, each service has an edge of its own. What clients may hold by being slow is
// bounded by package flow, for all edges.
//
//	request ─► id, recorder, panic guard     front.go, access.go, metrics.go
//	        ─► service (credential scope)    route.go
//	        ─► key, date, signature          auth.go
//	        ─► body and form, capped         body.go
//	        ─► Edge.ServeAWS                 one per service
//
// An error in front of the edge or in it is a Fault, answered in the form of the
// service's protocol (fault.go, shape.go).
package awshttp

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/url"

	"github.com/diskport/diskport/internal/api/flow"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/sigv4"
)

// The services, by their names in credential scopes.
const (
	EC2      = "ec2"
	EBS      = "ebs"
	S3       = "s3"
	IAM      = "iam"
	STS      = "sts"
	KMS      = "kms"
	Diskport = "diskport" // our own JSON under /-/v1/
)

// Call is a request that has passed the front chain: its service, its principal and
// its parameters. It belongs to the goroutine that serves the request.
type Call struct {
	RequestID string
	Principal iam.Principal // zero for an anonymous request, or one with a presigned Url of no known key
	Origin    iam.Origin    // what policies may ask about any request
	Region    string        // that the request is made in: one of the service's, see Options.Regions
	Service   string        // EC2, EBS, …
	Form      url.Values    // query string and form body together, for the query protocols
	Body      []byte        // for all services but s3, whose body is streamed
	Payload   sigv4.Payload // for s3: what the request says about its body, and what checks it

	// Action is the action that the edge has found. It labels metrics, so it may
	// only be a name from the edge's own table.
	Action string

	// Parameters are what the audit log tells of the request besides Form and Body: what
	// its path names.
	Parameters map[string]any

	key      string         // that the request was signed with, or names
	code     string         // of the fault that was answered; empty: none
	exchange *flow.Exchange // nil: no limits, in tests of edges
}

// ReadBody takes the body of r into memory, up to limit bytes, until the request has
// been answered. For services whose bodies are in Body, it has been called already. The
// error is a Fault.
func (c *Call) ReadBody(r *http.Request, limit int64) ([]byte, error) {
	body, err := c.readBody(r, limit)
	if err != nil {
		return nil, refusalOf(err).fault(c.Service)
	}
	return body, nil
}

// readBody is ReadBody with a refusal as error.
func (c *Call) readBody(r *http.Request, limit int64) ([]byte, error) {
	body, err := c.exchange.ReadBody(r.Body, r.ContentLength, limit)
	switch {
	case err == nil:
		return body, nil
	case errors.Is(err, flow.ErrTooLarge):
		return nil, tooLarge
	case errors.Is(err, flow.ErrBusy):
		return nil, busy
	case errors.Is(err, flow.ErrSlow):
		return nil, tooSlow
	}
	return nil, unread
}

// claim counts what the request holds as that of the key that it names.
func (c *Call) claim(key string) error {
	c.key = key
	if c.exchange.Claim(key) != nil {
		return busy
	}
	return nil
}

// prove counts what the request holds as its sender's.
func (c *Call) prove(p iam.Principal) error {
	if c.exchange.Prove(p.Account) != nil {
		return busy
	}
	return nil
}

// Reserve makes sure that there is memory for n bytes, such as a block, that the edge is
// about to hold until the client has read them. Calls do not add up: the largest
// counts. The error is a Fault.
func (c *Call) Reserve(n int) error {
	if c.exchange.Reserve(int64(n)) != nil {
		return busy.fault(c.Service)
	}
	return nil
}

// TooSlow returns the answer to a client that was cut for being slow. ok is false if it
// was not: then an edge answers with the error that it met.
func (c *Call) TooSlow() (f Fault, ok bool) {
	return tooSlow.fault(c.Service), c.exchange.Slow()
}

// Failed notes the code of an error that the edge has answered itself, in a form
// that Fail does not have.
func (c *Call) Failed(code string) { c.code = code }

// HostID is what S3 gives to a request besides its id.
func (c *Call) HostID() string {
	sum := sha512.Sum384([]byte(c.RequestID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Authorize returns nil if the caller may do action to every one of resources, else
// an *iam.DeniedError. with is what policies may ask about this request besides its
// origin.
func (c *Call) Authorize(ctx context.Context, action string, with policy.Context, resources ...string) error {
	full := c.Origin.Context()
	maps.Copy(full, with)
	return iam.Authorize(ctx, c.Principal, action, full, resources...)
}

// Home returns where the caller's resources of the request's region belong.
func (c *Call) Home() awsid.Home { return awsid.Home{Account: c.Principal.Account, Region: c.Region} }

// KeyUser returns the caller in the form that KMS needs.
func (c *Call) KeyUser() kms.Caller {
	return kms.Caller{Principal: c.Principal, Region: c.Region, Context: c.Origin.Context()}
}

// Edge serves one AWS service.
type Edge interface {
	ServeAWS(w http.ResponseWriter, r *http.Request, c *Call)
}
