package source

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/cache"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/secret"
)

// ForeignOptions are the settings of a ForeignS3. All but Region, STS, Direct,
// Backoff and Dial are required.
type ForeignOptions struct {
	Endpoint Endpoint
	// Region is what to sign for, and where objects must be, whatever the region of an
	// import; empty means the region of each import.
	Region      string
	Credentials aws.CredentialsProvider
	Secrets     secret.Wrapper // of presigned Urls

	STS      Endpoint // where roles are assumed; none: at Endpoint
	Direct   bool     // assume no role: read with Credentials
	Operator string   // with Direct, the only account that may read, since accounts can't be told apart there

	Backoff time.Duration // before the first repetition of a read; 0 means 200 ms

	// Dial connects to an address; nil: over the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// ForeignS3 is one S3 elsewhere. It may be used concurrently.
type ForeignS3 struct {
	opts     ForeignOptions
	endpoint Endpoint
	http     *http.Client
	sts      *sts.Client // nil with Direct; without a region
}

// NewForeignS3 connects to nothing yet.
func NewForeignS3(o ForeignOptions) *ForeignS3 {
	o.Backoff = cmp.Or(o.Backoff, 200*time.Millisecond)
	f := &ForeignS3{opts: o, endpoint: o.Endpoint, http: o.Endpoint.client(o.Dial)}
	if !o.Direct {
		at := o.STS
		if at == (Endpoint{}) {
			at = o.Endpoint
		}
		f.sts = sts.New(sts.Options{Credentials: o.Credentials, HTTPClient: at.client(o.Dial), BaseEndpoint: at.base()})
	}
	return f
}

// Endpoint returns where f is.
func (f *ForeignS3) Endpoint() Endpoint { return f.endpoint }

// base returns e for an SDK client, nil for AWS's own.
func (e Endpoint) base() *string {
	if e.AWS {
		return nil
	}
	return aws.String(e.String())
}

// region returns where the object of an import must be, and what to sign for.
func (f *ForeignS3) region(within string) string { return cmp.Or(f.opts.Region, within) }

// pin notes the present version of the object.
func (f *ForeignS3) pin(ctx context.Context, id string, loc Location) (Pin, error) {
	p, region := Pin{Kind: Foreign, ID: id, Bucket: loc.Bucket, Key: loc.Key, Account: loc.account, Role: loc.Role, Region: loc.within}, f.region(loc.within)
	look := func() (state, error) { return probe(ctx, presigned{f.http, loc.url, region}) }
	if loc.Presigned {
		p.WrappedURL = base64.StdEncoding.EncodeToString(f.opts.Secrets.Wrap([]byte(loc.url), urlPurpose(id)))
	} else {
		client, err := f.client(ctx, p)
		if err != nil {
			return Pin{}, fmt.Errorf("reaching s3://%s/%s: %w", loc.Bucket, loc.Key, err)
		}
		look = func() (state, error) { return head(ctx, client, p, region) }
	}
	var found state
	err := repeat(ctx, f.opts.Backoff, func() (ahead bool, err error) {
		found, err = look()
		return false, err
	})
	if err != nil {
		return Pin{}, fmt.Errorf("looking at s3://%s/%s: %w", loc.Bucket, loc.Key, err)
	}
	if found.etag == "" {
		return Pin{}, fmt.Errorf("looking at s3://%s/%s: it has no ETag to recognise it by: %w", loc.Bucket, loc.Key, ErrNoAccess)
	}
	p.ETag, p.Size, p.Version = found.etag, found.size, found.version
	return p, nil
}

// open opens a pinned object; ctx is that of its reads.
func (f *ForeignS3) open(ctx context.Context, p Pin) (Object, error) {
	r := &remote{ctx: ctx, pin: p, backoff: f.opts.Backoff, chunks: cache.New[int64, []byte](maxChunks)}
	if p.WrappedURL != "" {
		wrapped, err := base64.StdEncoding.DecodeString(p.WrappedURL)
		if err != nil {
			return nil, fmt.Errorf("reading the Url of pin %s: %w", p.ID, err)
		}
		url, err := f.opts.Secrets.Unwrap(wrapped, urlPurpose(p.ID))
		if err != nil {
			return nil, fmt.Errorf("opening the Url of pin %s: %w", p.ID, err)
		}
		r.get = presigned{f.http, string(url), f.region(p.Region)}
		return r, nil
	}
	client, err := f.client(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("opening s3://%s/%s: %w", p.Bucket, p.Key, err)
	}
	get := byRole{client: client, pin: p, region: f.region(p.Region)}
	if credentials, ok := client.Options().Credentials.(*aws.CredentialsCache); ok && !f.opts.Direct {
		get.renew = credentials.Invalidate
	}
	r.get = get
	return r, nil
}

func urlPurpose(id string) []byte { return []byte("diskport:source-url:" + id) }

// client returns a client that reads as the role of p, which it assumes now.
func (f *ForeignS3) client(ctx context.Context, p Pin) (*s3.Client, error) {
	creds, region := f.opts.Credentials, f.region(p.Region)
	if f.opts.Direct && p.Account != f.opts.Operator {
		return nil, fmt.Errorf("read without a role, which is for account %s alone: %w", f.opts.Operator, ErrNoAccess)
	}
	if !f.opts.Direct {
		arn := "arn:" + awsid.Partition(region) + ":iam::" + p.Account + ":role/" + p.Role
		creds = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(inRegion{f.sts, region}, arn, func(o *stscreds.AssumeRoleOptions) {
			o.ExternalID = aws.String(iam.ImportExternalID)
			o.RoleSessionName = sessionName(p)
		}), func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = 5 * time.Minute })
		if _, err := creds.Retrieve(ctx); err != nil {
			return nil, roleError(arn, err)
		}
	}
	return s3.New(s3.Options{
		Region: region, Credentials: creds, HTTPClient: f.http, BaseEndpoint: f.endpoint.base(), UsePathStyle: !f.endpoint.AWS,
		Retryer:                    aws.NopRetryer{}, // remote decides what is repeated
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		DisableLogOutputChecksumValidationSkipped: true,
	}), nil
}

// sessionName returns the name of the session that reads a pinned object. STS takes no
// slash in it, and the tasks of an image's disks have one in their ids.
func sessionName(p Pin) string { return "diskport-" + strings.ReplaceAll(p.ID, "/", "-") }

// inRegion assumes roles in one region.
type inRegion struct {
	*sts.Client
	region string
}

// AssumeRole implements stscreds.AssumeRoleAPIClient.
func (c inRegion) AssumeRole(ctx context.Context, in *sts.AssumeRoleInput, options ...func(*sts.Options)) (*sts.AssumeRoleOutput, error) {
	return c.Client.AssumeRole(ctx, in, append(options, func(o *sts.Options) { o.Region = c.region })...)
}

// roleError tells a refusal from silence.
func roleError(arn string, err error) error {
	api, answered := errors.AsType[smithy.APIError](err)
	if answered && statusOf(err) < http.StatusInternalServerError {
		return fmt.Errorf("assuming %s: %s: %w", arn, api.ErrorCode(), ErrRole)
	}
	return fmt.Errorf("assuming %s: %w", arn, &UnavailableError{"the STS of the source does not answer", err})
}
