package blobs3

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/diskport/diskport/internal/store/blockstore"
)

const (
	// attempts is how often a request is made without getting ahead: with the pauses
	// between them that takes about half a minute, in which a server is started again.
	attempts = 10
	// maxBackoff bounds the pause between two of them.
	maxBackoff = 10 * time.Second
	// missingAttempts is how often an object is asked for that is not there: a store may
	// take a moment to show what was written.
	missingAttempts = 4
)

// errBadAnswer reports an answer that S3 would not give.
var errBadAnswer = errors.New("an answer that is none of S3's")

// repeat makes a request until it succeeds or fails for good, or was made often enough.
func (b *Bucket) repeat(ctx context.Context, do func() error) error {
	return b.repeatAhead(ctx, func() (bool, error) { return false, do() })
}

// repeatAhead is repeat for a request that gets ahead: when it does, the attempts are
// counted anew.
func (b *Bucket) repeatAhead(ctx context.Context, do func() (ahead bool, err error)) error {
	wait, failed := b.o.Backoff, 0
	for {
		ahead, err := do()
		if err == nil {
			return nil
		}
		if stop := ctx.Err(); stop != nil {
			return errors.Join(stop, context.Cause(ctx))
		}
		most := b.attemptsAfter(err)
		if ahead {
			wait, failed = b.o.Backoff, 0
		}
		if failed++; failed >= most {
			return told(err)
		}
		pause := time.NewTimer(wait/2 + rand.N(wait/2+1)) //nolint:gosec // no secret
		select {
		case <-ctx.Done():
			pause.Stop()
			return errors.Join(ctx.Err(), context.Cause(ctx))
		case <-pause.C:
		}
		wait = min(2*wait, maxBackoff)
	}
}

// told returns the error of a request that is not made again. Unless it says something of an
// object, or that there is no space, it is an ErrUnavailable, whose cause is text alone: what
// breaks a connection, such as an io.EOF, must not be taken for the state of a file.
func told(err error) error {
	switch code, status := codeOf(err), statusOf(err); {
	case errors.Is(err, errLate), errors.Is(err, blockstore.ErrNotExist), isMissing(err), code == "NoSuchUpload":
		return err
	case status == http.StatusPreconditionFailed, status == http.StatusRequestedRangeNotSatisfiable:
		return err
	case status == http.StatusInsufficientStorage, noSpace[code]:
		return fmt.Errorf("%w: %v", blockstore.ErrFull, err) //nolint:errorlint // as above
	}
	return fmt.Errorf("%w: %s%s", blockstore.ErrUnavailable, strings.TrimSuffix(err.Error(), "."), wayOn(err))
}

// wayOn is what an operator can do about an error, to be put behind it; empty if that is not
// known.
func wayOn(err error) string {
	switch code, status := codeOf(err), statusOf(err); {
	case code == "NoSuchBucket":
		return ". Make the bucket, or name one that is there"
	case code == "InvalidAccessKeyId", code == "SignatureDoesNotMatch", code == "InvalidToken":
		return ". See that DISKPORT_STORE_ACCESS_KEY_ID and DISKPORT_STORE_SECRET_ACCESS_KEY are a key of this store"
	case code == "AuthorizationHeaderMalformed", code == "PermanentRedirect", status == http.StatusMovedPermanently:
		return ". The bucket is in another region: name that with region= in the URL"
	case code == "RequestTimeTooSkewed":
		return ". Set the clock of this machine, or the store's, by NTP for example"
	case status == http.StatusForbidden:
		return ". Let the key s3:ListBucket and s3:ListBucketMultipartUploads the bucket, and s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload what is under the prefix"
	}
	if _, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return ". See that it runs, that the endpoint is right, and that it can be reached from here"
	}
	return ""
}

// noSpace are the codes with which stores say that a quota or a disk is full.
var noSpace = map[string]bool{"QuotaExceeded": true, "XMinioStorageFull": true, "XMinioAdminBucketQuotaExceeded": true, "InsufficientStorage": true}

// attemptsAfter returns how often to try what failed with err.
func (b *Bucket) attemptsAfter(err error) int {
	switch code, status := codeOf(err), statusOf(err); {
	case passing[code]:
		if renewable[code] {
			b.renew()
		}
		return attempts
	case status == http.StatusNotImplemented, status == http.StatusInsufficientStorage, noSpace[code]:
		return 1
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return attempts
	case errors.Is(err, errLate):
		return 1
	case isMissingObject(err):
		return missingAttempts
	case code != "" || status >= http.StatusBadRequest:
		return 1
	case isBroken(err), errors.Is(err, errBadAnswer):
		return attempts
	}
	return 1
}

// passing are the codes of errors that go away, whatever the status of the answer: that
// of a copy or of the end of an upload has begun with 200 by the time.
var passing = map[string]bool{
	"InternalError": true, "ServiceUnavailable": true, "SlowDown": true, "Busy": true, "RequestTimeout": true,
	"Throttling": true, "ThrottlingException": true, "TooManyRequests": true, "RequestLimitExceeded": true,
	"OperationAborted": true, "ConditionalRequestConflict": true,
	"ExpiredToken": true, "ExpiredTokenException": true, "TokenRefreshRequired": true, "RequestTimeTooSkewed": true, "RequestExpired": true,
	"BadRequest": true,                                                            // of HEAD, whose answers name no code
	"BadDigest":  true, "IncompleteBody": true, "XAmzContentSHA256Mismatch": true, // the connection changed what was sent
}

// renewable are those after which credentials are asked for anew.
var renewable = map[string]bool{"ExpiredToken": true, "ExpiredTokenException": true, "TokenRefreshRequired": true, "BadRequest": true}

// renew has the next request ask for credentials anew.
func (b *Bucket) renew() {
	if cache, ok := b.client.Options().Credentials.(*aws.CredentialsCache); ok {
		cache.Invalidate()
	}
}

// isBroken reports whether err is of a connection, or of an answer that was cut off.
func isBroken(err error) bool {
	send, cut := (*smithyhttp.RequestSendError)(nil), (*smithy.DeserializationError)(nil)
	return errors.As(err, &send) || errors.As(err, &cut) || errors.Is(err, errCutOff) || errors.Is(err, errSilent)
}

// codeOf returns the code of an error of S3; empty if it is none.
func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// statusOf returns the HTTP status behind an error, or 0.
func statusOf(err error) int {
	if resp, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return resp.HTTPStatusCode()
	}
	return 0
}

// isMissing reports whether err says that there is no such object, or no such upload.
func isMissing(err error) bool {
	return err != nil && statusOf(err) == http.StatusNotFound && codeOf(err) != "NoSuchBucket"
}

// isMissingObject is isMissing for objects that are asked for alone.
func isMissingObject(err error) bool { return isMissing(err) && codeOf(err) != "NoSuchUpload" }
