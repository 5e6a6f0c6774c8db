package iam

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync/atomic"

	"github.com/diskport/diskport/internal/identity/sigv4"
)

// keptPrincipals is how many principals are kept between requests: a client signs thousands
// with one key. Their policies' documents are shared with the cache of documents.
const keptPrincipals = 256

// lookup is what a principal is looked up by, and the generation that it is of.
type lookup struct {
	generation int64
	key        string
	token      [sha256.Size]byte // hash of the session token; zero: none
}

// known is a principal as it was in a generation.
type known struct {
	principal Principal
	secret    sigv4.Secret
}

// known returns what find found in the present generation. So a request asks the store for one
// number instead of a key, its user and its policies, and a change holds from the next request
// on, through whatever node. The generation is asked for before find looks: what it finds may
// be newer than that, and is then found again.
func (s *Service) known(ctx context.Context, at lookup, find func() (Principal, sigv4.Secret, error)) (Principal, sigv4.Secret, error) {
	var err error
	if at.generation, err = s.opts.Store.Generation(ctx); err != nil {
		return Principal{}, sigv4.Secret{}, fmt.Errorf("iam: looking up an access key: %w", err)
	}
	if at.generation == 0 {
		return find()
	}
	k, err := s.principals.Get(at, func() (known, error) {
		p, secret, err := find()
		return known{p, secret}, err
	})
	return k.principal, k.secret, err
}

// keptUses is of how many keys it is kept when they were last used.
const keptUses = 1024

// lastUse returns when a key was last used, in microseconds, as far as this process knows.
func (s *Service) lastUse(p Principal) *atomic.Int64 {
	u, _ := s.uses.Get(p.keyID, func() (*atomic.Int64, error) { // it never fails
		u := &atomic.Int64{}
		u.Store(p.used.UnixMicro())
		return u, nil
	})
	return u
}
