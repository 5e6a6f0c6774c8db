package iam

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/identity/sigv4"
)

// Account is one of the service's accounts. Accounts are isolated from each other.
type Account struct {
	ID      string // twelve digits
	KeyID   string // id of its root key
	Created time.Time
}

// SetRootKey replaces an account's root key, and creates the account if it does not
// exist. It fails with ErrRemoved if the account was removed.
func (s *Service) SetRootKey(ctx context.Context, account, id string, secret sigv4.Secret) error {
	k, err := s.rootKey(account, id, secret)
	if err != nil {
		return err
	}
	if same, err := s.isRootKey(ctx, account, id, secret); same || err != nil {
		return err
	}
	if err := s.opts.Store.SetRootKey(ctx, k); err != nil {
		return fmt.Errorf("iam: setting the root key of account %s: %w", account, err)
	}
	return nil
}

// OtherRootKeyError reports a root key that is not the one of its account.
type OtherRootKeyError struct{ Account, Given, Stored string } // ids of keys

func (e *OtherRootKeyError) Error() string {
	if e.Given == e.Stored {
		return fmt.Sprintf("iam: the secret given for root key %s of account %s is another than the one in the database", e.Given, e.Account)
	}
	return fmt.Sprintf("iam: the root key of account %s is %s in the database, and %s was given", e.Account, e.Stored, e.Given)
}

// ExpectRootKey is SetRootKey for an account that has no root key yet. If it has one, that
// must be the one given, else the error is an *OtherRootKeyError.
func (s *Service) ExpectRootKey(ctx context.Context, account, id string, secret sigv4.Secret) error {
	stored, err := s.rootKeys(ctx, account)
	if err == nil && len(stored) == 0 {
		added := s.addRootKey(ctx, account, id, secret)
		if !errors.Is(added, ErrExists) {
			return added
		}
		// Another node was first, or something else has a key of that id.
		if stored, err = s.rootKeys(ctx, account); err == nil && len(stored) == 0 {
			return added
		}
	}
	if err != nil {
		return err
	}
	same, err := s.isRootKey(ctx, account, id, secret)
	if err == nil && !same {
		err = &OtherRootKeyError{Account: account, Given: id, Stored: stored[0].ID}
	}
	return err
}

func (s *Service) addRootKey(ctx context.Context, account, id string, secret sigv4.Secret) error {
	k, err := s.rootKey(account, id, secret)
	if err != nil {
		return err
	}
	return s.opts.Store.AddAccount(ctx, k)
}

// rootKeys returns the root keys of an account.
func (s *Service) rootKeys(ctx context.Context, account string) ([]AccessKey, error) {
	keys, err := s.opts.Store.RootKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("iam: reading the root key of account %s: %w", account, err)
	}
	return slices.DeleteFunc(keys, func(k AccessKey) bool { return k.Account != account }), nil
}

// rootKey returns a root key as it is stored.
func (s *Service) rootKey(account, id string, secret sigv4.Secret) (AccessKey, error) {
	if err := checkAccount(account); err != nil {
		return AccessKey{}, err
	}
	if !keyIDForm.MatchString(id) || secret.Reveal() == "" {
		return AccessKey{}, &ValidationError{"an access key needs an id of 3 to 128 letters and digits, and a secret"}
	}
	k := AccessKey{ID: id, Account: account, Created: s.opts.Now()}
	k.Wrapped = s.opts.Wrapper.Wrap([]byte(secret.Reveal()), k.Purpose())
	return k, nil
}

// isRootKey reports whether an account has this root key already, and no other. Every
// start sets the root key, and one that changes nothing writes nothing: it succeeds on
// a full disk.
func (s *Service) isRootKey(ctx context.Context, account, id string, secret sigv4.Secret) (bool, error) {
	keys, err := s.rootKeys(ctx, account)
	if err != nil {
		return false, err
	}
	if len(keys) != 1 || keys[0].ID != id || keys[0].Inactive {
		return false, nil
	}
	stored, err := s.opts.Wrapper.Unwrap(keys[0].Wrapped, keys[0].Purpose())
	return err == nil && subtle.ConstantTimeCompare(stored, []byte(secret.Reveal())) == 1, nil
}

func checkAccount(id string) error {
	if !accountForm.MatchString(id) {
		return &ValidationError{"an account id has twelve digits"}
	}
	return nil
}

// AddAccount creates an account, with a random id unless one is given, and its root
// key. The key's secret is returned only here. It fails with ErrExists, and with
// ErrRemoved if an earlier account had the id.
func (s *Service) AddAccount(ctx context.Context, id string) (Account, sigv4.Secret, error) {
	if id == "" {
		id = s.newAccountID()
	}
	if err := checkAccount(id); err != nil {
		return Account{}, sigv4.Secret{}, err
	}
	k, secret := s.newKey(id, "")
	err := s.opts.Store.AddAccount(ctx, k)
	return Account{k.Account, k.ID, k.Created}, secret, err
}

func (s *Service) newAccountID() string {
	b := make([]byte, 12)
	s.opts.Rand(b)
	for i := range b {
		b[i] = '0' + b[i]%10 // slightly uneven, which does no harm
	}
	if b[0] == '0' {
		b[0] = '1' // no leading zero, which a spreadsheet would drop
	}
	return string(b)
}

// Accounts returns all accounts, sorted by id.
func (s *Service) Accounts(ctx context.Context) ([]Account, error) {
	keys, err := s.opts.Store.RootKeys(ctx)
	var list []Account
	for _, k := range keys {
		list = append(list, Account{k.Account, k.ID, k.Created})
	}
	return list, err
}

// RemoveAccount removes an account with its users, roles and policies. It first
// asks owns what else the account has ("3 snapshots"), and fails with ErrInUse if
// there is anything. If there is no such account it fails with ErrNotFound. The id
// is never given to another account.
func (s *Service) RemoveAccount(ctx context.Context, id string, owns func(ctx context.Context, account string) (what string, err error)) error {
	if err := checkAccount(id); err != nil {
		return err
	}
	what, err := owns(ctx, id)
	switch {
	case err != nil:
		return fmt.Errorf("iam: asking what account %s owns: %w", id, err)
	case what != "":
		return &EntityError{KindAccount, id, fmt.Errorf("%w: it owns %s", ErrInUse, what)}
	}
	return s.opts.Store.RemoveAccount(ctx, id)
}

// Owned is one kind of resource that accounts own, all of which must be gone before
// an account can be removed.
type Owned struct {
	Kind string // "snapshot"; the plural adds an s
	// Count returns how many of them the account has, without reading them.
	Count func(ctx context.Context, account string) (int, error)
}

// Estate lists every kind of resource that accounts own besides their entities.
type Estate []Owned

// Owns describes what an account owns ("3 snapshots, 1 bucket"). It returns "" if
// there is nothing.
func (e Estate) Owns(ctx context.Context, account string) (string, error) {
	var owned []string
	for _, o := range e {
		n, err := o.Count(ctx, account)
		switch {
		case err != nil:
			return "", fmt.Errorf("counting %ss: %w", o.Kind, err)
		case n == 1:
			owned = append(owned, "1 "+o.Kind)
		case n > 1:
			owned = append(owned, fmt.Sprintf("%d %ss", n, o.Kind))
		}
	}
	return strings.Join(owned, ", "), nil
}
