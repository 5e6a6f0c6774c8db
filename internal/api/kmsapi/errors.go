package kmsapi

import (
	"errors"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/tag"
)

// codes maps the domain's errors to codes. The status is 400 for all of them.
var codes = []struct {
	err  error
	code string
}{
	{kms.ErrNotFound, "NotFoundException"},
	{kms.ErrExists, "AlreadyExistsException"},
	{kms.ErrDenied, "AccessDeniedException"},
	{kms.ErrDisabled, "DisabledException"},
	{kms.ErrState, "KMSInvalidStateException"},
	{kms.ErrUsage, "InvalidKeyUsageException"},
	{kms.ErrInvalidARN, "InvalidArnException"},
	{kms.ErrReserved, "NotAuthorizedException"},
	{kms.ErrInvalidCiphertext, "InvalidCiphertextException"},
	{kms.ErrIncorrectKey, "IncorrectKeyException"},
	{kms.ErrMalformedPolicy, "MalformedPolicyDocumentException"},
	{kms.ErrInvalidGrantID, "InvalidGrantIdException"},
	{kms.ErrInvalidGrantToken, "InvalidGrantTokenException"},
	{kms.ErrValidation, "ValidationException"},
	{kms.ErrUnsupported, "UnsupportedOperationException"},
	{kms.ErrLimit, "LimitExceededException"},
}

func known(err error) (awshttp.Fault, bool) {
	if e, ok := errors.AsType[*tag.Error](err); ok {
		code := "TagException"
		if errors.Is(err, tag.ErrTooMany) {
			code = "LimitExceededException"
		}
		return awshttp.Fault{Status: 400, Code: code, Message: e.Message}, true
	}
	e, ok := errors.AsType[*kms.Error](err)
	if !ok {
		return awshttp.Fault{}, false
	}
	for _, row := range codes {
		if errors.Is(err, row.err) {
			return awshttp.Fault{Status: 400, Code: row.code, Message: e.Message}, true
		}
	}
	return awshttp.Fault{}, false
}
