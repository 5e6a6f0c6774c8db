package kms

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/secret"
)

// Options is what a Service is made of. All but Now and Rand are required.
type Options struct {
	Store      Store
	Wrapper    secret.Wrapper   // for key material at rest
	Principals Principals       // whom policies and grants name
	Now        func() time.Time // nil means time.Now
	Rand       func([]byte)     // fills with random bytes; nil means crypto/rand
}

// Principals turns names into what is unique, and back: policies and grants are stored
// with the ids of those whom they name. iam.Service is the one in use, and says more.
type Principals interface {
	// BindPrincipals returns a policy with ids; *policy.SyntaxError.
	BindPrincipals(ctx context.Context, document string) (string, error)
	ShowPrincipals(ctx context.Context, document string) (string, error)
	// PrincipalID returns the id behind an ARN, or "".
	PrincipalID(ctx context.Context, arn string) (string, error)
	PrincipalARN(ctx context.Context, id string) (string, error)
}

var _ Principals = (*iam.Service)(nil)

// Service is the domain's surface. It holds no state of its own but parsed key
// policies, and is safe for concurrent use. Only Open, and what takes a Caller,
// authorises; the rest acts
// on keys that were opened before.
type Service struct {
	opts      Options
	documents *policy.Cache
}

// New returns a Service.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = func(b []byte) { _, _ = rand.Read(b) } // never fails
	}
	return &Service{o, policy.NewCache()}
}

// Caller is who asks, where, and what policies may ask about the request.
type Caller struct {
	Principal iam.Principal
	Region    string
	Context   policy.Context // may be nil
}

// now is the time to the precision that stores keep.
func (s *Service) now() time.Time { return s.opts.Now().UTC().Truncate(time.Microsecond) }

func (s *Service) random(n int) []byte {
	b := make([]byte, n)
	s.opts.Rand(b)
	return b
}

// newID returns the id of a new key.
func (s *Service) newID(multiRegion bool) string {
	if multiRegion {
		return "mrk-" + hex.EncodeToString(s.random(16))
	}
	id := uuid.UUID(s.random(16))
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4
	return id.String()
}

// find returns the key that an identifier stands for in an account and region,
// and the name of the alias that it was given by, if it was.
func (s *Service) find(ctx context.Context, account, region, identifier string) (k Key, alias string, err error) {
	id, err := ParseIdentifier(identifier)
	if err != nil {
		return Key{}, "", err
	}
	r := Ref{account, region, id.Key}
	if id.Account != "" {
		r.Account = id.Account
		if id.Region != region {
			return Key{}, "", failed(ErrNotFound, "Invalid arn %.64s", id.Region)
		}
	}
	if id.Alias != "" {
		if r, err = s.target(ctx, Alias{Account: r.Account, Region: region, Name: id.Alias}, account); err != nil {
			return Key{}, "", err
		}
	}
	k, err = s.Key(ctx, r)
	return k, id.Alias, err
}

// target returns the key behind an alias. The managed one for EBS is made when
// its own account asks for it.
func (s *Service) target(ctx context.Context, a Alias, asking string) (Ref, error) {
	found, err := s.opts.Store.Aliases(ctx, a.Account, a.Region, a.Name)
	switch {
	case err != nil:
		return Ref{}, err
	case len(found) > 0:
		return found[0].Key(), nil
	case a.Name == EBSAlias && a.Account == asking:
		return s.makeManaged(ctx, a)
	}
	return Ref{}, NoAlias(a)
}

// Key returns a key that is not past its deletion date. Nobody is asked whether
// they may: it is for the service's own look at a key's state.
func (s *Service) Key(ctx context.Context, r Ref) (Key, error) {
	k, err := s.opts.Store.Key(ctx, r)
	if err == nil && k.gone(s.opts.Now()) {
		err = NoKey(r)
	}
	return k, err
}

// ByARN is Key for an ARN.
func (s *Service) ByARN(ctx context.Context, arn string) (Key, error) {
	id, err := ParseIdentifier(arn)
	if err != nil {
		return Key{}, err
	}
	return s.Key(ctx, Ref{id.Account, id.Region, id.Key})
}

// change is ChangeKey for keys that are not gone.
func (s *Service) change(ctx context.Context, r Ref, change func(*Key) error) error {
	return s.opts.Store.ChangeKey(ctx, r, func(k *Key) error {
		if k.gone(s.opts.Now()) {
			return NoKey(r)
		}
		return change(k)
	})
}

// Purge destroys what is past its deletion date. It is a periodic duty.
func (s *Service) Purge(ctx context.Context) (int, error) {
	n, err := s.opts.Store.Purge(ctx, s.now())
	if err != nil {
		return n, fmt.Errorf("kms: purging keys: %w", err)
	}
	return n, nil
}

// makeManaged makes the AWS managed key for EBS, unless somebody else did so
// at the same time.
func (s *Service) makeManaged(ctx context.Context, a Alias) (Ref, error) {
	k := s.newKey(Ref{a.Account, a.Region, s.newID(false)}, KeySpec{Spec: Symmetric, Usage: EncryptDecrypt, Origin: FromKMS})
	k.Manager = AWS
	k.Description = "Default key that protects my EBS volumes when no other key is defined"
	k.Policy = managedPolicy(k.Ref)
	a.Target, a.Created, a.Updated = k.ID, k.Created, k.Created
	err := s.opts.Store.CreateKey(ctx, k, a)
	if errors.Is(err, ErrExists) {
		found, err := s.opts.Store.Aliases(ctx, a.Account, a.Region, a.Name)
		if err == nil && len(found) == 0 {
			err = NoAlias(a)
		}
		if err != nil {
			return Ref{}, err
		}
		return found[0].Key(), nil
	}
	return k.Ref, err
}
