package iamapi

import (
	"context"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/identity/iam"
)

// stsActions are the actions of STS that are built. The domain decides on AssumeRole;
// GetCallerIdentity and GetSessionToken need no permission, and the handlers of the
// others ask for theirs.
var stsActions = map[string]action{
	"GetCallerIdentity": free(getCallerIdentity),
	"GetSessionToken":   free(getSessionToken),
	"AssumeRole":        free(assumeRole),

	"GetFederationToken": free(getFederationToken),
	"GetAccessKeyInfo":   free(getAccessKeyInfo),
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

// sessionPolicies are the policies of a session. They are embedded in requests.
type sessionPolicies struct {
	Policy     string
	PolicyArns []struct {
		ARN string `ec2:"arn"`
	} `ec2:"PolicyArns.member"`
}

func (r sessionPolicies) arns() (list []string) {
	for _, p := range r.PolicyArns {
		list = append(list, p.ARN)
	}
	return list
}

type getFederationTokenIn struct {
	Name            string
	DurationSeconds *int64
	sessionPolicies
	taggingIn
}

func getFederationToken(ctx context.Context, c call, r getFederationTokenIn) (any, error) {
	if c.Principal.Temporary() {
		return nil, noSession(c.Action)
	}
	tags, federated := r.givesTags(), c.opts.Service.FederatedARN(c.account(), shorten(r.Name))
	for _, permission := range []string{"sts:GetFederationToken", "sts:TagSession"}[:min(1+len(tags), 2)] {
		if err := c.Authorize(ctx, permission, keys(permission, r, subject{}), federated); err != nil {
			return nil, err
		}
	}
	got, err := c.opts.Service.FederationToken(ctx, iam.FederationCall{
		Caller: c.Principal, Name: r.Name, Life: seconds(r.DurationSeconds), Policy: r.Policy, PolicyARNs: r.arns(), Tags: tags,
	})
	type userXML struct{ FederatedUserId, Arn string }
	return struct {
		Credentials      credentialsXML
		FederatedUser    userXML
		PackedPolicySize int `xml:",omitempty"`
	}{newCredentialsXML(got.Credentials), userXML{got.ID, got.ARN}, got.Packed}, err
}

// noSession refuses what sessions may not ask for.
func noSession(action string) error {
	return awshttp.Fault{Status: 403, Code: "AccessDenied", Message: "Cannot call " + action + " with session credentials"}
}

func getAccessKeyInfo(ctx context.Context, c call, r keyIn) (any, error) {
	if c.Principal.Temporary() && c.Principal.Kind != iam.RoleSession {
		return nil, noSession(c.Action)
	}
	if err := c.Authorize(ctx, "sts:GetAccessKeyInfo", nil, "*"); err != nil {
		return nil, err
	}
	account, err := c.opts.Service.AccountOfKey(ctx, r.AccessKeyId)
	return struct{ Account string }{account}, err
}

type assumeRoleIn struct {
	RoleArn, RoleSessionName, ExternalId string
	DurationSeconds                      *int64
	sessionPolicies
	taggingIn
	TransitiveTagKeys []string `ec2:"TransitiveTagKeys.member"`
}

func assumeRole(ctx context.Context, c call, r assumeRoleIn) (any, error) {
	ask := iam.RoleCall{
		Caller: c.Principal, RoleARN: r.RoleArn, SessionName: r.RoleSessionName, ExternalID: r.ExternalId,
		Life: seconds(r.DurationSeconds), Policy: r.Policy, PolicyARNs: r.arns(), Tags: r.givesTags(), Transitive: r.TransitiveTagKeys, Context: c.Origin.Context(),
	}
	got, err := c.opts.Service.AssumeRole(ctx, ask)
	type userXML struct{ AssumedRoleId, Arn string }
	return struct {
		Credentials      credentialsXML
		AssumedRoleUser  userXML
		PackedPolicySize int `xml:",omitempty"`
	}{newCredentialsXML(got.Credentials), userXML{got.ID, got.ARN}, got.Packed}, err
}
