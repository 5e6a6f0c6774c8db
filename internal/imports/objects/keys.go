package objects

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/sigv4"
)

// iamService shows Keys to the gateway as its IAM. The gateway's accounts are ours
// (12 digits), not access keys: so a bucket belongs to the account, whichever of
// its keys made it. What a principal may do is decided in front of the gateway.
type iamService struct {
	ctx  context.Context // of the gateway's life: its interface passes none
	keys iam.AccessKeys
}

var (
	_ auth.IAMService         = (*iamService)(nil)
	_ auth.SigningKeyProvider = (*iamService)(nil)
)

// DeriveSigningKey returns the key with which the gateway verifies signatures.
func (s *iamService) DeriveSigningKey(access, sessionToken, date, region, service string) ([]byte, auth.Account, error) {
	principal, secret, err := s.keys.Lookup(s.ctx, access, sessionToken)
	switch {
	case errors.Is(err, iam.ErrUnknownKey):
		return nil, auth.Account{}, auth.ErrNoSuchUser
	case errors.Is(err, iam.ErrExpiredToken):
		return nil, auth.Account{}, auth.ErrInvalidSessionToken
	case err != nil:
		return nil, auth.Account{}, err
	}
	return signingKey(secret, date, region, service), account(principal.Account), nil
}

// GetUserAccount is called only for owners and grantees, which are account ids.
func (s *iamService) GetUserAccount(access string) (auth.Account, error) {
	if !isAccountID(access) {
		return auth.Account{}, auth.ErrNoSuchUser
	}
	return account(access), nil
}

// ResolveAccounts returns those that can't be accounts.
func (s *iamService) ResolveAccounts(ids []string) ([]string, error) {
	missing := []string{}
	for _, id := range ids {
		if !isAccountID(id) {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

// The methods of the admin interface fail, since users are made over the IAM
// API.

func (s *iamService) CreateAccount(auth.Account) error { return errNotHere() }

func (s *iamService) UpdateUserAccount(string, auth.MutableProps) error { return errNotHere() }

func (s *iamService) DeleteUserAccount(string) error { return errNotHere() }

func (s *iamService) ListUserAccounts() ([]auth.Account, error) { return nil, errNotHere() }

func (s *iamService) Shutdown() error { return nil }

func errNotHere() error { return s3err.GetAPIError(s3err.ErrAdminMethodNotSupported) }

// account returns an account with the role that may make buckets and sees only its
// own. The role of an admin would list the buckets of all accounts and open the
// admin interface.
func account(id string) auth.Account {
	return auth.Account{Access: id, Role: auth.RoleUserPlus}
}

func isAccountID(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) == 12
}

// signingKey derives the Signature Version 4 key of one scope.
func signingKey(secret sigv4.Secret, date, region, service string) []byte {
	key := []byte("AWS4" + secret.Reveal())
	for _, part := range []string{date, region, service, "aws4_request"} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return key
}
