// Package awshttp is the front chain that every AWS request passes: which
// service is meant, request id, size caps, signature, principal, access log,
// panic guard. Behind it each service has an edge of its own.
package awshttp

import (
	"net/http"
	"net/url"

	"github.com/diskport/diskport/internal/iam"
)

// Call is a request after the front chain: who asks which service.
type Call struct {
	RequestID string
	Principal iam.Principal // zero for an anonymous or presigned-by-nobody request
	Region    string        // of the credential scope
	Service   string        // "ec2", "ebs", "s3", "iam", "sts", "diskport"
	Form      url.Values    // query string and form body together, for the query protocols
	Body      []byte        // for all services but s3, whose body is streamed
}

// Edge serves one AWS service.
type Edge interface {
	ServeAWS(w http.ResponseWriter, r *http.Request, c *Call)
}
