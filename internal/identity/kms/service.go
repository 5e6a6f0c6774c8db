package kms

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/secret"
)

// Options configures a Service. All but Now and Rand are required.
type Options struct {
	Store      Store
	Wrapper    secret.Wrapper   // for key material at rest
	Principals Principals       // the principals that policies and grants name
	Now        func() time.Time // nil means time.Now
	Aged       func() time.Time // by which keys are destroyed, which may be behind Now; nil means Now
	Rand       func([]byte)     // fills with random bytes; nil means crypto/rand
}

// Principals translates between the ARNs of principals and their unique ids:
// policies and grants are stored with ids. iam.Service implements it, and documents
// it in more detail.
type Principals interface {
	// BindPrincipals returns a policy with ids in place of ARNs. It fails with
	// *policy.SyntaxError.
	BindPrincipals(ctx context.Context, document string) (string, error)
	ShowPrincipals(ctx context.Context, document string) (string, error)
	// PrincipalID returns the id behind an ARN, or "".
	PrincipalID(ctx context.Context, arn string) (string, error)
	PrincipalARN(ctx context.Context, id string) (string, error)
}

var _ Principals = (*iam.Service)(nil)

// Service is the API of the domain. Its only state is a cache of parsed key
// policies, and it is safe for concurrent use. Open, and methods that take a
// Caller, authorise; the others act on keys that were opened before.
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

// Caller is the principal and the region of a request, and the condition keys about
// it.
type Caller struct {
	Principal iam.Principal
	Region    string         // whose keys alone the request can be about
	Context   policy.Context // may be nil
}

// In returns the caller as one whose request is made in another region.
func (c Caller) In(region string) Caller {
	with := maps.Clone(c.Context)
	if with == nil {
		with = policy.Context{}
	}
	with.Set("aws:RequestedRegion", region)
	return Caller{c.Principal, region, with}
}

// Through returns the caller as one whose request comes through a service of AWS, such as
// "ec2": key policies ask about that.
func (c Caller) Through(service string) Caller {
	with := maps.Clone(c.Context)
	if with == nil {
		with = policy.Context{}
	}
	with.Set("kms:ViaService", service+"."+c.Region+".amazonaws.com")
	with.Set("aws:ViaAWSService", "true")
	c.Context = with
	return c
}

// now returns the time in the precision that stores keep.
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

// find returns the key that an identifier names in an account and region, and the
// alias name if it was named by one.
func (s *Service) find(ctx context.Context, account, region, identifier string) (k Key, alias string, err error) {
	id, err := ParseIdentifier(identifier)
	if err != nil {
		return Key{}, "", err
	}
	r := Ref{account, region, id.Key}
	if id.Account != "" {
		r.Account = id.Account
		if id.Region != region {
			return Key{}, "", wrongRegion(id.Region)
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

// wrongRegion reports an ARN of another region than the request's, in which there is no
// such key.
func wrongRegion(region string) error { return failed(ErrNotFound, "Invalid arn %.64s", region) }

// target returns the key behind an alias. A managed key is made when its own
// account first asks for it.
func (s *Service) target(ctx context.Context, a Alias, asking string) (Ref, error) {
	found, err := s.opts.Store.Aliases(ctx, a.Account, a.Region, a.Name)
	if err != nil {
		return Ref{}, err
	}
	if len(found) > 0 {
		return found[0].Key(), nil
	}
	if m, ok := managedBy(a.Name); ok && a.Account == asking {
		return s.makeManaged(ctx, m, a)
	}
	return Ref{}, NoAlias(a)
}

// Key returns a key that is not past its deletion date. It does not authorise: it
// is for the service itself, to look at a key's state.
func (s *Service) Key(ctx context.Context, r Ref) (Key, error) {
	k, err := s.opts.Store.Key(ctx, r)
	if err == nil && k.gone(s.aged()) {
		err = NoKey(r)
	}
	return k, err
}

// ByARN is Key for a key's ARN.
func (s *Service) ByARN(ctx context.Context, arn string) (Key, error) {
	id, err := ParseIdentifier(arn)
	if err != nil {
		return Key{}, err
	}
	return s.Key(ctx, Ref{id.Account, id.Region, id.Key})
}

// change is the store's ChangeKey for keys whose deletion date has not passed.
func (s *Service) change(ctx context.Context, r Ref, change func(*Key) error) error {
	return s.opts.Store.ChangeKey(ctx, r, func(k *Key) error {
		if k.gone(s.aged()) {
			return NoKey(r)
		}
		return change(k)
	})
}

// aged is the time that decides whether a key is past its deletion date. While a jump
// of the machine's clock is not believed, a key that it would destroy is still there,
// and its deletion can be cancelled.
func (s *Service) aged() time.Time {
	if s.opts.Aged != nil {
		return s.opts.Aged()
	}
	return s.opts.Now()
}

// Purge deletes the keys whose deletion date has passed, for good. It runs
// periodically.
func (s *Service) Purge(ctx context.Context) (int, error) {
	n, err := s.opts.Store.Purge(ctx, s.aged())
	if err != nil {
		return n, fmt.Errorf("kms: purging keys: %w", err)
	}
	return n, nil
}
