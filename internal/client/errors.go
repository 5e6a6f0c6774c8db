package client

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/smithy-go"
)

// Error is an error that the service answered on /-/v1/.
type Error struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// notFound are the AWS codes that say that a thing does not exist.
var notFound = map[string]bool{
	"InvalidSnapshot.NotFound":          true,
	"InvalidSnapshotID.NotFound":        true,
	"InvalidConversionTaskId.Malformed": true,
	"InvalidConversionTaskId.NotFound":  true,
	"InvalidParameterValue.NotFound":    true,
	"ResourceNotFoundException":         true,
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

// Explain returns err for a person: an AWS error without the SDK's envelope.
func Explain(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorMessage() != "" {
		return api.ErrorMessage() + " (" + api.ErrorCode() + ")"
	}
	return err.Error()
}
