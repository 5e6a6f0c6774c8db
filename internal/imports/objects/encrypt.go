package objects

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// DataKeys makes and opens the keys that objects are encrypted with: a KMS. The
// server gives it; without one, nothing can be stored encrypted.
type DataKeys interface {
	// NewDataKey returns a fresh key of 32 bytes as it is, and wrapped under the KMS key
	// that e names, bound to the context of e.
	NewDataKey(ctx context.Context, account string, e Encryption) (key, wrapped []byte, err error)
	// OpenDataKey unwraps e.DataKey. The key belongs to the caller, who overwrites it.
	OpenDataKey(ctx context.Context, account string, e Encryption) (key []byte, err error)
}

// Encrypt returns e with a data key of its own, for the object or upload that an
// account is about to store. An e without an algorithm is returned as it is. A piece that
// is written with what it returns does not ask the KMS again; an upload's parts do, which
// find the key in the upload's row. ErrKeyNeeded.
func (s *Service) Encrypt(ctx context.Context, account string, e Encryption) (Encryption, error) {
	if e.Algorithm == "" {
		return e, nil
	}
	if s.opts.Keys == nil {
		return e, fmt.Errorf("no KMS is there to make a data key: %w", ErrKeyNeeded)
	}
	key, wrapped, err := s.opts.Keys.NewDataKey(ctx, account, e)
	if err != nil {
		return e, fmt.Errorf("%w: %w", ErrKeyNeeded, err)
	}
	e.DataKey = wrapped
	e.fresh, err = cipherUnder(key)
	return e, err
}

// cipherOf returns the cipher under a data key.
func (s *Service) cipherOf(ctx context.Context, account string, e Encryption) (cipher.AEAD, error) {
	if e.fresh != nil {
		return e.fresh, nil
	}
	if s.opts.Keys == nil {
		return nil, fmt.Errorf("no KMS is there to open the data key: %w", ErrKeyNeeded)
	}
	key, err := s.opts.Keys.OpenDataKey(ctx, account, e)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyNeeded, err)
	}
	return cipherUnder(key)
}

// Usable fails with ErrKeyNeeded unless the data key of e can be opened now.
func (s *Service) Usable(ctx context.Context, account string, e Encryption) error {
	if !e.Encrypted() {
		return nil
	}
	_, err := s.cipherOf(ctx, account, e)
	return err
}

// cipherUnder returns the cipher under a key, which it overwrites.
func cipherUnder(key []byte) (cipher.AEAD, error) {
	defer clear(key)
	if len(key) != 32 {
		return nil, fmt.Errorf("a data key of %d bytes: %w", len(key), errors.ErrUnsupported)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
