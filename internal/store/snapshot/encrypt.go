package snapshot

import (
	"context"
	"fmt"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// Encryption asks for a snapshot that is encrypted.
type Encryption struct {
	Key string // of any form; empty: alias/aws/ebs
}

// sameKey returns the encryption of a snapshot that begins as another one: that of
// the other, if the caller may read it.
func (d *Drafts) sameKey(ctx context.Context, who kms.Caller, from Record) (*Encryption, error) {
	if from.KMSKey == "" {
		return nil, nil
	}
	if err := d.Domains.MayRead(ctx, who, from.KMSKey, from.ID); err != nil {
		return nil, fmt.Errorf("reading %s: %w", from.ID, err)
	}
	return &Encryption{from.KMSKey}, nil
}

// keyOfCopy returns the encryption of a copy: the one that was asked for, else the
// source's if the copy is its owner's and in its region, else the default. A copy of an
// encrypted snapshot is always encrypted.
func (d *Drafts) keyOfCopy(ctx context.Context, r CopyRequest, source Record) (*Encryption, error) {
	same, err := d.sameKey(ctx, r.Caller.In(source.Region), source)
	switch {
	case err != nil:
		return nil, err
	case r.Encrypt != nil && r.Encrypt.Key != "", same == nil:
		return r.Encrypt, nil
	case source.Home() == r.Home:
		return same, nil
	}
	return &Encryption{r.DefaultKey}, nil
}

// house finds the domain of a new snapshot's blocks.
func (d *Drafts) house(ctx context.Context, r *Record, who kms.Caller, e *Encryption) (err error) {
	var domain blockstore.Domain
	if e == nil {
		domain, _, err = d.Domains.Plain(ctx, r.Account)
	} else {
		domain, r.DataKey, err = d.Domains.NewSnapshot(ctx, who, e.Key, r.ID)
	}
	r.Domain, r.KMSKey = domain.ID, domain.KMSKey
	return err
}
