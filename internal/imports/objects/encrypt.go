package objects

import (
	"context"
	"errors"
)

// DataKeys makes and opens the keys that objects are encrypted with: a KMS. The
// server gives it; without one, nothing can be stored encrypted.
type DataKeys interface {
	// NewDataKey returns a fresh key of 32 bytes as it is, and wrapped under the KMS key that
	// e names, bound to the context of e.
	NewDataKey(ctx context.Context, account string, e Encryption) (key, wrapped []byte, err error)
	// OpenDataKey unwraps e.DataKey.
	OpenDataKey(ctx context.Context, account string, e Encryption) (key []byte, err error)
}

// Encrypt returns e with a data key of its own, for the object or upload that an
// account is about to store. An e without an algorithm is returned as it is.
func (s *Service) Encrypt(ctx context.Context, account string, e Encryption) (Encryption, error) {
	if e.Algorithm == "" {
		return e, nil
	}
	return s.encrypt(ctx, account, e)
}

func (s *Service) encrypt(ctx context.Context, account string, e Encryption) (Encryption, error) {
	return Encryption{}, errors.ErrUnsupported
}
