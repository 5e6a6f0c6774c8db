package iam

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/tag"
)

// Credentials are temporary credentials, as STS issues them.
type Credentials struct {
	AccessKeyID  string // ASIA…
	Secret       sigv4.Secret
	SessionToken string
	Expires      time.Time
}

// session is the content of a session token. The token is this content, wrapped
// under the service's key for tokens and bound to the access key id. Every node can
// open it and none stores it, and the secret is nowhere in the clear. It does not
// hold the session's permissions: those are read anew at each request.
type session struct {
	Version int
	Secret  []byte
	Issued  int64 // Unix seconds
	Expires int64

	// From GetSessionToken and GetFederationToken: the long-lived key, on which the
	// session depends.
	KeyID string
	// From GetFederationToken: whether Name is a federated user's.
	Federated bool

	// From AssumeRole.
	Account, Role string
	RoleID        string // differs if the role was deleted and created again
	Name          string // RoleSessionName, or of the federated user
	Policy        string // session policy, or empty
	PolicyARNs    []string

	// From AssumeRole and GetFederationToken.
	Tags       []tag.Tag `json:",omitempty"`
	Transitive []string  `json:",omitempty"` // keys of those that further sessions inherit
}

// A federated user's token has a version of its own: a node that does not know it must not
// take it for the token of the user who asked for it, who may do more. So has the token of
// a session with tags, without which a policy's Deny may not hold.
const (
	sessionVersion   = 1
	federatedVersion = 2
	taggedVersion    = 3
	maxToken         = 24 << 10 // characters; JSON may write six for one of a policy
)

func sessionPurpose(keyID string) []byte { return []byte("diskport:session-token:" + keyID) }

func (of session) version() int {
	switch {
	case len(of.Tags) > 0:
		return taggedVersion
	case of.Federated:
		return federatedVersion
	}
	return sessionVersion
}

// mint makes the credentials of a session that starts now.
func (s *Service) mint(of session, life time.Duration) (Credentials, error) {
	now := s.stamp()
	c := Credentials{AccessKeyID: "ASIA" + s.random(16), Secret: s.newSecret(), Expires: now.Add(life)}
	of.Version, of.Secret = of.version(), []byte(c.Secret.Reveal())
	of.Issued, of.Expires = now.Unix(), c.Expires.Unix()
	plain, err := json.Marshal(of)
	if err != nil {
		return Credentials{}, fmt.Errorf("iam: encoding a session token: %w", err)
	}
	c.SessionToken = base64.StdEncoding.EncodeToString(s.opts.Tokens.Wrap(plain, sessionPurpose(c.AccessKeyID)))
	return c, nil
}

// open is the inverse of mint. It fails with ErrUnknownKey or ErrExpiredToken.
func (s *Service) open(keyID, token string) (of session, err error) {
	if len(token) > maxToken {
		return of, ErrUnknownKey
	}
	wrapped, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return of, ErrUnknownKey
	}
	plain, err := s.opts.Tokens.Unwrap(wrapped, sessionPurpose(keyID))
	if err != nil || json.Unmarshal(plain, &of) != nil || of.Version != of.version() {
		return of, ErrUnknownKey
	}
	if s.opts.Now().Unix() >= of.Expires {
		return of, ErrExpiredToken
	}
	return of, nil
}

// Lookup returns the principal that an access key belongs to, and the key's secret.
// sessionToken is empty if the request came without one. It fails with
// ErrUnknownKey or ErrExpiredToken; any other error is internal.
func (s *Service) Lookup(ctx context.Context, accessKeyID, sessionToken string) (Principal, sigv4.Secret, error) {
	if !keyIDForm.MatchString(accessKeyID) {
		return Principal{}, sigv4.Secret{}, ErrUnknownKey
	}
	if sessionToken == "" {
		return s.known(ctx, lookup{key: accessKeyID}, func() (Principal, sigv4.Secret, error) { return s.lookupKey(ctx, accessKeyID) })
	}
	of, err := s.open(accessKeyID, sessionToken) // it may have expired meanwhile
	if err != nil {
		return Principal{}, sigv4.Secret{}, err
	}
	return s.known(ctx, lookup{key: accessKeyID, token: sha256.Sum256([]byte(sessionToken))}, func() (Principal, sigv4.Secret, error) {
		p, err := s.sessionPrincipal(ctx, of)
		p.issued = time.Unix(of.Issued, 0)
		return p, sigv4.NewSecret(string(of.Secret)), err
	})
}

func (s *Service) lookupKey(ctx context.Context, id string) (Principal, sigv4.Secret, error) {
	k, err := s.opts.Store.AccessKey(ctx, id)
	if err == nil && k.Inactive {
		err = ErrUnknownKey
	}
	if err != nil {
		return Principal{}, sigv4.Secret{}, fmt.Errorf("iam: looking up an access key: %w", err)
	}
	secret, err := s.opts.Wrapper.Unwrap(k.Wrapped, k.Purpose())
	if err != nil {
		return Principal{}, sigv4.Secret{}, fmt.Errorf("iam: opening the secret of key %s: %w", k.ID, err)
	}
	p := s.Root(k.Account)
	if k.User != "" {
		p, err = s.userPrincipal(ctx, k.Account, k.User)
	}
	p.Since, p.keyID, p.used = k.Created, k.ID, k.Used.Time
	return p, sigv4.NewSecret(string(secret)), err
}

// userPrincipal returns a user with the policies that apply now. If the user is
// gone, it fails with ErrUnknownKey.
func (s *Service) userPrincipal(ctx context.Context, account, name string) (Principal, error) {
	u, err := s.GetUser(ctx, account, name)
	if err != nil {
		return Principal{}, gone(err)
	}
	may, err := s.policiesOf(ctx, UserOwner(account, name))
	return Principal{
		Account: account, ARN: s.ARNOfUser(u), Kind: User, ID: u.ID, Name: u.Name, tags: u.Tags, permissions: may,
	}, gone(err)
}

// gone turns the error about a missing entity into ErrUnknownKey.
func gone(err error) error {
	if errors.Is(err, ErrNotFound) {
		return ErrUnknownKey
	}
	return err
}

// sessionPrincipal returns the principal that a session token stands for, as of
// now.
func (s *Service) sessionPrincipal(ctx context.Context, of session) (Principal, error) {
	if of.KeyID != "" {
		p, _, err := s.lookupKey(ctx, of.KeyID)
		p.keyID = ""
		if err == nil && of.Federated {
			return s.federated(ctx, p, of)
		}
		return p, err
	}
	role, err := s.role(ctx, of.Account, of.Role)
	if err == nil && role.ID != of.RoleID {
		err = ErrUnknownKey
	}
	if err != nil {
		return Principal{}, gone(err)
	}
	p, err := s.rolePrincipal(ctx, role, of.Name)
	if err != nil {
		return Principal{}, gone(err)
	}
	p.tags, p.transitive = of.overlay(p.tags), of.handedOn()
	p.limited = of.Policy != "" || len(of.PolicyARNs) > 0
	p.limits, err = s.sessionPolicies(ctx, of)
	return p, err
}

// rolePrincipal returns a session of a role, with the permissions that the role's
// policies give it now.
func (s *Service) rolePrincipal(ctx context.Context, role Role, name string) (Principal, error) {
	may, err := s.policiesOf(ctx, RoleOwner(role.Account, role.Name))
	return Principal{
		Account:     role.Account,
		ARN:         s.sessionARN(role, name),
		Kind:        RoleSession,
		ID:          role.ID + ":" + name,
		Name:        role.Name,
		source:      s.ARN(role),
		permissions: may,
		tags:        role.Tags,
	}, err
}

// sessionARN returns the ARN of a session. As at AWS, it does not contain the
// role's path.
func (s *Service) sessionARN(role Role, name string) string {
	return "arn:" + s.opts.Partition + ":sts::" + role.Account + ":assumed-role/" + role.Name + "/" + name
}

// sessionPolicies parses the policies that limit a session. A managed policy that
// has been deleted no longer allows anything.
func (s *Service) sessionPolicies(ctx context.Context, of session) ([]policy.Document, error) {
	var texts []string
	if of.Policy != "" {
		texts = append(texts, of.Policy)
	}
	for _, arn := range of.PolicyARNs {
		m, err := s.GetPolicy(ctx, of.Account, arn)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		texts = append(texts, m.inForce())
	}
	var list []policy.Document
	for _, text := range texts {
		d, err := s.documents.Parse(text, policy.Identity)
		if err != nil {
			return nil, fmt.Errorf("iam: session policy of %s%s: %w", of.Role, of.Name, err)
		}
		list = append(list, d)
	}
	return list, nil
}

// inForce returns the document of m's default version.
func (m Managed) inForce() string {
	for _, v := range m.Versions {
		if v.Number == m.Default {
			return v.Document
		}
	}
	return ""
}
