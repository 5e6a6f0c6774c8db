package importtask

import (
	"context"
	"errors"
	"time"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/keyring"
)

// Keys is what deep dry runs need. keyring.Ring implements it.
type Keys interface {
	// MayWrite returns nil if Domains.NewSnapshot would succeed, and changes
	// nothing.
	MayWrite(ctx context.Context, who kms.Caller, identifier, snapshot string) error
}

// domain returns the domain of the snapshot that a task makes, and the id of its
// data key; empty if it is not encrypted.
func (e *Engine) domain(ctx context.Context, t Task, snapshot string) (d blockstore.Domain, dataKey string, err error) {
	if !t.Encrypted {
		d, _, err = e.Domains.Plain(ctx, t.Account)
		return d, "", err
	}
	pin, err := source.ParsePin(t.Pin)
	if err != nil {
		return d, "", err
	}
	who, err := keyUser(ctx, e.Roles, t, t.kind(), pin, e.Now())
	if err != nil {
		return d, "", err
	}
	return e.Domains.NewSnapshot(ctx, who, t.KMSKey, snapshot)
}

// keyUser returns the principal that uses the key of a task: the service role,
// assumed now; or the account's root when a program on this machine handed over the
// file, for which no role is needed.
func keyUser(ctx context.Context, roles Roles, t Task, kind taskKind, pin source.Pin, now time.Time) (kms.Caller, error) {
	who := kms.Caller{Region: t.Region, Context: iam.Origin{Time: now, Region: t.Region}.Context()}
	if pin.Kind == source.Handover {
		who.Principal = roles.Root(t.Account)
		return who, nil
	}
	role, err := serviceRole(ctx, roles, t.Home(), t.RoleName, kind)
	var gone *RoleError
	if errors.As(err, &gone) {
		err = &keyring.Error{Key: t.KMSKey, Reason: keyring.Denied, Err: err}
	}
	who.Principal = role
	return who, err
}
