package ebsapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// errNotCompleted: only completed snapshots can be read.
var errNotCompleted = errors.New("ebsapi: snapshot is not completed")

// errPublic: a snapshot that is only public can't be read.
var errPublic = errors.New("ebsapi: snapshot is only public")

// errorTable maps the errors that the domain returns; %s stands for the snapshot's
// id. An error that no row matches is internal.
var errorTable = []struct {
	err   error
	fault awshttp.Fault
}{
	{snapshot.ErrNotFound, awshttp.Fault{Status: http.StatusNotFound, Code: "ResourceNotFoundException", Message: "The snapshot '%s' does not exist.", Reason: "SNAPSHOT_NOT_FOUND"}},
	{snapshot.ErrAbsent, invalid("INVALID_BLOCK", "The snapshot '%s' has no such block.")},
	{errNotCompleted, invalid("INVALID_SNAPSHOT_ID", "The snapshot '%s' is not completed.")},
	{errPublic, invalid("INVALID_SNAPSHOT_ID", "The snapshot '%s' is public. Public snapshots cannot be read.")},
	{snapshot.ErrNotPending, invalid("INVALID_SNAPSHOT_ID", "The snapshot '%s' is not pending.")},
	{snapshot.ErrConflict, invalid("CONFLICTING_BLOCK_UPDATE", "Another update of this block of snapshot '%s' is in progress.")},
	{snapshot.ErrParentLarger, invalid("INVALID_VOLUME_SIZE", "The volume size is smaller than that of the parent snapshot '%s'.")},
	{snapshot.ErrTokenReused, awshttp.Fault{Status: http.StatusConflict, Code: "ConflictException", Message: "The client token was used in a request with other parameters."}},
	{snapshot.ErrTooMany, awshttp.Fault{Status: http.StatusBadRequest, Code: "ConcurrentLimitExceededException", Message: "You have reached the limit for concurrent API requests."}},
}

// invalid is a ValidationException.
func invalid(reason, message string) awshttp.Fault {
	return awshttp.Fault{Status: http.StatusBadRequest, Code: "ValidationException", Message: message, Reason: reason}
}

// unusableKey is the answer when the caller can't use the key of the data.
func unusableKey(e *keyring.Error) awshttp.Fault {
	f := invalid("INVALID_DEPENDENCY_REQUEST", "The KMS key of the request or of the snapshot cannot be used: "+string(e.Reason)+".")
	switch e.Reason {
	case keyring.Denied:
		f.Status, f.Code, f.Reason = http.StatusForbidden, "AccessDeniedException", "DEPENDENCY_ACCESS_DENIED"
	case keyring.NotFound:
		f.Status, f.Code, f.Reason = http.StatusNotFound, "ResourceNotFoundException", "DEPENDENCY_RESOURCE_NOT_FOUND"
	}
	return f
}

func isOfBlock(operation string) bool {
	return operation == "GetSnapshotBlock" || operation == "PutSnapshotBlock"
}

// throttled is the answer that tells an account to slow down; the operations on
// blocks have an exception of their own.
func throttled(operation string) awshttp.Fault {
	if isOfBlock(operation) {
		return awshttp.Fault{Status: http.StatusBadRequest, Code: "RequestThrottledException", Message: "The account sends too many requests.", Reason: "ACCOUNT_THROTTLED"}
	}
	return awshttp.Fault{Status: http.StatusBadRequest, Code: "ThrottlingException", Message: "Rate exceeded"}
}

// subjectError says which snapshot an error is about.
type subjectError struct {
	id  string
	err error
}

// about returns err with the snapshot that it is about; nil stays nil.
func about(id string, err error) error {
	if err == nil {
		return nil
	}
	return &subjectError{id, err}
}

func (e *subjectError) Error() string { return fmt.Sprintf("ebsapi: snapshot %s: %v", e.id, e.err) }

func (e *subjectError) Unwrap() error { return e.err }

// blockError is an error of reading a block.
type blockError struct {
	index int64
	err   error
}

func (e *blockError) Error() string { return e.err.Error() }

func (e *blockError) Unwrap() error { return e.err }

// damage is the answer when what is to be read is damaged. Of the exceptions that clients
// know it is the internal one, with which they try again, in vain; the text is all that can
// say so.
func damage(id string, err error) awshttp.Fault {
	what := "The list of the blocks"
	if e := (*blockError)(nil); errors.As(err, &e) {
		what = fmt.Sprintf("Block %d", e.index)
	} else if errors.Is(err, secret.ErrWrapped) {
		what = "The record of the keys"
	}
	return awshttp.Fault{Status: http.StatusInternalServerError, Code: "InternalServerException",
		Message: what + " of the snapshot '" + id + "' is damaged where it is stored, and reading it again will fail. What is damaged is in the log of the service."}
}

// faultOf returns what a client is told of err; known is false for an internal
// error, whose cause only the log may say.
func faultOf(err error) (f awshttp.Fault, known bool) {
	if errors.As(err, &f) {
		return f, true
	}
	if e := (*keyring.Error)(nil); errors.As(err, &e) {
		return unusableKey(e), true
	}
	var denied *iam.DeniedError
	if errors.As(err, &denied) {
		return awshttp.Fault{Status: http.StatusForbidden, Code: "AccessDeniedException", Message: denied.Error(), Reason: "UNAUTHORIZED_ACCOUNT"}, true
	}
	if e := (*snapshot.BeyondError)(nil); errors.As(err, &e) {
		return invalid("INVALID_BLOCK", fmt.Sprintf("Block index %d is beyond the volume size extent", e.Index)), true
	}
	if e := (*snapshot.ChecksumError)(nil); errors.As(err, &e) {
		return awshttp.Fault{Status: http.StatusForbidden, Code: "InvalidSignatureException", Message: "The value passed in as x-amz-Checksum does not match the computed checksum. " +
			"Computed checksum: " + e.Computed.Base64() + " expected checksum: " + e.Expected.Base64()}, true
	}
	if errors.Is(err, keyring.ErrUnavailable) {
		return awshttp.Fault{Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable", Message: "The KMS does not answer. Try again."}, false
	}
	if errors.Is(err, blockstore.ErrUnavailable) {
		return awshttp.Fault{Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable", Message: "The store of the blocks does not answer. Try again."}, false
	}
	id := ""
	if e := (*subjectError)(nil); errors.As(err, &e) {
		id = e.id
	}
	for _, row := range errorTable {
		if errors.Is(err, row.err) {
			f := row.fault
			f.Message = strings.ReplaceAll(f.Message, "%s", id)
			return f, true
		}
	}
	if snapshot.IsDamage(err) {
		return damage(id, err), false
	}
	f, logged := awshttp.Unknown(awshttp.EBS, err)
	return f, !logged
}

// clip shortens a text that a client sent, so that it does not fill the answer.
func clip(s string) string {
	const most = 256 // the longest token
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
