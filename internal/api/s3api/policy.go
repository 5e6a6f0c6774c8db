package s3api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"maps"
	"net/http"
	"slices"

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
		if text := bucketpolicy.Complaint(c.document, c.judge.ARN(c.bucket.Name, "")); text != "" {
			return malformedPolicy(text)
		}
		bound, err = c.opts.Principals.BindPrincipals(ctx, bound)
	}
	if syntax, ok := errors.AsType[*policy.SyntaxError](err); ok {
		return malformedPolicy(cmp.Or(policyComplaint(c.document, syntax), syntax.Error()))
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

// policyComplaint returns S3's own text about a policy that err refuses, or "" where S3
// says less than err does.
func policyComplaint(document []byte, err *policy.SyntaxError) string {
	if err.Principal != "" {
		return "Invalid principal in policy"
	}
	var top map[string]json.RawMessage
	if json.Unmarshal(document, &top) != nil {
		return ""
	}
	if text := unknownField(top, "Version", "Id", "Statement"); text != "" {
		return text
	}
	var version string
	if given, ok := top["Version"]; ok && (json.Unmarshal(given, &version) != nil || version != "2008-10-17" && version != "2012-10-17") {
		return "The policy must contain a valid version string"
	}
	if top["Statement"] == nil {
		return "Missing required field Statement"
	}
	var statements []map[string]json.RawMessage
	if json.Unmarshal(top["Statement"], &statements) != nil {
		statements = make([]map[string]json.RawMessage, 1)
		if json.Unmarshal(top["Statement"], &statements[0]) != nil {
			return ""
		}
	}
	if len(statements) == 0 {
		return "Could not parse the policy: Statement is empty!"
	}
	for _, s := range statements {
		if text := statementComplaint(s); text != "" {
			return text
		}
	}
	return ""
}

func statementComplaint(s map[string]json.RawMessage) string {
	if text := unknownField(s, "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"); text != "" {
		return text
	}
	for _, name := range []string{"Effect", "Principal", "Action", "Resource"} {
		if s[name] == nil && s["Not"+name] == nil {
			return "Missing required field " + name
		}
	}
	return ""
}

func unknownField(o map[string]json.RawMessage, known ...string) string {
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if !slices.Contains(known, name) {
			return "Unknown field " + name
		}
	}
	return ""
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
