package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// state is what an S3 says about an object.
type state struct {
	etag, version string
	size          int64 // bytes
}

// getter asks for a range of bytes of an object.
type getter interface {
	// get asks for the bytes [off, end) of the object, on condition that it still
	// has the ETag. The caller closes body. Errors are sentinels of this package,
	// or *transient, after which get may be repeated.
	get(ctx context.Context, off, end int64, etag string) (body io.ReadCloser, found state, err error)
}

// transient is a failure that may go away: no answer, or an error of the server itself.
type transient struct {
	what string // happened, for people who may not know where the S3 is
	err  error
}

func (e *transient) Error() string { return "temporary failure: " + e.err.Error() }

// Unwrap returns the cause.
func (e *transient) Unwrap() error { return e.err }

// What happened.
const (
	noAnswer = "the S3 of the source does not answer"
	brokeOff = "the S3 of the source breaks off its answers"
	expired  = "the S3 of the source takes the credentials of the role for expired"
)

// answered says which status was answered.
func answered(status int) string {
	return fmt.Sprintf("the S3 of the source answers with status %d", status)
}

// rangeOf returns the Range header for the bytes [off, end).
func rangeOf(off, end int64) string { return fmt.Sprintf("bytes=%d-%d", off, end-1) }

// byRole reads as a role.
type byRole struct {
	client *s3.Client
	pin    Pin
	region string
	// renew drops the credentials, so that the next request assumes the role again; nil:
	// they are not a role's.
	renew func()
}

// expiredCodes are what an S3 answers to credentials of a role that it takes for expired,
// by its own clock.
var expiredCodes = []string{"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}

func (g byRole) get(ctx context.Context, off, end int64, etag string) (io.ReadCloser, state, error) {
	in := &s3.GetObjectInput{Bucket: &g.pin.Bucket, Key: &g.pin.Key, Range: aws.String(rangeOf(off, end)), IfMatch: &etag}
	if g.pin.Version != "" {
		in.VersionId = &g.pin.Version
	}
	out, err := g.client.GetObject(ctx, in)
	api, ok := errors.AsType[smithy.APIError](err)
	if ok && api.ErrorCode() == "NoSuchVersion" {
		return nil, state{}, fmt.Errorf("%w: the version that was pinned is gone: %w", ErrChanged, err)
	}
	if ok && g.renew != nil && slices.Contains(expiredCodes, api.ErrorCode()) {
		g.renew()
		return nil, state{}, &transient{expired, err}
	}
	if err != nil {
		return nil, state{}, sort(err, g.region)
	}
	found, err := ranged(aws.ToString(out.ContentRange), aws.ToString(out.ETag), off, end)
	if err != nil {
		return nil, state{}, errors.Join(err, out.Body.Close())
	}
	return out.Body, found, nil
}

// head looks at an object as a role.
func head(ctx context.Context, client *s3.Client, p Pin, region string) (state, error) {
	out, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &p.Bucket, Key: &p.Key})
	if err != nil {
		return state{}, sort(err, region)
	}
	version := aws.ToString(out.VersionId)
	if version == "null" {
		version = "" // versioning is not on
	}
	return state{etag: aws.ToString(out.ETag), version: version, size: aws.ToInt64(out.ContentLength)}, nil
}

// presigned reads with a presigned Url, which is its own permission and allows only
// GET.
type presigned struct {
	client *http.Client
	url    string
	region string
}

func (g presigned) get(ctx context.Context, off, end int64, etag string) (io.ReadCloser, state, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url, nil)
	if err != nil {
		return nil, state{}, fmt.Errorf("%w: malformed", ErrLocation)
	}
	req.Header.Set("Range", rangeOf(off, end))
	if etag != "" {
		req.Header.Set("If-Match", etag)
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return nil, state{}, &transient{noAnswer, withoutURL(err)}
	}
	if resp.StatusCode == http.StatusPartialContent {
		found, err := ranged(resp.Header.Get("Content-Range"), resp.Header.Get("ETag"), off, end)
		if err == nil {
			return resp.Body, found, nil
		}
		return nil, state{}, errors.Join(err, resp.Body.Close())
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && off == 0 && etag == "" {
		return http.NoBody, state{etag: resp.Header.Get("ETag")}, nil // an empty object
	}
	return nil, state{}, judge(resp.StatusCode, resp.Header, g.region)
}

// withoutURL removes the Url from an error of net/http, since it is a credential.
func withoutURL(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// probe looks at an object through a Url that allows only GET.
func probe(ctx context.Context, g presigned) (state, error) {
	body, found, err := g.get(ctx, 0, 1, "")
	if err != nil {
		return state{}, err
	}
	return found, body.Close()
}

// ranged checks that an answer is the range that was asked for:
// "bytes 0-511/1024".
func ranged(contentRange, etag string, off, end int64) (state, error) {
	where, size, _ := strings.Cut(strings.TrimPrefix(contentRange, "bytes "), "/")
	first, last, _ := strings.Cut(where, "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	total, err3 := strconv.ParseInt(size, 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil || from != off || to != min(end, total)-1 || total < 1 {
		return state{}, ErrNoRanges
	}
	return state{etag: etag, size: total}, nil
}

// statusOf returns the HTTP status behind an error of an SDK client, or 0.
func statusOf(err error) int {
	if resp, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return resp.HTTPStatusCode()
	}
	return 0
}

// sort turns an SDK client's error into one of this package's.
func sort(err error, region string) error {
	resp, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok || resp.HTTPStatusCode() == 0 { // nothing was answered
		return &transient{noAnswer, err}
	}
	return fmt.Errorf("%w: %w", judge(resp.HTTPStatusCode(), resp.Response.Header, region), err)
}

// judge returns the error for an answer that is not a success.
func judge(status int, header http.Header, region string) error {
	if there := header.Get("X-Amz-Bucket-Region"); there != "" && there != region {
		return fmt.Errorf("%w: %s", ErrRegion, there)
	}
	switch {
	case status == http.StatusNotFound, status == http.StatusGone:
		return ErrNotFound
	case status == http.StatusPreconditionFailed, status == http.StatusRequestedRangeNotSatisfiable:
		return ErrChanged
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500:
		return &transient{answered(status), fmt.Errorf("status %d", status)}
	case status >= 300 && status < 400:
		return fmt.Errorf("%w: it redirects, which is not followed", ErrNoAccess)
	case status < 300:
		return ErrNoRanges
	}
	return fmt.Errorf("%w: status %d", ErrNoAccess, status)
}
