package keyring

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/diskport/diskport/internal/blockstore"
	"github.com/diskport/diskport/internal/seal"
)

const (
	envelopeVersion = 2
	envelopeHead    = 3
	// maxSealed keeps the envelope within the header of a pack, where it lies
	// beside names; AWS's data keys of 32 bytes have about 170.
	maxSealed = 3072
)

func domainContext(id string) Context { return Context{"diskport:domain": id} }

// wrapNew makes the keys of a new encrypted domain and wraps them.
func (r *Ring) wrapNew(ctx context.Context, keyARN, id string) ([]byte, error) {
	plain, sealed, err := r.KMS.GenerateDataKey(ctx, keyARN, domainContext(id))
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	if len(sealed) > maxSealed {
		return nil, fmt.Errorf("the KMS encrypts a data key to %d bytes; %d is the most", len(sealed), maxSealed)
	}
	wrapping, err := seal.NewMasterKey(plain)
	if err != nil {
		return nil, err
	}
	keys, err := seal.NewKeys(seal.AES256GCM)
	if err != nil {
		return nil, err
	}
	out := binary.BigEndian.AppendUint16([]byte{envelopeVersion}, uint16(len(sealed)))
	return append(append(out, sealed...), keys.Wrap(wrapping, id)...), nil
}

// openEnvelope opens what wrapNew made.
func (r *Ring) openEnvelope(ctx context.Context, row blockstore.Domain) (*seal.Keys, error) {
	sealed, keys, err := splitEnvelope(row.WrappedKeys)
	if err != nil {
		return nil, err
	}
	plain, err := r.KMS.Decrypt(ctx, row.KMSKey, sealed, domainContext(row.ID))
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	wrapping, err := seal.NewMasterKey(plain)
	if err != nil {
		return nil, err
	}
	return seal.Unwrap(wrapping, keys, row.ID)
}

func splitEnvelope(b []byte) (sealed, keys []byte, err error) {
	if len(b) < envelopeHead || b[0] != envelopeVersion {
		return nil, nil, fmt.Errorf("%w: wrapped keys of an unknown version", seal.ErrSealed)
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	if n > len(b)-envelopeHead {
		return nil, nil, fmt.Errorf("%w: wrapped keys are cut short", seal.ErrSealed)
	}
	return b[envelopeHead : envelopeHead+n], b[envelopeHead+n:], nil
}
