package importtask

import (
	"errors"
	"fmt"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/ova"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/ingest"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/imports/scratch"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/work"
)

// Cancelled is the failure of a task whose user cancelled it (AWS's spelling).
func Cancelled(reason string) Failure {
	return Failure{Message: "User initiated task cancelation.", Reason: cancelled, Detail: reason, Offset: -1}
}

const cancelled = "cancelled"

// Cancelled reports whether it is the failure of a task that was cancelled.
func (f Failure) Cancelled() bool { return f.Reason == cancelled }

// FailureOf returns the failure of a task that err ends. final is false if trying
// again may help.
func FailureOf(err error) (f Failure, final bool) {
	for _, c := range causes {
		if f, ok := c.match(err); ok {
			return f.detailed(err), c.final
		}
	}
	return Failure{Message: internalError, Reason: "internal", Offset: -1}.detailed(err), false
}

// serverError begins the messages of failures that are none of the client's.
const serverError = "ServerError: "

// serverReasons are the reasons of such failures. The alert about imports that fail names
// all of them.
var serverReasons = []string{
	"database-unavailable", "decoder-stuck", "decoders-stuck", "internal", "kms-unavailable", "poison", "source-damaged", "source-slow", "source-unavailable", "source-unreadable",
	"store-full", "store-unavailable",
}

// detailed adds the cause, if the owner of the task may know it: what goes wrong inside
// the service names its folders and addresses, and is for those who read its log.
func (f Failure) detailed(err error) Failure {
	if strings.HasPrefix(f.Message, serverError) {
		f.Detail = "the log of the service says more, under the id of the task"
	} else {
		f.Detail = err.Error()
	}
	return f
}

// Told returns what the owner of a task is told of an error that a unit is tried again
// after.
func Told(err error) string {
	if away := (*source.UnavailableError)(nil); errors.As(err, &away) {
		return away.What
	}
	f, _ := FailureOf(err)
	return strings.TrimPrefix(strings.TrimPrefix(f.Message, serverError), "ClientError: ")
}

// away reports whether an error is due to something elsewhere that does not answer.
func away(err error) bool {
	return errors.Is(err, source.ErrUnavailable) || errors.Is(err, keyring.ErrUnavailable) || errors.Is(err, blockstore.ErrUnavailable)
}

// cause is a row of the table of failures: which errors it matches, what the task
// says then, and whether trying again is useless.
type cause struct {
	match func(error) (Failure, bool)
	final bool
}

// causes are the failures that tasks can have; the first row that matches counts.
// Errors of the image's format come after those that merely happened while it was
// read, since a decoder wraps the errors of its source.
var causes = []cause{
	{is(errIdle, "ServerError: the decoder of the image does not come to an end", "decoder-stuck", stuckHint), true},
	{as(stuck), true},
	{as(crowded), true},
	{as(storeFull), true},
	{as(scratchFull), true},
	{as(strict), true},
	{is(errSlow, tooSlow, "source-slow", "bring the image closer: upload it to the S3 of this service, or convert it to a format with smaller tables"), false},
	{is(ingest.ErrSlow, tooSlow, "source-slow", "bring the image closer: upload it to the S3 of this service"), false},
	{is(source.ErrChanged, "ClientError: The source object changed while it was imported", "source-changed", "import it again, and leave it alone until the task has ended"), true},
	{is(source.ErrNotFound, noAccess("404 Not Found"), "source-missing", ""), true},
	{is(source.ErrNoRanges, noAccess("403 Forbidden"), "source-forbidden", "images are read in ranges: see that the S3 of the source, and a proxy in front of it, answer requests for them, or upload the image to the S3 of this service"), true},
	{is(source.ErrNoAccess, noAccess("403 Forbidden"), "source-forbidden", "give the service role s3:GetObject on the object, or presign its Url for as long as the import takes"), true},
	{is(source.ErrKey, noAccess("400 Bad Request"), "source-key", "enable the KMS key that the object is encrypted under, then import again"), true},
	{is(source.ErrRole, noAccess("403 Forbidden"), "role-not-assumable", "let the service assume the role at the S3 that the image is in, for as long as the import takes"), true},
	{full("ServerError: no space left to store the disk", "store-full", "free space in the data directory, or delete snapshots and run diskport gc, then import again"), true},
	{is(source.ErrOrphaned, "ClientError: The service has ended since the file was handed over to it", "handover-gone", "run the import again"), true},
	{as(badKey), true},
	{as(noSnapshot), true},
	{as(nameTaken), true},
	{as(tooManyDisks), true},
	{is(source.ErrUnavailable, "ServerError: the S3 of the source does not answer", "source-unavailable", "see that --source-endpoint can be reached from the service, then import again"), false},
	{is(keyring.ErrUnavailable, "ServerError: the KMS does not answer", "kms-unavailable", "see that --kms-endpoint can be reached from the service, then import again"), false},
	{is(blockstore.ErrUnavailable, "ServerError: the store of the blocks does not answer", "store-unavailable", "see that --store can be reached from the service, then import again"), false},
	{is(work.ErrNoDatabase, "ServerError: the database does not answer", "database-unavailable", "import again once the service is well"), false},
	{is(objects.ErrDamaged, "ServerError: the stored object is damaged", "source-damaged", "upload the image again, then import it again"), true},
	{as(unread), false},
	{as(badImage), true},
	{as(poison), true},
	{as(panicked), true},
}

// is matches errors that wrap a sentinel.
func is(sentinel error, message, reason, hint string) func(error) (Failure, bool) {
	return func(err error) (Failure, bool) {
		return Failure{Message: message, Reason: reason, Hint: hint, Offset: -1}, errors.Is(err, sentinel)
	}
}

// full matches errors that say that there was no room, in our words or the system's.
func full(message, reason, hint string) func(error) (Failure, bool) {
	return func(err error) (Failure, bool) {
		return Failure{Message: message, Reason: reason, Hint: hint, Offset: -1}, space.IsFull(err)
	}
}

// as matches errors that wrap one of type E, which says what the failure is.
func as[E error](failure func(E) Failure) func(error) (Failure, bool) {
	return func(err error) (Failure, bool) {
		var e E
		if !errors.As(err, &e) {
			return Failure{}, false
		}
		return failure(e), true
	}
}

const (
	tooSlow       = "ServerError: the source is too slow"
	internalError = "ServerError: an internal error has occurred during conversion."
	footersDiffer = "ClientError: Footers not identical"
)

// invalid wraps the detail of a disk that cannot be imported, in AWS's grammar.
func invalid(detail string) string { return "ClientError: Disk validation failed [" + detail + "]" }

func noAccess(reason string) string {
	return invalid("We do not have access to the given resource. Reason " + reason)
}

func storeFull(e *FullError) Failure {
	return Failure{
		Message: "ServerError: " + e.Error(), Reason: "store-full", Offset: -1,
		Hint: "free space in the data directory, or start the service with a smaller --reserve, then import again",
	}
}

func scratchFull(e *scratch.FullError) Failure {
	f := Failure{
		Message: "ServerError: no space left to unpack the image", Reason: "store-full", Offset: -1,
		Hint: "free space in the data directory, or upload the image uncompressed, then import again",
	}
	if e.Quota > 0 {
		f.Hint = "upload the image uncompressed, or have the operator raise --quota-scratch, then import again"
	}
	return f
}

func strict(e *ForeignError) Failure {
	return Failure{
		Message: e.message, Reason: "image-unsupported", Offset: -1,
		Hint: "convert the image to a stream-optimized VMDK or RAW, or start the service without --strict-aws",
	}
}

// keyHints say what to do about a key that can't be used.
var keyHints = map[keyring.Reason]string{
	keyring.NotFound:        "name a key that exists in this account and region: its id, its ARN, an alias, or the ARN of one",
	keyring.WrongRegion:     "name a key of the region of the import",
	keyring.Malformed:       "name the key by its id, its ARN, an alias, or the ARN of one",
	keyring.Disabled:        "enable the key, then import again",
	keyring.PendingDeletion: "cancel the key's deletion and enable it, then import again",
	keyring.NotSymmetric:    "name a symmetric key for encryption and decryption",
	keyring.Denied:          "let the service role do kms:DescribeKey, kms:GenerateDataKeyWithoutPlaintext, kms:Decrypt and kms:CreateGrant with the key",
}

func badKey(e *keyring.Error) Failure {
	return Failure{Message: "ClientError: Given key ID is not accessible", Reason: string(e.Reason), Hint: keyHints[e.Reason], Offset: -1}
}

func noSnapshot(e *image.NoSnapshotError) Failure {
	return Failure{
		Message: "ClientError: The snapshot '" + e.ID + "' does not exist", Reason: "snapshot-missing", Offset: -1,
		Hint: "keep the snapshots that an image is made of until its task has ended",
	}
}

func nameTaken(e *image.NameError) Failure {
	return Failure{
		Message: "ClientError: AMI name " + e.Name + " is already in use by AMI " + e.ID, Reason: "image-name", Offset: -1,
		Hint: "give no image the id of a task as its name: that is the name of the image that the task makes",
	}
}

func tooManyDisks(*DisksError) Failure {
	return Failure{
		Message: invalid("The number of disks exceeds the allowed limit"), Reason: "image-limit", Offset: -1,
		Hint: fmt.Sprintf("import no more than %d disks as one image", MaxDisks),
	}
}

// formatTexts describe the classes of a diskimage.FormatError: in AWS's words, in
// ours, and what to do about them.
var formatTexts = map[diskimage.Class]struct{ message, reason, hint string }{
	diskimage.NotFormat:   {invalid("Unsupported specified file format"), "not-this-format", "leave Format out, or name the format that the content has"},
	diskimage.Malformed:   {invalid("Unsupported specified file format"), "malformed", "the image is damaged: make it again, or upload it again"},
	diskimage.Truncated:   {invalid("Unexpected end of file"), "truncated", "the upload is not complete: compare its size with the original's"},
	diskimage.Unsupported: {invalid("Unsupported specified file format"), "unsupported", "convert the image, for instance to a stream-optimized VMDK or RAW"},
	diskimage.External:    {invalid("Unsupported specified file format"), "external-reference", "merge the image with its parent into one file first; an image of several files is imported by diskport import --with FILE"},
	diskimage.Limit:       {invalid("The disk image exceeds the allowed limit"), "limit", ""},
}

// sentinelTexts take precedence over the class, because AWS has texts of their own
// for these errors.
var sentinelTexts = []struct {
	err     error
	message string
}{
	{diskimage.ErrFootersDiffer, footersDiffer},
	{diskimage.ErrInflatedLength, "ClientError: Uncompressed data has an invalid length"},
}

func badImage(e *diskimage.FormatError) Failure {
	t := formatTexts[e.Class]
	f := Failure{Message: t.message, Reason: "image-" + t.reason, Hint: t.hint, Offset: e.Offset}
	if e.Class == diskimage.External && e.Format == "vhd" {
		f.Message = footersDiffer // what AWS says about a differencing disk
	}
	if errors.Is(e, diskimage.ErrEmpty) {
		f.Reason, f.Hint = "image-empty", "upload the image again: the object has no bytes"
	}
	if not := (*detect.NotDiskError)(nil); errors.As(e, &not) {
		f.Message, f.Reason = invalid("Unsupported specified file format: "+e.Reason+"; "+insist(not)), "image-not-a-disk"
		f.Hint = insist(not) + " (diskport import --format raw)"
	}
	if e.Format == "ova" && e.Class != diskimage.Truncated && e.Class != diskimage.Limit {
		f.Message = invalid("Unsupported OVA format")
	}
	if choice := (*ova.ChoiceError)(nil); errors.As(e, &choice) {
		f.Hint = "import one of its disks with diskport import --disk NAME, or all of them as an image with aws ec2 import-image"
	}
	for _, s := range sentinelTexts {
		if errors.Is(e, s.err) {
			f.Message = s.message
		}
	}
	return f
}

// insist says how to have content taken for a disk that doesn't look like one.
func insist(e *detect.NotDiskError) string {
	if e.Inside != "" {
		return "to import its bytes as they are, unpack it and name Format=RAW"
	}
	return "to import its bytes as they are, name Format=RAW"
}

func unread(*readError) Failure {
	return Failure{Message: "ServerError: the image could not be read", Reason: "source-unreadable", Offset: -1, Hint: "import it again; if that fails too, upload it again"}
}

const stuckHint = "this is a fault of the service, not of the image alone: report the image"

func stuck(*work.StuckError) Failure {
	return Failure{Message: "ServerError: the decoder of the image does not come to an end", Reason: "decoder-stuck", Offset: -1, Hint: stuckHint}
}

func crowded(*work.StraysError) Failure {
	return Failure{Message: "ServerError: too many decoders do not come to an end", Reason: "decoders-stuck", Offset: -1, Hint: "restart the service, then import again"}
}

func poison(*work.PoisonError) Failure {
	return Failure{Message: internalError, Reason: "poison", Offset: -1, Hint: "the service ended again and again while it worked on this image: see its log, and report the image"}
}

func panicked(*work.PanicError) Failure {
	return Failure{Message: internalError, Reason: "internal", Offset: -1, Hint: "this is a fault of the service, not of the image alone: see its log, and report the image"}
}

// FullError reports that the store has no room for a disk.
type FullError struct {
	Need int64 // bytes
	Free int64 // bytes that imports may take, which leaves out what they must leave free
}

func (e *FullError) Error() string {
	return fmt.Sprintf("no space left to store the disk: it needs up to %d MiB, and imports may take %d MiB", (e.Need+1<<20-1)>>20, e.Free>>20)
}
