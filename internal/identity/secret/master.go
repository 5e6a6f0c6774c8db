package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// KeySize is the length of a master key, in bytes. Keys of domains have it too.
const KeySize = 32

// version1 is the first byte of what MasterKey.Wrap returns.
const version1 = 1

// ErrWrapped reports a wrapped secret that does not open: it is damaged, was
// wrapped under another key or for another purpose, or has an unknown version.
var ErrWrapped = errors.New("secret: cannot unwrap")

// Wrapper wraps small secrets. *MasterKey is one.
type Wrapper interface {
	// Wrap returns plain encrypted and bound to associated, which says what it
	// is for and must be given again to unwrap it.
	Wrap(plain, associated []byte) []byte
	// Unwrap returns what was wrapped, or an error that wraps ErrWrapped.
	Unwrap(wrapped, associated []byte) ([]byte, error)
}

// MasterKey is the Wrapper of a node: all nodes of a service have the same key. It
// may be used concurrently, and prints as redacted.
type MasterKey struct{ aead cipher.AEAD }

var _ Wrapper = (*MasterKey)(nil)

// NewMasterKey returns the master key made of KeySize secret bytes, which it
// does not keep.
func NewMasterKey(key []byte) (*MasterKey, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("secret: a master key has %d bytes, not %d", KeySize, len(key))
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

// Wrap implements Wrapper.
func (k *MasterKey) Wrap(plain, associated []byte) []byte {
	out := make([]byte, 1, 1+len(plain)+k.aead.Overhead())
	out[0] = version1
	return k.aead.Seal(out, nil, plain, associated)
}

// Unwrap implements Wrapper.
func (k *MasterKey) Unwrap(wrapped, associated []byte) ([]byte, error) {
	if len(wrapped) == 0 || wrapped[0] != version1 {
		return nil, fmt.Errorf("%w: unknown version", ErrWrapped)
	}
	plain, err := k.aead.Open(nil, nil, wrapped[1:], associated)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWrapped, err)
	}
	return plain, nil
}

// Format prints the key as redacted, whatever the verb.
func (*MasterKey) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("[redacted]")) }
