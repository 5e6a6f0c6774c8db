package ec2api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/diskport/diskport/internal/identity/sigv4"
)

// ec2PresignedGet returns a presigned Url with the whole request in its query.
func ec2PresignedGet(ctx context.Context, w *wire, query url.Values) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, *w.Options().BaseEndpoint+"/?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	creds := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}
	presigned, _, err := v4.NewSigner().PresignHTTP(ctx, creds, r, sigv4.HashBody(nil), "ec2", "us-east-1", time.Now())
	return presigned, err
}
