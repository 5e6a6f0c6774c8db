// Package awshttp is the front chain that every AWS request passes: which
// service is meant, request id, size caps, signature, principal, access log,
// panic guard. Behind it each service has an edge of its own.
//
//	request ─► id, recorder, panic guard     front.go, access.go, metrics.go
//	        ─► service (credential scope)    route.go
//	        ─► body and form, capped         body.go
//	        ─► signature, principal          auth.go
//	        ─► Edge.ServeAWS                 one per service
//
// An error before or behind the edge is a Fault, told in the shape of the
// service's protocol (fault.go, shape.go).
package awshttp

import (
	"maps"
	"net/http"
	"net/url"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
)

// The services, named as credential scopes name them.
const (
	EC2      = "ec2"
	EBS      = "ebs"
	S3       = "s3"
	IAM      = "iam"
	STS      = "sts"
	KMS      = "kms"
	Diskport = "diskport" // our own JSON under /-/v1/
)

// Call is a request after the front chain: who asks which service. It belongs
// to the one goroutine that serves the request.
type Call struct {
	RequestID string
	Principal iam.Principal // zero for an anonymous or presigned-by-nobody request
	Origin    iam.Origin    // what policies may ask about the request as such
	Region    string        // of the credential scope
	Service   string        // EC2, EBS, …
	Form      url.Values    // query string and form body together, for the query protocols
	Body      []byte        // for all services but s3, whose body is streamed

	// Action is what the edge found the request to ask for. It labels metrics,
	// so only names from the edge's own table may be set.
	Action string

	code string // of the fault that was answered; empty: none
}

// Authorize returns nil if the caller may do action to every one of resources,
// else an *iam.DeniedError. with says more about the request than its origin.
func (c *Call) Authorize(action string, with policy.Context, resources ...string) error {
	context := c.Origin.Context()
	maps.Copy(context, with)
	return iam.Authorize(c.Principal, action, context, resources...)
}

// KeyUser is the caller as KMS knows it.
func (c *Call) KeyUser() kms.Caller {
	return kms.Caller{Principal: c.Principal, Region: c.Region, Context: c.Origin.Context()}
}

// Edge serves one AWS service.
type Edge interface {
	ServeAWS(w http.ResponseWriter, r *http.Request, c *Call)
}
