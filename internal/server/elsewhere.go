package server

import (
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/kmsapi"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/store/keyring"
)

// noSTS is the STS endpoint of an S3 that has none.
const noSTS = "none"

// foreignS3 returns the configured S3 beside the embedded one, or nil.
func (a *App) foreignS3(master *secret.MasterKey) (*source.ForeignS3, error) {
	if a.cfg.SourceEndpoint == "" {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	at, err := source.ParseEndpoint(a.cfg.SourceEndpoint)
	if err != nil {
		return nil, err
	}
	o := source.ForeignOptions{
		Endpoint: at, Region: a.cfg.SourceRegion, Credentials: a.cfg.SourceCredentials, Secrets: master,
		Direct: a.cfg.SourceSTS == noSTS, Operator: a.cfg.AccountID,
	}
	if !o.Direct {
		if o.STS, err = source.ParseEndpoint(a.cfg.SourceSTS); err != nil {
			return nil, err
		}
	}
	return source.NewForeignS3(o), nil
}

// foreignEndpoint is where the configured S3 is, if there is one.
func (p *parts) foreignEndpoint() source.Endpoint {
	if p.sources.Foreign == nil {
		return source.Endpoint{}
	}
	return p.sources.Foreign.Endpoint()
}

// keys returns the KMS that encrypted snapshots depend on.
func (a *App) keys(embedded *kms.Service) keyring.KMS {
	endpoint := a.cfg.KMSEndpoint
	switch endpoint {
	case "":
		return keyring.Embedded{Service: embedded}
	case "aws":
		endpoint = "" // that of the SDK
	}
	return keyring.NewExternal(keyring.ExternalOptions{
		Config: aws.Config{Region: a.cfg.Region, Credentials: a.cfg.KMSCredentials}, Endpoint: endpoint,
	})
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
