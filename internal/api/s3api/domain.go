package s3api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/keyring"
)

// domainErrors are the errors of package objects that say nothing but what they are.
var domainErrors = []struct {
	err     error
	failure func(*call) *failure
}{
	{objects.ErrNoSuchBucket, func(c *call) *failure { return noSuchBucket(c.target.bucket) }},
	{objects.ErrBucketName, func(c *call) *failure { return invalidBucketName(c.target.bucket) }},
	{objects.ErrBucketNotEmpty, func(c *call) *failure {
		return fail(http.StatusConflict, "BucketNotEmpty", "The bucket you tried to delete is not empty", element{"BucketName", c.target.bucket})
	}},
	{objects.ErrKey, func(c *call) *failure { return invalidArgument("The key can't be stored here.", "Key", c.key) }},
	{objects.ErrNoSuchObject, func(c *call) *failure { return noSuchKey(c.key) }},
	{objects.ErrNoSuchVersion, func(c *call) *failure { return noSuchVersion(c.key, c.query.Get("versionId")) }},
	{objects.ErrNoSuchUpload, func(c *call) *failure { return noSuchUpload(c.query.Get("uploadId")) }},
	{objects.ErrPartOrder, func(*call) *failure {
		return fail(http.StatusBadRequest, "InvalidPartOrder", "The list of parts was not in ascending order. The parts list must be specified in order by part number.")
	}},
	{objects.ErrPrecondition, func(*call) *failure { return preconditionFailed("If-Match") }},
	{objects.ErrChecksum, func(*call) *failure {
		return fail(http.StatusBadRequest, "BadDigest", "The checksum you specified did not match the calculated checksum.")
	}},
	{objects.ErrRange, func(c *call) *failure { return invalidRange(c.header.Get("Range"), c.object.Size) }},
	{objects.ErrQuota, func(*call) *failure {
		return fail(http.StatusForbidden, "QuotaExceeded", "The account would store more than its quota allows.")
	}},
	{objects.ErrAllQuota, func(*call) *failure {
		return fail(http.StatusForbidden, "QuotaExceeded", "The service would store more than its quota for all objects allows: delete some, or have its operator raise the quota.")
	}},
	{space.ErrSpent, noSpace(space.ErrSpent)},
	{space.ErrFull, noSpace(space.ErrFull)}, // objects.ErrNoSpace, too
	{iam.ErrRemoved, func(*call) *failure {
		f := awshttp.NoAccount(awshttp.S3)
		return fail(f.Status, f.Code, f.Message)
	}},
}

// known maps the errors of the domains to S3's.
func (c *call) known(err error) (*failure, bool) {
	if f, ok := c.knownPart(err); ok {
		return f, true
	}
	for _, row := range domainErrors {
		if errors.Is(err, row.err) {
			return row.failure(c), true
		}
	}
	return c.knownKey(err)
}

func noSpace(err error) func(*call) *failure {
	return func(*call) *failure {
		f := awshttp.NoSpace(awshttp.S3, err)
		return fail(f.Status, f.Code, f.Message)
	}
}

// knownKey turns the errors of a KMS into S3's, whose codes have a prefix.
func (c *call) knownKey(err error) (*failure, bool) {
	if e, ok := errors.AsType[*keyring.Error](err); ok {
		if row, ok := keyErrors[e.Reason]; ok {
			return fail(row.status, row.code, keyText(e)), true
		}
	}
	if e, ok := errors.AsType[*kms.Error](err); ok && errors.Is(e, kms.ErrValidation) {
		return fail(http.StatusBadRequest, "KMS.ValidationException", e.Message), true
	}
	if errors.Is(err, keyring.ErrUnavailable) {
		return fail(http.StatusServiceUnavailable, "ServiceUnavailable", "The KMS does not answer. Please try again."), true
	}
	return nil, false
}

// keyText is what a KMS said about a key, which is the caller's to read.
func keyText(e *keyring.Error) string {
	if said, ok := errors.AsType[*kms.Error](e); ok {
		return said.Message
	}
	if said, ok := errors.AsType[*iam.DeniedError](e); ok {
		return said.Error()
	}
	var api interface {
		error
		ErrorMessage() string
	}
	if errors.As(e, &api) {
		return api.ErrorMessage()
	}
	return "The key " + e.Key + " can't be used: " + string(e.Reason)
}

var keyErrors = map[keyring.Reason]struct {
	status int
	code   string
}{
	keyring.Denied:          {http.StatusForbidden, "AccessDenied"},
	keyring.NotFound:        {http.StatusBadRequest, "KMS.NotFoundException"},
	keyring.WrongRegion:     {http.StatusBadRequest, "KMS.NotFoundException"},
	keyring.Malformed:       {http.StatusBadRequest, "KMS.InvalidArnException"},
	keyring.Disabled:        {http.StatusBadRequest, "KMS.DisabledException"},
	keyring.PendingDeletion: {http.StatusBadRequest, "KMS.KMSInvalidStateException"},
	keyring.PendingImport:   {http.StatusBadRequest, "KMS.KMSInvalidStateException"},
	keyring.InvalidState:    {http.StatusBadRequest, "KMS.KMSInvalidStateException"},
	keyring.NotSymmetric:    {http.StatusBadRequest, "KMS.InvalidKeyUsageException"},
	keyring.Broken:          {http.StatusBadRequest, "KMS.InvalidCiphertextException"},
}

// knownPart turns the errors about the parts of a completion into S3's.
func (c *call) knownPart(err error) (*failure, bool) {
	if e, ok := errors.AsType[*objects.PartError](err); ok {
		return fail(http.StatusBadRequest, "InvalidPart",
			"One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
			element{"UploadId", c.query.Get("uploadId")}, element{"PartNumber", strconv.Itoa(e.Number)}, element{"ETag", e.ETag}), true
	}
	if e, ok := errors.AsType[*objects.SizeError](err); ok {
		return invalidRequest(fmt.Sprintf("The provided 'x-amz-mp-object-size' header value %d does not match what was computed: %d", e.Want, e.Size)), true
	}
	if e, ok := errors.AsType[*objects.ChecksumTypeError](err); ok {
		return invalidRequest("The upload was created using the " + string(e.Type) + " checksum mode. The complete request must use the same checksum mode."), true
	}
	if e, ok := errors.AsType[*objects.SmallPartError](err); ok {
		return fail(http.StatusBadRequest, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size",
			element{"ProposedSize", strconv.FormatInt(e.Size, 10)}, element{"MinSizeAllowed", strconv.FormatInt(e.Min, 10)},
			element{"PartNumber", strconv.Itoa(e.Number)}, element{"ETag", e.ETag}), true
	}
	return nil, false
}
