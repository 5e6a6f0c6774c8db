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

// material returns a version of k's key material, which k has. It is unwrapped for each
// operation and not kept.
func (s *Service) material(k Key, version int) (*secret.MasterKey, error) {
	if err := k.Usable(); err != nil {
		return nil, err
	}
	plain, err := s.opts.Wrapper.Unwrap(k.wrapped(version), k.purpose(version))
	if err != nil {
		return nil, fmt.Errorf("kms: material of %s, version %d: %w", k.ARN(), version, err)
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
	const length = "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length %s than or equal to %d"
	switch {
	case len(plain) < 1:
		return nil, failed(ErrValidation, length, "greater", 1)
	case len(plain) > maxPlaintext:
		return nil, failed(ErrValidation, length, "less", maxPlaintext)
	}
	if err := e.validate(); err != nil {
		return nil, err
	}
	version := k.Version()
	key, err := s.material(k, version)
	if err != nil {
		return nil, err
	}
	return append(k.header(version), key.Wrap(plain, k.associated(version, e))...), nil
}

// Target returns the ARN of the key that a ciphertext names. Only Decrypt
// authenticates it.
func Target(blob []byte) (string, error) {
	r, _, _, err := parseCiphertext(blob)
	return r.ARN(), err
}

// MaterialOf returns the id of the version of k's material that a ciphertext was made
// with. It is for a ciphertext that Decrypt has authenticated.
func MaterialOf(k Key, blob []byte) string {
	_, version, _, err := parseCiphertext(blob)
	if err != nil {
		return ""
	}
	return k.MaterialID(version)
}

// Decrypt returns the plaintext of what was encrypted under k and bound to e.
func (s *Service) Decrypt(k Key, blob []byte, e EncryptionContext) ([]byte, error) {
	r, version, ciphertext, err := parseCiphertext(blob)
	if err != nil {
		return nil, err
	}
	if r != k.Ref {
		return nil, failed(ErrIncorrectKey, "The key ID in the request does not identify a CMK that can perform this operation.")
	}
	if err := k.Usable(); err != nil {
		return nil, err
	}
	if version > k.Version() {
		return nil, failed(ErrInvalidCiphertext, "The ciphertext is invalid.")
	}
	key, err := s.material(k, version)
	if err != nil {
		return nil, err
	}
	plain, err := key.Unwrap(ciphertext, r.associated(version, e))
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
	if err := between("numberOfBytes", n, 1, maxRandom); err != nil {
		return nil, err
	}
	return s.random(n), nil
}
