package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

var (
	federatedName = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{2,32}$`)
	federatedForm = regexp.MustCompile(`^arn:([a-z-]+):sts::[0-9]{12}:federated-user/[A-Za-z0-9_+=,.@-]{2,32}$`)
)

// FederationCall is a request for a session of somebody whom only the caller knows.
type FederationCall struct {
	Caller     Principal
	Name       string         // of the federated user
	Life       *time.Duration // nil: twelve hours
	Policy     string         // session policy; empty: none
	PolicyARNs []string       // managed session policies
	Tags       []tag.Tag      // of the session
}

func (call FederationCall) validate() error {
	if !federatedName.MatchString(call.Name) {
		return &ValidationError{fmt.Sprintf(badForm, "name", `[\w+=,.@-]*`)}
	}
	return cmp.Or(checkLife(call.Life, maxTokenLife), checkSessionPolicies(call.Policy, call.PolicyARNs), checkSessionTags(call.Tags))
}

// FederatedARN returns the ARN of a federated user.
func (s *Service) FederatedARN(account, name string) string {
	return "arn:" + s.opts.Partition + ":sts::" + account + ":federated-user/" + name
}

// FederationToken returns credentials for a federated user. They can do what both the
// caller and the session's policies allow, and without such policies nothing but what a
// resource's policy allows the federated user. They are valid only as long as the
// long-lived key that the caller used. It fails with ErrSessionAsks, *ValidationError,
// *SessionTagError, *PackedError, *policy.SyntaxError, or an error about a managed policy.
func (s *Service) FederationToken(ctx context.Context, call FederationCall) (RoleCredentials, error) {
	if err := call.validate(); err != nil {
		return RoleCredentials{}, err
	}
	p := call.Caller
	if p.keyID == "" {
		return RoleCredentials{}, ErrSessionAsks
	}
	of := session{
		KeyID: p.keyID, Federated: true, Account: p.Account, Name: call.Name,
		Policy: call.Policy, PolicyARNs: call.PolicyARNs, Tags: call.Tags,
	}
	packed, err := of.packed()
	if err != nil {
		return RoleCredentials{}, err
	}
	for _, arn := range call.PolicyARNs {
		if _, err := s.GetPolicy(ctx, p.Account, arn); err != nil {
			return RoleCredentials{}, err
		}
	}
	life := defaultTokenLife
	if call.Life != nil {
		life = *call.Life
	}
	if p.Kind == Root {
		life = min(life, maxRootTokenLife)
	}
	credentials, err := s.mint(of, life)
	return RoleCredentials{credentials, s.FederatedARN(p.Account, call.Name), p.Account + ":" + call.Name, packed}, err
}

// federated returns the session that the user or root p gave to a federated user.
func (s *Service) federated(ctx context.Context, p Principal, of session) (Principal, error) {
	f := Principal{
		Account: p.Account, ARN: s.FederatedARN(p.Account, of.Name), Kind: FederatedUser, ID: p.Account + ":" + of.Name,
		tags: of.overlay(p.tags), permissions: p.permissions, limited: true,
	}
	if p.Kind == User {
		f.userID = p.ID
	} else {
		all, err := s.documents.Parse(awsManaged{statements: []string{allowAny("*")}}.document(), policy.Identity)
		if err != nil {
			return Principal{}, err
		}
		f.policies = []policy.Document{all}
	}
	var err error
	f.limits, err = s.sessionPolicies(ctx, of)
	return f, err
}

// AccountOfKey returns the account that a long-lived access key belongs to, of whatever
// account it is: as at AWS, that is no secret. The ids of temporary keys don't tell.
func (s *Service) AccountOfKey(ctx context.Context, id string) (string, error) {
	if err := checkKeyID(id); err != nil {
		return "", err
	}
	k, err := s.opts.Store.AccessKey(ctx, id)
	if errors.Is(err, ErrUnknownKey) {
		return "", &ValidationError{"The specified value for accessKeyId is invalid: there is no long-lived key with this id."}
	}
	return k.Account, err
}
