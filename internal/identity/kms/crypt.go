package kms

import (
	"fmt"

	"github.com/diskport/diskport/internal/identity/secret"
)

// AWS's limits, in bytes unless stated otherwise.
const (
	maxPlaintext = 4096
	maxRandom    = 1024
	maxContext   = 8192 // characters of all keys and values
)

// material returns k's key material. It is unwrapped for each operation and not
// kept.
func (s *Service) material(k Key) (*secret.MasterKey, error) {
	if err := k.Usable(); err != nil {
		return nil, err
	}
	plain, err := s.opts.Wrapper.Unwrap(k.Wrapped, k.purpose())
	if err != nil {
		return nil, fmt.Errorf("kms: material of %s: %w", k.ARN(), err)
	}
	defer clear(plain)
	return secret.NewMasterKey(plain)
}

func (e EncryptionContext) validate() error {
	n := 0
	for key, value := range e {
		if key == "" {
			return failed(ErrValidation, "An encryption context can't have an empty key")
		}
		n += len(key) + len(value)
	}
	if n > maxContext {
		return failed(ErrValidation, "The encryption context is longer than %d characters", maxContext)
	}
	return nil
}

// Encrypt encrypts plain, 1 to 4096 bytes, under k and binds it to e.
func (s *Service) Encrypt(k Key, plain []byte, e EncryptionContext) ([]byte, error) {
	if len(plain) < 1 || len(plain) > maxPlaintext {
		return nil, failed(ErrValidation, "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length between 1 and %d", maxPlaintext)
	}
	if err := e.validate(); err != nil {
		return nil, err
	}
	key, err := s.material(k)
	if err != nil {
		return nil, err
	}
	return append(k.header(), key.Wrap(plain, k.associated(e))...), nil
}

// Target returns the ARN of the key that a ciphertext names. Only Decrypt
// authenticates it.
func Target(blob []byte) (string, error) {
	r, _, err := parseCiphertext(blob)
	return r.ARN(), err
}

// Decrypt returns the plaintext of what was encrypted under k and bound to e.
func (s *Service) Decrypt(k Key, blob []byte, e EncryptionContext) ([]byte, error) {
	r, ciphertext, err := parseCiphertext(blob)
	if err != nil {
		return nil, err
	}
	if r != k.Ref {
		return nil, failed(ErrIncorrectKey, "The key ID in the request does not identify a CMK that can perform this operation.")
	}
	key, err := s.material(k)
	if err != nil {
		return nil, err
	}
	plain, err := key.Unwrap(ciphertext, r.associated(e))
	if err != nil {
		return nil, failed(ErrInvalidCiphertext, "The ciphertext is invalid.")
	}
	return plain, nil
}

// GenerateDataKey returns a new data key of n bytes, 1 to 1024: in plaintext, and
// encrypted under k and bound to e.
func (s *Service) GenerateDataKey(k Key, n int, e EncryptionContext) (plain, blob []byte, err error) {
	if plain, err = s.Random(n); err != nil {
		return nil, nil, err
	}
	blob, err = s.Encrypt(k, plain, e)
	return plain, blob, err
}

// Random returns n random bytes, 1 to 1024.
func (s *Service) Random(n int) ([]byte, error) {
	if n < 1 || n > maxRandom {
		return nil, failed(ErrValidation, "1 validation error detected: Value '%d' at 'numberOfBytes' failed to satisfy constraint: Member must have value between 1 and %d", n, maxRandom)
	}
	return s.random(n), nil
}
