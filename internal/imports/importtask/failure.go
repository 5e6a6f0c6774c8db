package importtask

import (
	"errors"
	"fmt"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/ova"
	"github.com/diskport/diskport/internal/imports/ingest"
	"github.com/diskport/diskport/internal/imports/scratch"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/keyring"
)

// Cancelled is the failure of a task whose user cancelled it (AWS's spelling).
func Cancelled(reason string) Failure {
	return Failure{Message: "User initiated task cancelation.", Reason: "cancelled", Detail: reason, Offset: -1}
}

// invalid wraps the detail of a disk that cannot be imported, in AWS's grammar.
func invalid(detail string) string { return "ClientError: Disk validation failed [" + detail + "]" }

// formatTexts are AWS's words for the class of a diskimage.FormatError.
var formatTexts = map[diskimage.Class]struct{ message, hint string }{
	diskimage.NotFormat:   {invalid("Unsupported specified file format"), "leave Format out, or name the format that the content has"},
	diskimage.Malformed:   {invalid("Unsupported specified file format"), "the image is damaged: make it again, or upload it again"},
	diskimage.Truncated:   {invalid("Unexpected end of file"), "the upload is not complete: compare its size with the original's"},
	diskimage.Unsupported: {invalid("Unsupported specified file format"), "convert the image, for instance to a stream-optimized VMDK or RAW"},
	diskimage.External:    {invalid("Unsupported specified file format"), "merge the image with its parent into one file first; an image of several files is imported by diskport import --with FILE"},
	diskimage.Limit:       {invalid("The disk image exceeds the allowed limit"), ""},
}

const footersDiffer = "ClientError: Footers not identical"

// sentinelTexts win over the class: AWS has words of their own for them.
var sentinelTexts = []struct {
	err     error
	message string
}{
	{diskimage.ErrFootersDiffer, footersDiffer},
	{diskimage.ErrInflatedLength, "ClientError: Uncompressed data has an invalid length"},
}

// causes are the failures that are not the image's, by what they wrap.
var causes = []struct {
	err                   error
	message, reason, hint string
}{
	{source.ErrChanged, "ClientError: The source object changed while it was imported", "source-changed", "import it again, and leave it alone until the task has ended"},
	{source.ErrNotFound, invalid("We do not have access to the given resource. Reason 404 Not Found"), "source-missing", ""},
	{source.ErrNoAccess, invalid("We do not have access to the given resource. Reason 403 Forbidden"), "source-forbidden", "give the service role s3:GetObject on the object"},
	{source.ErrRole, invalid("We do not have access to the given resource. Reason 403 Forbidden"), "role-not-assumable", "let the service assume the role at the S3 that the image is in, for as long as the import takes"},
	{blockstore.ErrFull, "ServerError: no space left to store the disk", "store-full", "free space in the data directory, then import again"},
	{source.ErrOrphaned, "ClientError: The program that handed the file over has ended", "handover-gone", "run the import again"},
}

// away are failures of what the service depends on, which may come back.
var away = []struct {
	err                   error
	message, reason, hint string
}{
	{source.ErrUnavailable, "ServerError: the S3 of the source does not answer", "source-unavailable", "see that --source-endpoint can be reached from the service, then import again"},
	{keyring.ErrUnavailable, "ServerError: the KMS does not answer", "kms-unavailable", "see that --kms-endpoint can be reached from the service, then import again"},
}

// keyHints say what to do about a key.
var keyHints = map[keyring.Reason]string{
	keyring.NotFound:        "name a key that exists in this account and region: its id, its ARN, an alias, or the ARN of one",
	keyring.WrongRegion:     "name a key of the region of the import",
	keyring.Malformed:       "name the key by its id, its ARN, an alias, or the ARN of one",
	keyring.Disabled:        "enable the key, then import again",
	keyring.PendingDeletion: "cancel the key's deletion and enable it, then import again",
	keyring.NotSymmetric:    "name a symmetric key for encryption and decryption",
	keyring.Denied:          "let the service role do kms:DescribeKey, kms:GenerateDataKeyWithoutPlaintext, kms:Decrypt and kms:CreateGrant with the key",
}

// FailureOf says why err ends a task. final is false for what may go away by
// trying again.
func FailureOf(err error) (f Failure, final bool) {
	f = Failure{Detail: err.Error(), Offset: -1}
	var full *FullError
	if errors.As(err, &full) {
		f.Message, f.Reason, f.Hint = "ServerError: "+full.Error(), "store-full", "free space in the data directory, then import again"
		return f, true
	}
	var unpacking *scratch.FullError
	if errors.As(err, &unpacking) {
		f.Message, f.Reason, f.Hint = "ServerError: no space left to unpack the image", "store-full", "free space in the data directory, or upload the image uncompressed, then import again"
		return f, true
	}
	var foreign *ForeignError
	if errors.As(err, &foreign) {
		f.Message, f.Reason, f.Hint = foreign.message, "image-unsupported", "convert the image to a stream-optimized VMDK or RAW, or start the service without --strict-aws"
		return f, true
	}
	for _, c := range causes {
		if errors.Is(err, c.err) {
			f.Message, f.Reason, f.Hint = c.message, c.reason, c.hint
			return f, true
		}
	}
	var key *keyring.Error
	if errors.As(err, &key) {
		f.Message, f.Reason, f.Hint = "ClientError: Given key ID is not accessible", string(key.Reason), keyHints[key.Reason]
		return f, true
	}
	var fe *diskimage.FormatError
	if errors.As(err, &fe) {
		t := formatTexts[fe.Class]
		f.Message, f.Hint, f.Reason, f.Offset = t.message, t.hint, "image-"+classReason[fe.Class], fe.Offset
		if fe.Class == diskimage.External && fe.Format == "vhd" {
			f.Message = footersDiffer // what AWS makes of a differencing disk
		}
		if choice := (*ova.ChoiceError)(nil); errors.As(err, &choice) {
			f.Message, f.Hint = invalid("Unsupported OVA format"), "import one of its disks with diskport import --disk NAME, or upload that disk by itself"
		}
		for _, s := range sentinelTexts {
			if errors.Is(err, s.err) {
				f.Message = s.message
			}
		}
		return f, true
	}
	if errors.Is(err, diskimage.ErrEmpty) {
		f.Message, f.Reason = invalid("Unexpected end of file"), "image-empty"
		return f, true
	}
	for _, a := range away {
		if errors.Is(err, a.err) {
			f.Message, f.Reason, f.Hint = a.message, a.reason, a.hint
			return f, false
		}
	}
	f.Message = "ServerError: an internal error has occurred during conversion."
	f.Reason = "internal"
	var pe *ingest.PanicError
	return f, errors.As(err, &pe)
}

var classReason = map[diskimage.Class]string{
	diskimage.NotFormat:   "not-this-format",
	diskimage.Malformed:   "malformed",
	diskimage.Truncated:   "truncated",
	diskimage.Unsupported: "unsupported",
	diskimage.External:    "external-reference",
	diskimage.Limit:       "limit",
}

// FullError reports that the store has no room for a disk.
type FullError struct {
	Need, Free int64 // bytes
}

func (e *FullError) Error() string {
	return fmt.Sprintf("no space left to store the disk: it needs up to %d MiB, %d MiB are free", e.Need>>20, e.Free>>20)
}
