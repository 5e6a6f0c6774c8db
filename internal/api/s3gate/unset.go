package s3gate

import (
	"errors"
	"io"
	"net/http"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/imports/objects"
)

const xmlHead = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

const xmlns = ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`

// answer is a document, or a fault.
type answer struct {
	document string
	fault    awshttp.Fault
}

// unset holds S3's answers about settings of a bucket that were never made. They
// can't be made here, and the gateway answers NotImplemented, which stops tools
// that read all settings.
var unset = map[verb]answer{
	{"GET", "accelerate"}:     {document: `<AccelerateConfiguration` + xmlns + `/>`},
	{"GET", "requestPayment"}: {document: `<RequestPaymentConfiguration` + xmlns + `><Payer>BucketOwner</Payer></RequestPaymentConfiguration>`},
	{"GET", "logging"}:        {document: `<BucketLoggingStatus` + xmlns + `/>`},
	{"GET", "notification"}:   {document: `<NotificationConfiguration` + xmlns + `/>`},
	{"GET", "policy"}:         missing("NoSuchBucketPolicy", "The bucket policy does not exist"),
	{"GET", "policyStatus"}:   missing("NoSuchBucketPolicy", "The bucket policy does not exist"),
	{"GET", "cors"}:           missing("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
	{"GET", "website"}:        missing("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
	{"GET", "versioning"}:     {document: `<VersioningConfiguration` + xmlns + `/>`},
	{"GET", "lifecycle"}:      missing("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
	{"GET", "replication"}:    missing("ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
	{"GET", "encryption"}:     missing("ServerSideEncryptionConfigurationNotFoundError", "The server side encryption configuration was not found"),
	{"GET", "object-lock"}:    missing("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket"),
	{"GET", "publicAccessBlock"}: missing("NoSuchPublicAccessBlockConfiguration",
		"The public access block configuration was not found"),
}

func missing(code, message string) answer {
	return answer{fault: awshttp.Fault{Status: http.StatusNotFound, Code: code, Message: message}}
}

// answerUnset tells the owner of a bucket that a setting was never made.
func (g *Gate) answerUnset(w http.ResponseWriter, r *http.Request, c *awshttp.Call, bucket string, a answer) error {
	owner, err := g.opts.BucketOwner(r.Context(), bucket)
	switch {
	case errors.Is(err, objects.ErrNoSuchBucket):
		return noBucket
	case err != nil:
		return err
	case owner != c.Principal.Account:
		return denied
	case a.document == "":
		return a.fault
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = io.WriteString(w, xmlHead+a.document) // a client that is gone needs no answer
	return nil
}
