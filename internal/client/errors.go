package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
)

// Error is an error that the service answered on /-/v1/.
type Error struct {
	Status  int    // of HTTP
	Code    string // such as NoSuchSnapshot; HTTP: the answer was not the service's
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// APIError is an error that one of the service's AWS APIs answered.
type APIError struct {
	Status    int    // of HTTP
	Code      string // such as InvalidSnapshot.NotFound; HTTP: the answer was not an API's
	Message   string
	RequestID string // empty: unknown
}

var _ smithy.APIError = (*APIError)(nil)

func (e *APIError) Error() string {
	text := e.Code + ": " + e.Message
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// ErrorCode implements smithy.APIError, with ErrorMessage and ErrorFault, so that the
// errors of all AWS APIs are told apart in one way.
func (e *APIError) ErrorCode() string { return e.Code }

// ErrorMessage implements smithy.APIError.
func (e *APIError) ErrorMessage() string { return e.Message }

// ErrorFault implements smithy.APIError.
func (e *APIError) ErrorFault() smithy.ErrorFault {
	if e.Status >= http.StatusInternalServerError {
		return smithy.FaultServer
	}
	return smithy.FaultClient
}

// HTTPStatusCode is called by the SDK's retryer.
func (e *APIError) HTTPStatusCode() int { return e.Status }

// notFound are the AWS codes for things that do not exist.
var notFound = map[string]bool{
	"InvalidSnapshot.NotFound":          true,
	"InvalidSnapshotID.NotFound":        true,
	"InvalidConversionTaskId.Malformed": true,
	"InvalidConversionTaskId.NotFound":  true,
	"InvalidParameterValue.NotFound":    true,
	"ResourceNotFoundException":         true,
	"NotFoundException":                 true,
	"NoSuchKey":                         true,
	"NoSuchBucket":                      true,
	"NotFound":                          true,
	"NoSuchEntity":                      true,
}

// IsNotFound reports whether err says that a task, a snapshot or an object
// does not exist.
func IsNotFound(err error) bool {
	var own *Error
	if errors.As(err, &own) {
		return own.Status == http.StatusNotFound
	}
	return notFound[code(err)]
}

// code returns the AWS error code in err, or "".
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// waysOn say how to go on after errors for which AWS's words do not.
var waysOn = []struct{ said, hint string }{
	{"Credential should be scoped to a valid region", "The service does not play the region that the command is about: choose another with --region or AWS_REGION."},
	{"The authorization header is malformed; the region", "The service keeps its buckets in its own region: import files there (--region), then copy the snapshots with aws ec2 copy-snapshot."},
}

// Explain returns err for a person: an AWS error without the SDK's envelope, and how to
// go on.
func Explain(err error) string {
	text := err.Error()
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorMessage() != "" {
		text = api.ErrorMessage() + " (" + api.ErrorCode() + ")"
	}
	for _, w := range waysOn {
		if strings.Contains(text, w.said) {
			text += "\n" + w.hint
		}
	}
	return text
}
