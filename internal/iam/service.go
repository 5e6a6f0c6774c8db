package iam

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"regexp"
	"time"

	"github.com/diskport/diskport/internal/seal"
	"github.com/diskport/diskport/internal/sigv4"
)

// Options is what a Service is made of. Store and Sealer are required.
type Options struct {
	Store     Store
	Sealer    seal.Sealer      // for secrets at rest
	Partition string           // of ARNs; empty means "aws"
	Now       func() time.Time // nil means time.Now
	Rand      func([]byte)     // fills with random bytes; nil means crypto/rand
}

// Service is the domain's surface. It holds no state of its own and is safe
// for concurrent use. It does not authorise: the edge does, before it calls.
type Service struct{ opts Options }

// New returns a Service.
func New(o Options) *Service {
	if o.Partition == "" {
		o.Partition = "aws"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = func(b []byte) { _, _ = rand.Read(b) } // never fails
	}
	return &Service{o}
}

// newID returns prefix and 17 characters, as unique ids of IAM have them.
func (s *Service) newID(prefix string) string {
	b := make([]byte, 11)
	s.opts.Rand(b)
	return prefix + base32.StdEncoding.EncodeToString(b)[:17]
}

func (s *Service) arn(account, resource string) string {
	return "arn:" + s.opts.Partition + ":iam::" + account + ":" + resource
}

// RoleARN returns the ARN of a role of which only the name is known: where the
// role has a path, that is missing in it.
func (s *Service) RoleARN(account, name string) string { return s.arn(account, "role/"+name) }

// UserARN is RoleARN for a user.
func (s *Service) UserARN(account, name string) string { return s.arn(account, "user/"+name) }

// ARN returns the ARN of r.
func (s *Service) ARN(r Role) string { return s.arn(r.Account, "role"+r.Path+r.Name) }

var (
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
	keyIDForm   = regexp.MustCompile(`^[A-Za-z0-9_-]{3,128}$`)
)

// SetRootKey gives an account its root key, in place of the one it had. A new
// account comes into being by it.
func (s *Service) SetRootKey(ctx context.Context, account, id string, secret sigv4.Secret) error {
	if !accountForm.MatchString(account) {
		return &ValidationError{"an account id has twelve digits"}
	}
	if !keyIDForm.MatchString(id) || secret.Reveal() == "" {
		return &ValidationError{"an access key needs an id of 3 to 128 letters and digits, and a secret"}
	}
	k := AccessKey{ID: id, Account: account, Created: s.opts.Now()}
	k.Sealed = s.opts.Sealer.Seal([]byte(secret.Reveal()), k.purpose())
	if err := s.opts.Store.SetRootKey(ctx, k); err != nil {
		return fmt.Errorf("iam: setting the root key of account %s: %w", account, err)
	}
	return nil
}

// purpose is what a sealed secret is bound to: under another id or account it
// does not open.
func (k AccessKey) purpose() []byte {
	return []byte("diskport:access-key:" + k.Account + ":" + k.ID)
}

// Lookup returns whose access key id is, and its secret. The session token is
// the one that came with it, or empty. It fails with ErrUnknownKey or
// ErrExpiredToken; other errors are internal ones.
func (s *Service) Lookup(ctx context.Context, accessKeyID, sessionToken string) (Principal, sigv4.Secret, error) {
	if sessionToken != "" || !keyIDForm.MatchString(accessKeyID) {
		return Principal{}, sigv4.Secret{}, ErrUnknownKey
	}
	k, err := s.opts.Store.AccessKey(ctx, accessKeyID)
	if err != nil {
		return Principal{}, sigv4.Secret{}, fmt.Errorf("iam: looking up an access key: %w", err)
	}
	secret, err := s.opts.Sealer.Open(k.Sealed, k.purpose())
	if err != nil {
		return Principal{}, sigv4.Secret{}, fmt.Errorf("iam: opening the secret of key %s: %w", k.ID, err)
	}
	p := s.Root(k.Account)
	p.Since = k.Created
	return p, sigv4.NewSecret(string(secret)), nil
}

// Root returns an account's root principal.
func (s *Service) Root(account string) Principal {
	return Principal{Account: account, ARN: s.arn(account, "root"), Kind: Root, ID: account}
}
