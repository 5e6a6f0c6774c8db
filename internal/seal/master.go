package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// KeySize is the bytes of every key of this package.
const KeySize = 32

// sealedV1 is the first byte of what MasterKey.Seal returns; nonce, ciphertext
// and tag follow.
const sealedV1 = 1

// ErrSealed reports sealed bytes that do not open: damaged, sealed under
// another key or for another purpose, or of an unknown version.
var ErrSealed = errors.New("seal: cannot open")

// Sealer seals small secrets. *MasterKey is one.
type Sealer interface {
	// Seal returns plain encrypted and bound to associated, which says what it
	// is for and has to be given again to open it.
	Seal(plain, associated []byte) []byte
	// Open returns what was sealed, or an error that wraps ErrSealed.
	Open(sealed, associated []byte) ([]byte, error)
}

// MasterKey seals small secrets: the keys of domains, IAM secrets, presigned
// URLs. It may be used concurrently, and prints as redacted.
type MasterKey struct{ aead cipher.AEAD }

var _ Sealer = (*MasterKey)(nil)

// NewMasterKey returns the master key made of KeySize secret bytes, which it
// does not keep.
func NewMasterKey(key []byte) (*MasterKey, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("seal: a master key has %d bytes, not %d", KeySize, len(key))
	}
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("making a master key: %w", err)
	}
	a, err := cipher.NewGCMWithRandomNonce(c)
	if err != nil {
		return nil, fmt.Errorf("making a master key: %w", err)
	}
	return &MasterKey{a}, nil
}

// Seal is Sealer's.
func (k *MasterKey) Seal(plain, associated []byte) []byte {
	out := make([]byte, 1, 1+len(plain)+k.aead.Overhead())
	out[0] = sealedV1
	return k.aead.Seal(out, nil, plain, associated)
}

// Open is Sealer's.
func (k *MasterKey) Open(sealed, associated []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != sealedV1 {
		return nil, fmt.Errorf("%w: unknown version", ErrSealed)
	}
	plain, err := k.aead.Open(nil, nil, sealed[1:], associated)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	return plain, nil
}

// Format prints the key as redacted, whatever the verb.
func (*MasterKey) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("[redacted]")) }
