// Package awshttp is the front chain that every AWS request passes: which service
// is meant, request id, size caps, signature, principal, access log, panic guard.
// Behind it, each service has an edge of its own.
//
//	request ─► id, recorder, panic guard     front.go, access.go, metrics.go
//	        ─► service (credential scope)    route.go
//	        ─► body and form, capped         body.go
//	        ─► signature, principal          auth.go
//	        ─► Edge.ServeAWS                 one per service
//
// An error in front of the edge or in it is a Fault, answered in the form of the
// service's protocol (fault.go, shape.go).
package awshttp

import (
	"context"
	"maps"
	"net/http"
	"net/url"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
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
	Region    string        // of the credential scope
	Service   string        // EC2, EBS, …
	Form      url.Values    // query string and form body together, for the query protocols
	Body      []byte        // for all services but s3, whose body is streamed

	// Action is the action that the edge has found. It labels metrics, so it may
	// only be a name from the edge's own table.
	Action string

	code string // of the fault that was answered; empty: none
}

// Authorize returns nil if the caller may do action to every one of resources, else
// an *iam.DeniedError. with is what policies may ask about this request besides its
// origin.
func (c *Call) Authorize(ctx context.Context, action string, with policy.Context, resources ...string) error {
	full := c.Origin.Context()
	maps.Copy(full, with)
	return iam.Authorize(ctx, c.Principal, action, full, resources...)
}

// KeyUser returns the caller in the form that KMS needs.
func (c *Call) KeyUser() kms.Caller {
	return kms.Caller{Principal: c.Principal, Region: c.Region, Context: c.Origin.Context()}
}

// Edge serves one AWS service.
type Edge interface {
	ServeAWS(w http.ResponseWriter, r *http.Request, c *Call)
}
