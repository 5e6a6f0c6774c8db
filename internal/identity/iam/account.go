package iam

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/identity/sigv4"
)

// Account is one of the accounts of the service, isolated from the others.
type Account struct {
	ID      string // twelve digits
	KeyID   string // of its root key
	Created time.Time
}

// SetRootKey gives an account its root key, in place of the one it had. A new
// account comes into being by it; one that was removed does not (ErrRemoved).
func (s *Service) SetRootKey(ctx context.Context, account, id string, secret sigv4.Secret) error {
	if err := checkAccount(account); err != nil {
		return err
	}
	if !keyIDForm.MatchString(id) || secret.Reveal() == "" {
		return &ValidationError{"an access key needs an id of 3 to 128 letters and digits, and a secret"}
	}
	k := AccessKey{ID: id, Account: account, Created: s.opts.Now()}
	k.Wrapped = s.opts.Wrapper.Wrap([]byte(secret.Reveal()), k.purpose())
	if err := s.opts.Store.SetRootKey(ctx, k); err != nil {
		return fmt.Errorf("iam: setting the root key of account %s: %w", account, err)
	}
	return nil
}

func checkAccount(id string) error {
	if !accountForm.MatchString(id) {
		return &ValidationError{"an account id has twelve digits"}
	}
	return nil
}

// AddAccount makes an account, with a random id when none is given, and its
// root key, whose secret is told this once. It fails with ErrExists, and with
// ErrRemoved for an id that was another account's.
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
		b[i] = '0' + b[i]%10 // not quite even, which harms nobody
	}
	if b[0] == '0' {
		b[0] = '1' // survives a spreadsheet
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

// RemoveAccount removes an account with its users, roles and policies. owns is
// asked first what else the account has ("3 snapshots"); if anything, it fails
// with ErrInUse. Without the account it fails with ErrNotFound. The id is given to no
// account again.
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

// Owned is one kind of thing that accounts own and that must be gone before them.
type Owned struct {
	Kind string // "snapshot"; with an s behind it, several
	// Count returns how many the account has, without reading them.
	Count func(ctx context.Context, account string) (int, error)
}

// Estate is all kinds of things that accounts own besides their entities.
type Estate []Owned

// Owns says what an account owns ("3 snapshots, 1 bucket"), or "".
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
