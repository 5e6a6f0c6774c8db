package keyring

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
)

const (
	envelopeVersion = 2
	envelopeHead    = 3
	// maxCiphertext is the longest ciphertext of a data key, in bytes: the envelope
	// must fit into the header of a pack, beside names. AWS's take about 170.
	maxCiphertext = 3072
)

func domainContext(id string) Context { return Context{"diskport:domain": id} }

// wrapNew makes the keys of a new encrypted domain and wraps them.
func (r *Ring) wrapNew(ctx context.Context, keyARN, id string) ([]byte, error) {
	keys, err := frame.NewKeys(frame.AES256GCM)
	if err != nil {
		return nil, err
	}
	return r.envelope(ctx, keyARN, id, keys)
}

// envelope wraps the keys of a domain under what its KMS key makes now.
func (r *Ring) envelope(ctx context.Context, keyARN, id string, keys *frame.Keys) ([]byte, error) {
	plain, ciphertext, err := r.KMS.GenerateDataKey(ctx, keyARN, domainContext(id))
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	if len(ciphertext) > maxCiphertext {
		return nil, fmt.Errorf("the KMS encrypts a data key to %d bytes; %d is the most", len(ciphertext), maxCiphertext)
	}
	wrapping, err := secret.NewMasterKey(plain)
	if err != nil {
		return nil, err
	}
	out := binary.BigEndian.AppendUint16([]byte{envelopeVersion}, uint16(len(ciphertext)))
	return append(append(out, ciphertext...), keys.Wrap(wrapping, id)...), nil
}

// openEnvelope opens what envelope made.
func (r *Ring) openEnvelope(ctx context.Context, row blockstore.Domain) (*frame.Keys, error) {
	ciphertext, keys, err := splitEnvelope(row.WrappedKeys)
	if err != nil {
		return nil, err
	}
	plain, err := r.KMS.Decrypt(ctx, row.KMSKey, ciphertext, domainContext(row.ID))
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	wrapping, err := secret.NewMasterKey(plain)
	if err != nil {
		return nil, err
	}
	return frame.Unwrap(wrapping, keys, row.ID)
}

func splitEnvelope(b []byte) (ciphertext, keys []byte, err error) {
	if len(b) < envelopeHead || b[0] != envelopeVersion {
		return nil, nil, fmt.Errorf("%w: wrapped keys of an unknown version", secret.ErrWrapped)
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	if n > len(b)-envelopeHead {
		return nil, nil, fmt.Errorf("%w: wrapped keys are cut short", secret.ErrWrapped)
	}
	return b[envelopeHead : envelopeHead+n], b[envelopeHead+n:], nil
}
