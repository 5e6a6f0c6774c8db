// Package client is what the command line knows of the service: a client that
// speaks the AWS API through the AWS SDK, like any other, and the service's own
// JSON under /-/v1/ for what AWS has no word for (progress in detail, sizes,
// verify, gc). It shares no code with the service, so what works for it works
// over the wire.
package client

import (
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Config says which service to talk to, and as whom.
type Config struct {
	Endpoint    string // http://host:port
	Region      string
	Credentials aws.CredentialsProvider
	HTTP        *http.Client // nil: http.DefaultClient's transport, without a time limit
}

// Client talks to one service. Its methods may be called concurrently.
type Client struct {
	EC2 *ec2.Client
	EBS *ebs.Client
	S3  *s3.Client
	IAM *iam.Client

	endpoint string
	region   string
	creds    aws.CredentialsProvider
	http     *http.Client
	signer   *v4.Signer
}

// New returns a client for cfg. It connects to nothing yet.
func New(cfg Config) *Client {
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{}
	}
	shared := aws.Config{
		Region:       cfg.Region,
		Credentials:  cfg.Credentials,
		BaseEndpoint: aws.String(cfg.Endpoint),
		HTTPClient:   cfg.HTTP,
	}
	return &Client{
		EC2:      ec2.NewFromConfig(shared),
		EBS:      ebs.NewFromConfig(shared),
		S3:       s3.NewFromConfig(shared, func(o *s3.Options) { o.UsePathStyle = true }),
		IAM:      iam.NewFromConfig(shared),
		endpoint: strings.TrimRight(cfg.Endpoint, "/"),
		region:   cfg.Region,
		creds:    cfg.Credentials,
		http:     cfg.HTTP,
		signer:   v4.NewSigner(),
	}
}

// Endpoint returns the address of the service.
func (c *Client) Endpoint() string { return c.endpoint }
