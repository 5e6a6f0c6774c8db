package s3api

import (
	"net/http"

	"github.com/diskport/diskport/internal/api/awshttp"
)

// Elsewhere is the edge of a service that has no S3 of its own, since many nodes share no
// disk that objects could lie on. It names the S3 that clients have to ask instead: a URL,
// or aws.
type Elsewhere string

var _ awshttp.Edge = Elsewhere("")

// ServeAWS implements awshttp.Edge.
func (e Elsewhere) ServeAWS(w http.ResponseWriter, _ *http.Request, c *awshttp.Call) {
	where := string(e)
	if where == "aws" {
		where = "AWS's own"
	}
	c.Fail(w, awshttp.Fault{
		Status: http.StatusNotImplemented, Code: "NotImplemented",
		Message: "This service has no S3 of its own: its nodes share no disk. Send S3 requests to the S3 that it imports from (" + where + ").",
	})
}
