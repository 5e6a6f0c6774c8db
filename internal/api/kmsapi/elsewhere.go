package kmsapi

import (
	"net/http"

	"github.com/diskport/diskport/internal/api/awshttp"
)

// Elsewhere is the edge of a service that uses the keys of another KMS, at this
// URL. Keys made here would be of no use, so clients are told where to go.
type Elsewhere string

var _ awshttp.Edge = Elsewhere("")

// ServeAWS implements awshttp.Edge.
func (e Elsewhere) ServeAWS(w http.ResponseWriter, _ *http.Request, c *awshttp.Call) {
	c.Fail(w, awshttp.Fault{
		Status: http.StatusBadRequest, Code: "UnsupportedOperationException",
		Message: "The keys of this service are kept by another KMS (" + string(e) + "): send KMS requests there.",
	})
}
