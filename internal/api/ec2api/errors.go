package ec2api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/volume"
	"github.com/diskport/diskport/internal/work"
)

const (
	roleMessage     = "The service role %s provided does not exist or does not have sufficient permissions"
	objectMessage   = "User does not have access to the S3 object (%s)."
	signVersion4    = " The Url is signed with version 2; sign with version 4 (`aws configure set default.s3.signature_version s3v4`) or start with --allow-sigv2"
	locationMessage = "Invalid S3 source location"
	taskMissing     = "InvalidConversionTaskId.Malformed"
)

// told is one row of the error table: what a client is told of a domain's error.
// The status is 400.
type told struct {
	code    string
	message string // %s stands for what match returns
	match   func(error) (what string, ok bool)
}

// errorTable maps the errors that the domains return. The first match counts; an
// error that no row matches is internal.
var errorTable = []told{
	{"UnknownParameter", "%s", words[*ec2query.UnknownParameterError]},
	{"InvalidParameterValue", "%s", words[*ec2query.ValueError]},
	{"InvalidQueryParameter", "%s", words[*ec2query.LimitError]},

	{taskMissing, "Tasks %s not found.", subject(importtask.ErrNotFound)},
	{"DeleteConversionTaskError", "The conversion task cannot be canceled.", kind[*importtask.TransitionError]},
	{"ResourceCountLimitExceeded", "The limit on the number of running import tasks has been reached.", subject(importtask.ErrTooMany)},
	{"IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).", subject(importtask.ErrTokenReused)},
	{"IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).", subject(snapshot.ErrTokenReused)},
	{"InvalidParameter", roleMessage, func(err error) (string, bool) {
		var e *importtask.RoleError
		return field(errors.As(err, &e), func() string { return e.Role })
	}},
	{"InvalidParameter", "The given S3 object is not local to the region. The object must be located in %s.", subject(source.ErrRegion)},
	{"InvalidParameter", objectMessage + signVersion4, func(err error) (string, bool) {
		what, ok := unreadable(err)
		return what, ok && errors.Is(err, sigv4.ErrV2)
	}},
	{"InvalidParameter", objectMessage, unreadable},
	{"InvalidParameter", locationMessage, subject(source.ErrLocation)},

	{"InvalidSnapshot.NotFound", "The snapshots '%s' do not exist.", subjects(snapshot.ErrNotFound)},
	{"InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", subject(snapshot.ErrNotFound)},
	{"InvalidSnapshot.InUse", "The snapshot %s is currently in use by the import that makes it", subject(snapshot.ErrPending)},
	{"InvalidSnapshot.InUse", "The snapshot %s", func(err error) (string, bool) {
		var s *subjectError
		var e *snapshot.InUseError
		return field(errors.As(err, &s) && errors.As(err, &e), func() string { return s.text() + " is currently in use by " + e.Image })
	}},
	{"IncorrectState", "The snapshot '%s' is not in the 'completed' state.", subject(snapshot.ErrNotPending)},
	{"ResourceLimitExceeded", "Too many snapshot copies in progress. The limit is %s for this destination region.", func(err error) (string, bool) {
		return strconv.Itoa(snapshot.MaxCopies), errors.Is(err, snapshot.ErrTooMany)
	}},
	{"ResourceLimitExceeded", "The snapshot '%s' is shared with as many accounts as it can be.", subject(snapshot.ErrTooManyShares)},
	{"InvalidParameterValue", "The specified KMS key is not accessible. If this is a default EBS CMK, please retry your request without specifying the key explicitly", kind[*keyring.Error]},

	{"InvalidVolume.NotFound", "The volumes '%s' do not exist.", subjects(volume.ErrNotFound)},
	{"InvalidVolume.NotFound", "The volume '%s' does not exist.", subject(volume.ErrNotFound)},
	{"IncorrectState", "The data of the volume '%s' is lost where it was stored, and trying again will fail. Delete the volume, and create another from a snapshot.", subject(volume.ErrLost)},
	{"InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", subject(volume.ErrNoSnapshot)},
	{"InvalidParameterValue", "New size cannot be smaller than existing size", subject(volume.ErrShrinks)},
	{"IncorrectModificationState", "The volume '%s' is currently being modified.", subject(volume.ErrChanged)},

	{"InvalidAMIID.NotFound", "The image ids '[%s]' do not exist", subjects(image.ErrNotFound)},
	{"InvalidAMIID.NotFound", "The image id '[%s]' does not exist", subject(image.ErrNotFound)},
	{"OperationNotPermitted", "%s", func(err error) (string, bool) {
		var e *image.ProtectedError
		return field(errors.As(err, &e), func() string { return protectedText(e) })
	}},
	{"ResourceLimitExceeded", "The image '%s' is shared with as many accounts as it can be.", subject(image.ErrTooManyShares)},
	{"InvalidAMIName.Duplicate", "AMI name %s", func(err error) (string, bool) {
		var e *image.NameError
		return field(errors.As(err, &e), func() string { return e.Name + " is already in use by AMI " + e.ID })
	}},
	{"InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", func(err error) (string, bool) {
		var e *image.NoSnapshotError
		return field(errors.As(err, &e), func() string { return e.ID })
	}},
	{"IncorrectState", "The snapshot '%s' is not in the 'completed' state.", func(err error) (string, bool) {
		var e *importtask.UnfinishedError
		return field(errors.As(err, &e), func() string { return e.Snapshot })
	}},

	{"InvalidParameter", "%s", func(err error) (string, bool) {
		var e *importtask.FailureError
		return field(errors.As(err, &e), func() string { return e.Message })
	}},

	{"InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", untagged("snap-")},
	{taskMissing, "Tasks %s not found.", untagged("import-")},
	{"InvalidAMIID.NotFound", "The image id '[%s]' does not exist", untagged("ami-")},
	{"InvalidVolume.NotFound", "The volume '%s' does not exist.", untagged("vol-")},
}

// faultOf returns what a client is told of err; known is false for an internal
// error, whose cause only the log may say.
func faultOf(err error) (f awshttp.Fault, known bool) {
	if errors.As(err, &f) {
		return f, true
	}
	var broken *tag.Error
	if errors.As(err, &broken) {
		return awshttp.Fault{Status: http.StatusBadRequest, Code: broken.Code, Message: broken.Message}, true
	}
	for _, row := range errorTable {
		if what, ok := row.match(err); ok {
			return awshttp.Fault{Status: http.StatusBadRequest, Code: row.code, Message: strings.ReplaceAll(row.message, "%s", clip(what))}, true
		}
	}
	// This comes after the table, because refusals that concern an object or a key have
	// texts of their own there.
	var denied *iam.DeniedError
	if errors.As(err, &denied) {
		return awshttp.Fault{Status: http.StatusForbidden, Code: "UnauthorizedOperation", Message: "You are not authorized to perform this operation. " + denied.Error()}, true
	}
	for _, away := range []error{source.ErrUnavailable, keyring.ErrUnavailable, blockstore.ErrUnavailable, work.ErrNoDatabase} {
		if errors.Is(err, away) {
			return awshttp.Fault{Status: http.StatusServiceUnavailable, Code: "Unavailable", Message: "A service that this request needs does not answer. Try again."}, false
		}
	}
	f, logged := awshttp.Unknown(awshttp.EC2, err)
	return f, !logged
}

// subjectError says which ids an error is about.
type subjectError struct {
	ids []string
	err error
}

func about(id string, err error) error { return &subjectError{[]string{id}, err} }

// aboutAll is about for all of what is missing, of which there is at least one.
func aboutAll(ids []string, err error) error { return &subjectError{ids, err} }

func (e *subjectError) Error() string { return fmt.Sprintf("ec2api: %s: %v", e.text(), e.err) }

func (e *subjectError) Unwrap() error { return e.err }

func (e *subjectError) text() string { return strings.Join(e.ids, ", ") }

// subject matches a sentinel, for the ids that it is about.
func subject(sentinel error) func(error) (string, bool) {
	return func(err error) (string, bool) {
		var e *subjectError
		if errors.As(err, &e) {
			return e.text(), errors.Is(err, sentinel)
		}
		return "", errors.Is(err, sentinel)
	}
}

// subjects matches a sentinel that is about more than one id.
func subjects(sentinel error) func(error) (string, bool) {
	return func(err error) (string, bool) {
		var e *subjectError
		if !errors.As(err, &e) || len(e.ids) < 2 {
			return "", false
		}
		return e.text(), errors.Is(err, sentinel)
	}
}

// kind matches a type of error.
func kind[E error](err error) (string, bool) {
	var e E
	return "", errors.As(err, &e)
}

// words matches a type of error whose text may be shown to clients.
func words[E error](err error) (string, bool) {
	var e E
	return field(errors.As(err, &e), func() string { return e.Error() })
}

// untagged matches a resource that can't be tagged because it does not exist.
func untagged(prefix string) func(error) (string, bool) {
	return func(err error) (string, bool) {
		var e *tag.NoResourceError
		if !errors.As(err, &e) || !strings.HasPrefix(e.ID, prefix) {
			return "", false
		}
		return e.ID, true
	}
}

func protectedText(e *image.ProtectedError) string {
	if e.Until.IsZero() {
		return "The image '" + e.ID + "' is protected from deregistration. Disable its deregistration protection first."
	}
	return "The image '" + e.ID + "' is protected from deregistration until " + timeText(ec2query.Time(e.Until)) + ", the end of the cooldown."
}

// unreadable matches a source object that is missing or may not be read.
func unreadable(err error) (string, bool) {
	var e *importtask.ObjectError
	return field(errors.As(err, &e), func() string { return e.Bucket + "/" + e.Key })
}

func field(ok bool, get func() string) (string, bool) {
	if !ok {
		return "", false
	}
	return get(), true
}
