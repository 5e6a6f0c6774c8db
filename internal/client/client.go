// Package client is how the command line reaches the service: a client of its AWS
// APIs, and of its own JSON under /-/v1/ for what AWS's APIs can't say (progress in
// detail, sizes, verify, gc). S3 and EBS direct go through the AWS SDK; the six
// calls of EC2 and IAM go through query.go, which the tests compare with the SDK.
// It shares no code with the service, so whatever works for it works over the wire.
package client

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Config says which service to talk to, and with which credentials.
type Config struct {
	Endpoint    string // http://host:port
	Region      string
	Credentials aws.CredentialsProvider
	HTTP        *http.Client // nil: http.DefaultClient's transport, without a time limit
	UserAgent   string       // who asks, in every request; empty: what the libraries say
}

// Client talks to one service. Its methods may be called concurrently.
type Client struct {
	ebs      *ebs.Client
	s3       *s3.Client
	endpoint string
	region   string
	creds    aws.CredentialsProvider
	http     *http.Client
	signer   *v4.Signer
	retry    *retry.Standard
}

// New returns a client for cfg. It connects to nothing yet.
func New(cfg Config) *Client {
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{}
	}
	if cfg.UserAgent != "" {
		named := *cfg.HTTP
		named.Transport = agent{cmp.Or[http.RoundTripper](named.Transport, http.DefaultTransport), cfg.UserAgent}
		cfg.HTTP = &named
	}
	shared := aws.Config{
		Region:       cfg.Region,
		Credentials:  cfg.Credentials,
		BaseEndpoint: aws.String(cfg.Endpoint),
		HTTPClient:   cfg.HTTP,
	}
	return &Client{
		ebs:      ebs.NewFromConfig(shared),
		s3:       s3.NewFromConfig(shared, func(o *s3.Options) { o.UsePathStyle = true }),
		endpoint: strings.TrimRight(cfg.Endpoint, "/"),
		region:   cfg.Region,
		creds:    cfg.Credentials,
		http:     cfg.HTTP,
		signer:   v4.NewSigner(),
		retry:    retry.NewStandard(),
	}
}

// agent says in each request who asks. Signatures leave that header out.
type agent struct {
	http.RoundTripper
	name string
}

// RoundTrip implements http.RoundTripper.
func (a agent) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context()) // the caller's is not to be changed
	r.Header.Set("User-Agent", a.name)
	return a.RoundTripper.RoundTrip(r)
}

// send signs a request whose body is body, for a service as SigV4 names it, and
// sends it. The caller closes the answer.
func (c *Client) send(req *http.Request, service string, body []byte) (*http.Response, error) {
	ctx := req.Context()
	creds, err := c.creds.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("finding credentials for %s: %w", c.endpoint, err)
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Content-Sha256", hash)
	if err := c.signer.SignHTTP(ctx, creds, req, hash, service, c.region, time.Now()); err != nil {
		return nil, fmt.Errorf("signing a request: %w", err)
	}
	return c.http.Do(req)
}

// Endpoint returns the address of the service.
func (c *Client) Endpoint() string { return c.endpoint }
