package iam

import (
	"cmp"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/secret"
)

// Options is what a Service is made of. Store, Wrapper and Tokens are required.
type Options struct {
	Store     Store
	Wrapper   secret.Wrapper   // of secrets at rest; the same on all nodes
	Tokens    secret.Wrapper   // of session tokens, which clients get; likewise
	Partition string           // of ARNs; empty means "aws"
	Now       func() time.Time // nil means time.Now
	Rand      func([]byte)     // fills with random bytes; nil means crypto/rand
}

// Service is the domain's surface. It holds no state of its own but parsed
// documents, and is safe for concurrent use. It does not authorise: the edge does, before it calls;
// AssumeRole alone decides for itself, because a role's trust policy does.
type Service struct {
	opts      Options
	documents *policy.Cache
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
	return &Service{o, policy.NewCache()}
}

// random returns n characters of base32.
func (s *Service) random(n int) string {
	b := make([]byte, n) // more than enough: a byte makes more than a character
	s.opts.Rand(b)
	return base32.StdEncoding.EncodeToString(b)[:n]
}

// newID returns prefix and 17 characters, as unique ids of IAM have them.
func (s *Service) newID(prefix string) string { return prefix + s.random(17) }

// stamp is the present time as entities keep it: all that the wire tells.
func (s *Service) stamp() time.Time { return s.opts.Now().UTC().Truncate(time.Second) }

func (s *Service) arn(account, resource string) string {
	return "arn:" + s.opts.Partition + ":iam::" + account + ":" + resource
}

// EntityARN returns the ARN of what there may not be: kind is "role", "user" or
// "policy", an empty path means "/".
func (s *Service) EntityARN(account, kind, path, name string) string {
	return s.arn(account, kind+cmp.Or(path, "/")+name)
}

// RoleARN returns the ARN of a role of which only the name is known: where the
// role has a path, that is missing in it.
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

// splitARN returns account, path and name of an ARN of IAM's whose resource is
// of a kind: "arn:aws:iam::123456789012:role/a/b" is "/a/" and "b".
func (s *Service) splitARN(arn, kind string) (account, path, name string, ok bool) {
	part := strings.SplitN(arn, ":", 6)
	if len(part) != 6 || part[0] != "arn" || part[1] != s.opts.Partition || part[2] != "iam" || part[3] != "" {
		return "", "", "", false
	}
	rest, ok := strings.CutPrefix(part[5], kind+"/")
	slash := strings.LastIndexByte(rest, '/')
	return part[4], "/" + rest[:slash+1], rest[slash+1:], ok
}

// get returns the only entity that a store found.
func get[T any](kind, name string, found []T, err error) (entity T, _ error) {
	switch {
	case err != nil:
		return entity, err
	case len(found) == 0:
		return entity, &EntityError{kind, name, ErrNotFound}
	}
	return found[0], nil
}

// checkQuota fails if an account has its fill of entities.
func checkQuota(present, most int, what string) error {
	if present >= most {
		return &LimitError{fmt.Sprintf("Cannot exceed quota for %s: %d", what, most)}
	}
	return nil
}

// quota turns a store's ErrTooMany into the text of a quota.
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
