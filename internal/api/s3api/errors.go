package s3api

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/logkey"
)

// element is a part of an error's body that only some errors have.
type element struct{ name, value string }

// failure is an error as S3 answers it.
type failure struct {
	status  int
	code    string
	message string
	more    []element
	header  [2]string // a header besides; empty: none
}

func (f *failure) Error() string { return f.code + ": " + f.message }

func fail(status int, code, message string, more ...element) *failure {
	return &failure{status: status, code: code, message: message, more: more}
}

func accessDenied() *failure { return fail(http.StatusForbidden, "AccessDenied", "Access Denied") }

func invalidURI() *failure {
	return fail(http.StatusBadRequest, "InvalidURI", "Couldn't parse the specified URI.")
}

func keyTooLong(size int) *failure {
	return fail(http.StatusBadRequest, "KeyTooLongError", "Your key is too long", element{"Size", strconv.Itoa(size)}, element{"MaxSizeAllowed", strconv.Itoa(maxKey)})
}

func invalidArgument(message, name, value string) *failure {
	return fail(http.StatusBadRequest, "InvalidArgument", message, element{"ArgumentName", name}, element{"ArgumentValue", value})
}

func invalidRequest(message string) *failure {
	return fail(http.StatusBadRequest, "InvalidRequest", message)
}

func malformedXML() *failure {
	return fail(http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
}

func methodNotAllowed(method, resource string) *failure {
	return fail(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.",
		element{"Method", method}, element{"ResourceType", resource})
}

func notImplemented(what string) *failure {
	return fail(http.StatusNotImplemented, "NotImplemented", "A header or query you provided implies functionality that is not implemented: "+what)
}

func noSuchBucket(bucket string) *failure {
	return fail(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist", element{"BucketName", bucket})
}

func noSuchKey(key string) *failure {
	return fail(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.", element{"Key", key})
}

func noSuchVersion(key, version string) *failure {
	return fail(http.StatusNotFound, "NoSuchVersion", "The specified version does not exist.", element{"Key", key}, element{"VersionId", version})
}

func noSuchUpload(id string) *failure {
	return fail(http.StatusNotFound, "NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
		element{"UploadId", id})
}

func preconditionFailed(condition string) *failure {
	return fail(http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", element{"Condition", condition})
}

func invalidRange(asked string, size int64) *failure {
	return fail(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range is not satisfiable",
		element{"RangeRequested", asked}, element{"ActualObjectSize", strconv.FormatInt(size, 10)})
}

func noACLs() *failure {
	return fail(http.StatusBadRequest, "AccessControlListNotSupported", "The bucket does not allow ACLs")
}

func tooLarge(size, limit int64) *failure {
	return fail(http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size",
		element{"ProposedSize", strconv.FormatInt(size, 10)}, element{"MaxSizeAllowed", strconv.FormatInt(limit, 10)})
}

// bodyFailure returns how S3 answers to a body that is not as declared. ok is false
// for any other error.
func bodyFailure(err error) (f *failure, ok bool) {
	var over *http.MaxBytesError
	switch {
	case errors.Is(err, sigv4.ErrMismatch):
		return fail(http.StatusForbidden, "SignatureDoesNotMatch",
			"The request signature we calculated does not match the signature you provided. Check your key and signing method."), true
	case errors.Is(err, sigv4.ErrTrailer):
		return fail(http.StatusBadRequest, "MalformedTrailerError",
			"The request contained trailing data that was not well-formed or did not conform to our published schema."), true
	case errors.Is(err, sigv4.ErrPayload):
		return fail(http.StatusBadRequest, "InvalidRequest", "The body of the request is not framed as aws-chunked."), true
	case errors.As(err, &over):
		return fail(http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size"), true
	case errors.Is(err, sigv4.ErrLength), errors.Is(err, errUnread):
		return fail(http.StatusBadRequest, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header"), true
	}
	return nil, false
}

// answerError is the one place where errors become answers. The cause of one that
// it does not know is logged and not sent to the client.
func (c *call) answerError(ctx context.Context, err error) {
	f := c.failureOf(ctx, err)
	c.Failed(f.code)
	header := c.w.Header()
	if f.header[0] != "" {
		header.Set(f.header[0], f.header[1])
	}
	if f.status == http.StatusNotModified {
		c.w.WriteHeader(f.status)
		return
	}
	maps.DeleteFunc(header, func(name string, _ []string) bool { return ofObject(name) }) // which is not sent
	header.Set("Content-Type", contentXML)
	body := f.body(c.RequestID, c.HostID())
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if c.r.Method == http.MethodHead {
		header.Del("Content-Length")
	}
	c.w.WriteHeader(f.status)
	_, _ = c.w.Write(body) // a client that is gone needs no answer; net/http leaves out the body of a HEAD
}

// ofObject reports whether a header says something about an object: SDKs would take its
// checksum for that of the error, and who may not open it must not be told.
func ofObject(name string) bool {
	name = http.CanonicalHeaderKey(name) // user metadata is in lower case
	switch name {
	case "Content-Range", "Content-Encoding", "Content-Disposition", "Cache-Control", "Expires", "Content-Language", "Etag", "Last-Modified",
		"Accept-Ranges", "X-Amz-Mp-Parts-Count", "X-Amz-Tagging-Count":
		return true
	}
	return strings.HasPrefix(name, "X-Amz-Checksum-") || strings.HasPrefix(name, "X-Amz-Meta-") || strings.HasPrefix(name, sseHeader)
}

// body returns the document of an error.
func (f *failure) body(request, host string) []byte {
	var b strings.Builder
	b.WriteString(xml.Header + "<Error>")
	for _, e := range append(append([]element{{"Code", f.code}, {"Message", f.message}}, f.more...), element{"RequestId", request}, element{"HostId", host}) {
		b.WriteString("<" + e.name + ">")
		_ = xml.EscapeText(&b, []byte(e.value)) // a Builder never fails
		b.WriteString("</" + e.name + ">")
	}
	b.WriteString("</Error>")
	return []byte(b.String())
}

func (c *call) failureOf(ctx context.Context, err error) *failure {
	if f, ok := c.TooSlow(); ok {
		return fail(f.Status, f.Code, f.Message)
	}
	if f, ok := errors.AsType[awshttp.Fault](err); ok {
		return fail(f.Status, f.Code, f.Message)
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if f, ok := bodyFailure(err); ok {
		return f
	}
	if f, ok := c.known(err); ok {
		return f
	}
	if !errors.Is(err, context.Canceled) {
		c.opts.Log.ErrorContext(ctx, "serving a request", logkey.Request, c.RequestID, "service", c.Service, "action", c.Action, logkey.Error, err)
	}
	internal := awshttp.Internal(awshttp.S3)
	return fail(internal.Status, internal.Code, "We encountered an internal error. Please try again.")
}

// unknownValue is the text about a header whose value S3 does not know.
func unknownValue(header string) string {
	return fmt.Sprintf("The value of the header %s is not valid.", header)
}
