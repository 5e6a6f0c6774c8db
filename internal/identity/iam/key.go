package iam

import (
	"cmp"
	"context"
	"encoding/base64"
	"slices"
	"time"

	"github.com/diskport/diskport/internal/identity/sigv4"
)

// secretBytes is the length of a secret access key before encoding: 40 characters
// of base64.
const secretBytes = 30

// newKey makes a key for an account's root or for one of its users.
func (s *Service) newKey(account, user string) (AccessKey, sigv4.Secret) {
	k := AccessKey{ID: "AKIA" + s.random(16), Account: account, User: user, Created: s.stamp()}
	secret := s.newSecret()
	k.Wrapped = s.opts.Wrapper.Wrap([]byte(secret.Reveal()), k.Purpose())
	return k, secret
}

func (s *Service) newSecret() sigv4.Secret {
	b := make([]byte, secretBytes)
	s.opts.Rand(b)
	return sigv4.NewSecret(base64.StdEncoding.EncodeToString(b))
}

// Purpose returns the associated data of the wrapped secret. Under another key id or
// account the secret does not open.
func (k AccessKey) Purpose() []byte {
	return []byte("diskport:access-key:" + k.Account + ":" + k.ID)
}

// CreateAccessKey makes a key for a user. The secret is returned only here.
func (s *Service) CreateAccessKey(ctx context.Context, account, user string) (AccessKey, sigv4.Secret, error) {
	if err := checkUser(user); err != nil {
		return AccessKey{}, sigv4.Secret{}, err
	}
	k, secret := s.newKey(account, user)
	err := s.opts.Store.AddKey(ctx, k, maxKeys)
	return k, secret, quota(err, maxKeys, "AccessKeysPerUser")
}

// ListAccessKeys returns a user's keys, sorted by id. An empty name returns the
// root key.
func (s *Service) ListAccessKeys(ctx context.Context, account, user string) ([]AccessKey, error) {
	if user == "" {
		roots, err := s.opts.Store.RootKeys(ctx)
		return slices.DeleteFunc(roots, func(k AccessKey) bool { return k.Account != account }), err
	}
	if err := checkUser(user); err != nil {
		return nil, err
	}
	return s.opts.Store.Keys(ctx, account, user)
}

// KeyStatus says whether a key can be used, in AWS's words.
type KeyStatus string

// The statuses.
const (
	KeyActive   KeyStatus = "Active"
	KeyInactive KeyStatus = "Inactive"
)

// UpdateAccessKey changes the status of a user's key.
func (s *Service) UpdateAccessKey(ctx context.Context, account, user, id string, status KeyStatus) error {
	if err := cmp.Or(checkUser(user), checkKeyID(id)); err != nil {
		return err
	}
	if status != KeyActive && status != KeyInactive {
		return &ValidationError{"1 validation error detected: Value at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive]"}
	}
	return s.opts.Store.ChangeKey(ctx, account, id, func(k *AccessKey) error {
		if k.User != user {
			return &EntityError{KindKey, id, ErrNotFound}
		}
		k.Inactive = status == KeyInactive
		return nil
	})
}

// DeleteAccessKey removes a user's key. Sessions that were made with it end.
func (s *Service) DeleteAccessKey(ctx context.Context, account, user, id string) error {
	if err := cmp.Or(checkUser(user), checkKeyID(id)); err != nil {
		return err
	}
	return s.opts.Store.DeleteKey(ctx, account, user, id)
}

// GetAccessKey returns a key of an account.
func (s *Service) GetAccessKey(ctx context.Context, account, id string) (AccessKey, error) {
	if err := checkKeyID(id); err != nil {
		return AccessKey{}, err
	}
	k, err := s.opts.Store.AccessKey(ctx, id)
	if err == nil && k.Account != account {
		err = ErrUnknownKey
	}
	return k, err
}

func checkKeyID(id string) error {
	if !keyIDForm.MatchString(id) {
		return &ValidationError{"The specified value for accessKeyId is invalid. It must have 3 to 128 letters and digits"}
	}
	return nil
}

// useEvery is the precision of a key's last use. A request writes it only if the
// last write is longer ago than this.
const useEvery = 15 * time.Minute

// Used records that p's long-lived key signed a request to a service.
func (s *Service) Used(ctx context.Context, p Principal, service, region string) error {
	now := s.opts.Now()
	if p.keyID == "" {
		return nil
	}
	last := s.lastUse(p)
	was := last.Load()
	if now.Sub(time.UnixMicro(was)).Abs() < useEvery || !last.CompareAndSwap(was, now.UnixMicro()) {
		return nil
	}
	err := s.opts.Store.ChangeKey(ctx, p.Account, p.keyID, func(k *AccessKey) error {
		k.Used = KeyUse{now.UTC(), service, region}
		return nil
	})
	if err != nil {
		last.CompareAndSwap(now.UnixMicro(), was)
	}
	return err
}

// AccessKeys looks up the principal that an access key belongs to. *Service
// implements it. Its method is called for every request, concurrently. Callers
// distinguish ErrUnknownKey and ErrExpiredToken; any other error is internal.
type AccessKeys interface {
	Lookup(ctx context.Context, accessKeyID, sessionToken string) (Principal, sigv4.Secret, error)
}

var _ AccessKeys = (*Service)(nil)
