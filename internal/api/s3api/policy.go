package s3api

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/imports/bucketpolicy"
)

const maxPolicy = 20 << 10 // bytes, as at AWS

func malformedPolicy(text string) *failure {
	return fail(http.StatusBadRequest, "MalformedPolicy", text)
}

func noSuchPolicy(bucket string) *failure {
	return fail(http.StatusNotFound, "NoSuchBucketPolicy", "The bucket policy does not exist", element{"BucketName", bucket})
}

func getBucketPolicy(ctx context.Context, c *call) error {
	document, err := c.setting(ctx, c.bucket.Name, bucketpolicy.Policy)
	if err != nil {
		return err
	}
	if document == nil {
		return noSuchPolicy(c.bucket.Name)
	}
	shown, err := c.opts.Principals.ShowPrincipals(ctx, string(document))
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	_, _ = c.w.Write([]byte(shown)) // a client that is gone needs no answer
	return nil
}

func putBucketPolicy(ctx context.Context, c *call) error {
	if !bytes.HasPrefix(bytes.TrimSpace(c.document), []byte("{")) || !json.Valid(c.document) {
		return malformedPolicy("Policies must be valid JSON and the first byte must be '{'")
	}
	if len(c.document) > maxPolicy {
		return malformedPolicy("Your policy document exceeds the maximum allowed document size of 20480 bytes")
	}
	_, bound, err := policy.Accept(string(c.document), policy.Resource)
	if err == nil {
		err = c.checkStatements(c.document)
	}
	if err == nil {
		bound, err = c.opts.Principals.BindPrincipals(ctx, bound)
	}
	if syntax, ok := errors.AsType[*policy.SyntaxError](err); ok {
		return malformedPolicy(syntax.Error())
	}
	if err != nil {
		return err
	}
	if bucketpolicy.IsPublic([]byte(bound)) {
		block, err := c.blockOf(ctx)
		if err != nil {
			return err
		}
		if block.BlockPublicPolicy {
			f := accessDenied()
			f.message = "User: " + c.Principal.ARN + " is not authorized to perform: s3:PutBucketPolicy on resource: \"" + c.judge.ARN(c.bucket.Name, "") +
				"\" because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access."
			return f
		}
	}
	if err := c.setSetting(ctx, c.bucket.Name, bucketpolicy.Policy, []byte(bound)); err != nil {
		return err
	}
	return c.done(http.StatusNoContent)
}

func deleteBucketPolicy(ctx context.Context, c *call) error {
	return deleteSetting(bucketpolicy.Policy)(ctx, c)
}

func getBucketPolicyStatus(ctx context.Context, c *call) error {
	document, err := c.setting(ctx, c.bucket.Name, bucketpolicy.Policy)
	if err != nil {
		return err
	}
	if document == nil {
		return noSuchPolicy(c.bucket.Name)
	}
	return c.answer(struct {
		XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ PolicyStatus"`
		IsPublic bool
	}{IsPublic: bucketpolicy.IsPublic(document)})
}

// checkStatements refuses statements that are not about this bucket.
func (c *call) checkStatements(document []byte) error {
	own := c.judge.ARN(c.bucket.Name, "")
	for _, s := range bucketpolicy.Statements(document) {
		for _, r := range slices.Concat(s.Resource, s.NotResource) {
			if r != own && !strings.HasPrefix(r, own+"/") {
				return malformedPolicy("Policy has invalid resource")
			}
		}
		for _, a := range s.Action {
			if a != "*" && !strings.HasPrefix(strings.ToLower(a), "s3:") {
				return malformedPolicy("Policy has invalid action")
			}
		}
	}
	return nil
}
