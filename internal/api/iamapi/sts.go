package iamapi

import (
	"context"

	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/identity/iam"
)

// stsActions are the actions of STS that are built. No permission is checked here:
// the domain decides on AssumeRole, and the others need none.
var stsActions = map[string]action{
	"GetCallerIdentity": free(getCallerIdentity),
	"GetSessionToken":   free(getSessionToken),
	"AssumeRole":        free(assumeRole),
}

// free returns an action that needs no permission.
func free[R any](handle func(ctx context.Context, c call, r R) (any, error)) action {
	return func(ctx context.Context, c call) (any, error) {
		var r R
		if err := ec2query.Decode(c.Form, &r); err != nil {
			return nil, err
		}
		return handle(ctx, c, r)
	}
}

// getCallerIdentity needs no permission: at AWS, not even a Deny hides the caller's
// identity from the caller.
func getCallerIdentity(_ context.Context, c call, _ struct{}) (any, error) {
	return struct{ Arn, UserId, Account string }{c.Principal.ARN, c.Principal.ID, c.Principal.Account}, nil
}

type credentialsXML struct {
	AccessKeyId, SecretAccessKey, SessionToken string
	Expiration                                 stamp
}

func newCredentialsXML(c iam.Credentials) credentialsXML {
	return credentialsXML{c.AccessKeyID, c.Secret.Reveal(), c.SessionToken, stamp(c.Expires)}
}

type getSessionTokenIn struct{ DurationSeconds *int64 }

func getSessionToken(_ context.Context, c call, r getSessionTokenIn) (any, error) {
	credentials, err := c.opts.Service.SessionToken(c.Principal, seconds(r.DurationSeconds))
	return struct{ Credentials credentialsXML }{newCredentialsXML(credentials)}, err
}

type assumeRoleIn struct {
	RoleArn, RoleSessionName, ExternalId, Policy string
	DurationSeconds                              *int64
	PolicyArns                                   []struct {
		ARN string `ec2:"arn"`
	} `ec2:"PolicyArns.member"`
}

func assumeRole(ctx context.Context, c call, r assumeRoleIn) (any, error) {
	ask := iam.RoleCall{
		Caller: c.Principal, RoleARN: r.RoleArn, SessionName: r.RoleSessionName, ExternalID: r.ExternalId,
		Life: seconds(r.DurationSeconds), Policy: r.Policy, Context: c.Origin.Context(),
	}
	for _, p := range r.PolicyArns {
		ask.PolicyARNs = append(ask.PolicyARNs, p.ARN)
	}
	got, err := c.opts.Service.AssumeRole(ctx, ask)
	type userXML struct{ AssumedRoleId, Arn string }
	return struct {
		Credentials      credentialsXML
		AssumedRoleUser  userXML
		PackedPolicySize int `xml:",omitempty"`
	}{newCredentialsXML(got.Credentials), userXML{got.ID, got.ARN}, got.Packed}, err
}
