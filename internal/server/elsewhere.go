package server

import (
	"net/http"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/kmsapi"
	"github.com/diskport/diskport/internal/imports/source"
)

// foreignEndpoint is where the configured S3 is, if there is one.
func (p *parts) foreignEndpoint() source.Endpoint {
	if p.sources.Foreign == nil {
		return source.Endpoint{}
	}
	return p.sources.Foreign.Endpoint()
}

// kmsEdge serves the embedded KMS, unless keys live elsewhere: those made here
// would be good for nothing.
func (a *App) kmsEdge() awshttp.Edge {
	if a.cfg.KMSEndpoint == "" {
		return kmsapi.New(kmsapi.Options{Service: a.parts.kms, Log: a.log})
	}
	return keysElsewhere(a.cfg.KMSEndpoint)
}

// keysElsewhere tells clients of KMS where to go.
type keysElsewhere string

// ServeAWS implements awshttp.Edge.
func (e keysElsewhere) ServeAWS(w http.ResponseWriter, _ *http.Request, c *awshttp.Call) {
	c.Fail(w, awshttp.Fault{
		Status: http.StatusBadRequest, Code: "UnsupportedOperationException",
		Message: "The keys of this service are kept by another KMS (" + string(e) + "): send KMS requests there.",
	})
}
