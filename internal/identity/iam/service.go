package iam

import (
	"cmp"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/diskport/diskport/internal/cache"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/secret"
)

// Options configures a Service. Store, Wrapper and Tokens are required.
type Options struct {
	Store     Store
	Wrapper   secret.Wrapper   // for secrets at rest; the same on all nodes
	Tokens    secret.Wrapper   // for session tokens, which clients get; likewise
	Partition string           // of ARNs; empty means "aws"
	Now       func() time.Time // nil means time.Now
	Rand      func([]byte)     // fills with random bytes; nil means crypto/rand
}

// Service is the API of the domain. Its only state are caches, which nobody can tell from
// reading the store anew, and it is safe for concurrent use. It does not authorise: the edge does, before
// it calls. The exception is AssumeRole, which decides by the role's trust policy.
type Service struct {
	opts      Options
	documents *policy.Cache

	principals *cache.Cache[lookup, known]
	uses       *cache.Cache[string, *atomic.Int64] // by key
}

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
	return &Service{o, policy.NewCache(), cache.New[lookup, known](keptPrincipals), cache.New[string, *atomic.Int64](keptUses)}
}

// random returns n characters of base32.
func (s *Service) random(n int) string {
	b := make([]byte, n) // more than enough: base32 makes more than a character of each byte
	s.opts.Rand(b)
	return base32.StdEncoding.EncodeToString(b)[:n]
}

// newID returns prefix and 17 characters, the form of IAM's unique ids.
func (s *Service) newID(prefix string) string { return prefix + s.random(17) }

// stamp returns the current time in whole seconds, the precision of IAM's answers.
func (s *Service) stamp() time.Time { return s.opts.Now().UTC().Truncate(time.Second) }

func (s *Service) arn(account, resource string) string {
	return "arn:" + s.opts.Partition + ":iam::" + account + ":" + resource
}

// EntityARN returns the ARN of an entity that need not exist. kind is "role",
// "user" or "policy"; an empty path means "/".
func (s *Service) EntityARN(account, kind, path, name string) string {
	return s.arn(account, kind+cmp.Or(path, "/")+name)
}

// RoleARN returns the ARN of a role if only its name is known. If the role
// has a path, the ARN lacks it.
func (s *Service) RoleARN(account, name string) string {
	return s.EntityARN(account, "role", "/", name)
}

// UserARN is RoleARN for a user.
func (s *Service) UserARN(account, name string) string {
	return s.EntityARN(account, "user", "/", name)
}

// ARN returns the ARN of r.
func (s *Service) ARN(r Role) string { return s.EntityARN(r.Account, "role", r.Path, r.Name) }

// ARNOfUser returns the ARN of u.
func (s *Service) ARNOfUser(u UserInfo) string {
	return s.EntityARN(u.Account, "user", u.Path, u.Name)
}

// ARNOfPolicy returns the ARN of m.
func (s *Service) ARNOfPolicy(m Managed) string {
	return s.EntityARN(m.Account, "policy", m.Path, m.Name)
}

// splitARN returns the account, path and name in an IAM ARN, if its resource is of
// the kind. "arn:aws:iam::123456789012:role/a/b" has the path "/a/" and the name
// "b".
func (s *Service) splitARN(arn, kind string) (account, path, name string, ok bool) {
	part := strings.SplitN(arn, ":", 6)
	if len(part) != 6 || part[0] != "arn" || part[1] != s.opts.Partition || part[2] != "iam" || part[3] != "" {
		return "", "", "", false
	}
	rest, ok := strings.CutPrefix(part[5], kind+"/")
	slash := strings.LastIndexByte(rest, '/')
	return part[4], "/" + rest[:slash+1], rest[slash+1:], ok
}

// get returns the one entity that a store found, or its error.
func get[T any](kind, name string, found []T, err error) (entity T, _ error) {
	switch {
	case err != nil:
		return entity, err
	case len(found) == 0:
		return entity, &EntityError{kind, name, ErrNotFound}
	}
	return found[0], nil
}

// checkQuota fails if an account has as many entities as it may have.
func checkQuota(present, most int, what string) error {
	if present >= most {
		return &LimitError{fmt.Sprintf("Cannot exceed quota for %s: %d", what, most)}
	}
	return nil
}

// quota turns a store's ErrTooMany into a *LimitError.
func quota(err error, most int, what string) error {
	if errors.Is(err, ErrTooMany) {
		return checkQuota(most, most, what)
	}
	return err
}

// Root returns an account's root principal.
func (s *Service) Root(account string) Principal {
	return Principal{Account: account, ARN: s.arn(account, "root"), Kind: Root, ID: account}
}
