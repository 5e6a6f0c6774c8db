package awshttp

import (
	"errors"
	"net/http"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/space"
)

// Fault is an error in an answer.
type Fault struct {
	Status  int
	Code    string
	Message string
	Reason  string // EBS direct only
}

func (f Fault) Error() string { return f.Code + ": " + f.Message }

// refusal is why the front chain itself refuses a request.
type refusal int

const (
	missing    refusal = iota // no credentials
	incomplete                // malformed authentication data
	unknownKey                // unknown access key id, or a wrong session token
	mismatch                  // signature not made with the key's secret
	expired                   // outside the clock window or past the expiry
	oldToken                  // session token that has expired
	version2                  // Signature Version 2
	badRegion                 // signed for a region that the service does not play
	badForm                   // query string or form that is not urlencoded
	tooLarge                  // body above the cap
	unread                    // body ended early
	tooSlow                   // body, or the reading of the answer, below the least rate
	busy                      // no memory left for body or answer
	internal                  // ours
)

const (
	textMissing    = "Request is missing Authentication Token"
	textIncomplete = "The request signature does not conform to AWS standards."
	textInvalidKey = "AWS was not able to validate the provided access credentials"
	textToken      = "The security token included in the request is invalid."
	textMismatch   = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method."
	textExpired    = "Request has expired."
	textOldToken   = "The security token included in the request is expired"
	textVersion2   = textInvalidKey + ": signed with version 2; sign with version 4 (`aws configure set default.s3.signature_version s3v4`) or start with --allow-sigv2"
	textRegion     = "Credential should be scoped to a valid region."
	textBadForm    = "The query string or form is malformed."
	textTooLarge   = "The request body is too large."
	textUnread     = "The request body ended early."
	textTooSlow    = "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed."
	textBusy       = "Please reduce your request rate."
	textInternal   = "An internal error has occurred"
	textSpent      = "The service has no disk space left, not even the little that a deletion needs. Have its operator free a few MiB on the full disk by other means, and try again."
	textNoSpace    = "The service has no disk space left and takes no more data. It goes on reading and deleting: delete snapshots or objects, or have its operator free space, and try again."
)

// refusals are the faults for each refusal. There is one row for each protocol
// family, in the order of the constants above.
var refusals = map[string][]Fault{
	EC2: {
		{403, "MissingAuthenticationToken", textMissing, ""},
		{400, "IncompleteSignature", textIncomplete, ""},
		{401, "AuthFailure", textInvalidKey, ""},
		{403, "SignatureDoesNotMatch", textMismatch, ""},
		{400, "RequestExpired", textExpired, ""},
		{400, "RequestExpired", textOldToken, ""},
		{401, "AuthFailure", textVersion2, ""},
		{401, "AuthFailure", textInvalidKey + ": " + textRegion, ""},
		{400, "MalformedQueryString", textBadForm, ""},
		{413, "RequestEntityTooLarge", textTooLarge, ""},
		{400, "IncompleteBody", textUnread, ""},
		{400, "RequestTimeout", textTooSlow, ""},
		{503, "RequestLimitExceeded", textBusy, ""},
		{500, "InternalError", textInternal, ""},
	},
	IAM: {
		{403, "MissingAuthenticationToken", textMissing, ""},
		{400, "IncompleteSignature", textIncomplete, ""},
		{403, "InvalidClientTokenId", textToken, ""},
		{403, "SignatureDoesNotMatch", textMismatch, ""},
		{400, "RequestExpired", textExpired, ""},
		{403, "ExpiredToken", textOldToken, ""},
		{401, "AuthFailure", textVersion2, ""},
		{403, "SignatureDoesNotMatch", textRegion, ""},
		{400, "MalformedQueryString", textBadForm, ""},
		{413, "RequestEntityTooLarge", textTooLarge, ""},
		{400, "IncompleteBody", textUnread, ""},
		{400, "RequestTimeout", textTooSlow, ""},
		{503, "ServiceUnavailable", textBusy, ""},
		{500, "ServiceFailure", textInternal, ""},
	},
	EBS: {
		{403, "MissingAuthenticationTokenException", textMissing, ""},
		{400, "IncompleteSignatureException", textIncomplete, ""},
		{403, "UnrecognizedClientException", textToken, ""},
		{403, "InvalidSignatureException", textMismatch, ""},
		{403, "InvalidSignatureException", textExpired, ""},
		{403, "ExpiredTokenException", textOldToken, ""},
		{401, "AuthFailure", textVersion2, ""},
		{403, "InvalidSignatureException", textRegion, ""},
		{400, "ValidationException", textBadForm, "INVALID_PARAMETER_VALUE"},
		{413, "ValidationException", textTooLarge, "INVALID_PARAMETER_VALUE"},
		{400, "ValidationException", "Failed to read block data", "INVALID_PARAMETER_VALUE"},
		{400, "RequestTimeoutException", textTooSlow, ""},
		{503, "ServiceUnavailable", textBusy, ""},
		{500, "InternalServerException", textInternal, ""},
	},
	S3: {
		{403, "AccessDenied", "Access Denied", ""},
		{400, "AuthorizationHeaderMalformed", textIncomplete, ""},
		{403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", ""},
		{403, "SignatureDoesNotMatch", textMismatch, ""},
		{403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.", ""},
		{400, "ExpiredToken", "The provided token has expired.", ""},
		{403, "AccessDenied", "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.", ""},
		{400, "AuthorizationHeaderMalformed", textRegion, ""},
		{400, "InvalidURI", textBadForm, ""},
		{400, "EntityTooLarge", textTooLarge, ""},
		{400, "IncompleteBody", textUnread, ""},
		{400, "RequestTimeout", textTooSlow, ""},
		{503, "SlowDown", textBusy, ""},
		{500, "InternalError", textInternal, ""},
	},
}

// family maps a service to the row of refusals of its protocol family.
func family(service string) string {
	switch service {
	case EC2, S3, EBS:
		return service
	case IAM, STS:
		return IAM
	case KMS, Diskport:
		return EBS // both speak JSON with exception names
	}
	return EC2
}

func (r refusal) fault(service string) Fault { return refusals[family(service)][r] }

func (r refusal) Error() string { return refusals[EC2][r].Error() }

// Internal is the answer to an error that the client can do nothing about. Its
// cause belongs in the log, never in the answer.
func Internal(service string) Fault { return internal.fault(service) }

// Unknown is the answer to an error that an edge has no row for: NoSpace if the disk is
// full, NoAccount if the account is gone, else Internal. logged says whether its cause belongs in the log.
func Unknown(service string, err error) (f Fault, logged bool) {
	switch {
	case space.IsFull(err):
		return NoSpace(service, err), false
	case errors.Is(err, iam.ErrRemoved):
		return NoAccount(service), false
	}
	return Internal(service), true
}

// NoAccount is the answer to a request whose account was removed once its signature had been
// checked: what every later one gets.
func NoAccount(service string) Fault { return unknownKey.fault(service) }

// NoSpace is the answer to a request that would store more on a full disk, or that would free
// some, but finds none to begin with: then err is a space.ErrSpent.
func NoSpace(service string, err error) Fault {
	text := textNoSpace
	if errors.Is(err, space.ErrSpent) {
		text = textSpent
	}
	switch family(service) {
	case EBS:
		return Fault{http.StatusPaymentRequired, "ServiceQuotaExceededException", text, "DEPENDENCY_SERVICE_QUOTA_EXCEEDED"}
	case EC2:
		return Fault{http.StatusServiceUnavailable, "InsufficientCapacity", text, ""}
	case S3:
		return Fault{http.StatusInsufficientStorage, "InsufficientStorage", text, ""}
	}
	return Fault{http.StatusServiceUnavailable, "ServiceUnavailable", text, ""}
}

// refusalOf sorts the errors of the signature check and the key look-up.
func refusalOf(err error) refusal {
	var own refusal
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, sigv4.ErrMissing):
		return missing
	case errors.Is(err, sigv4.ErrIncomplete):
		return incomplete
	case errors.Is(err, sigv4.ErrExpired):
		return expired
	case errors.Is(err, sigv4.ErrMismatch):
		return mismatch
	case errors.Is(err, sigv4.ErrV2):
		return version2
	case errors.Is(err, iam.ErrExpiredToken):
		return oldToken
	case errors.Is(err, iam.ErrUnknownKey):
		return unknownKey
	}
	return internal
}

// Fail answers with f in the form of the service's protocol.
// A client that was too slow is told that, whatever an edge made of the error that it
// met.
func (c *Call) Fail(w http.ResponseWriter, f Fault) {
	if c.exchange.Slow() {
		f = tooSlow.fault(c.Service)
	}
	c.code = f.Code
	shapes[c.shape()](w, c, f)
}
