package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// KeySize is the length of a master key, in bytes. Keys of dedupe domains have the
// same length.
const KeySize = 32

// The first byte of a wrapped secret says which key it is wrapped under.
const (
	underMaster  = 1 // the master key itself
	underPurpose = 2 // a PurposeKey
)

// ErrWrapped reports a wrapped secret that does not open: it is damaged, was
// wrapped under another key or for another purpose, or has an unknown version.
var ErrWrapped = errors.New("secret: cannot unwrap")

// Wrapper wraps small secrets. *MasterKey and *PurposeKey implement it.
type Wrapper interface {
	// Wrap encrypts plain and binds it to associated, which says what it is for and
	// must be given again to unwrap it.
	Wrap(plain, associated []byte) []byte
	// Unwrap returns the secret that was wrapped, or an error that wraps ErrWrapped.
	Unwrap(wrapped, associated []byte) ([]byte, error)
}

// MasterKey is the key of a service; all its nodes have the same one. The service
// wraps secrets under a PurposeKey derived from it. It may be used concurrently,
// and prints as redacted.
type MasterKey struct {
	aead   cipher.AEAD
	pseudo []byte // only for deriving the keys of purposes
}

var _ Wrapper = (*MasterKey)(nil)

// NewMasterKey returns a master key made from KeySize secret bytes. It does not
// keep the slice.
func NewMasterKey(key []byte) (*MasterKey, error) {
	a, err := newAEAD(key)
	if err != nil {
		return nil, fmt.Errorf("making a master key: %w", err)
	}
	pseudo, err := hkdf.Extract(sha256.New, key, nil)
	if err != nil {
		return nil, fmt.Errorf("making a master key: %w", err)
	}
	return &MasterKey{a, pseudo}, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("secret: a master key has %d bytes, not %d", KeySize, len(key))
	}
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(c)
}

// Wrap implements Wrapper.
func (k *MasterKey) Wrap(plain, associated []byte) []byte {
	return wrap(k.aead, underMaster, plain, associated)
}

// Unwrap implements Wrapper.
func (k *MasterKey) Unwrap(wrapped, associated []byte) ([]byte, error) {
	return unwrap(k.aead, underMaster, wrapped, associated)
}

// Format prints the key as redacted, for every verb of package fmt.
func (*MasterKey) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("[redacted]")) }

// Purpose names the kind of secret that a PurposeKey wraps.
type Purpose string

// The purposes. Keys are derived from their texts, so none of these may ever
// change.
const (
	AccessKeys    Purpose = "access keys"
	SessionTokens Purpose = "session tokens" // given to clients, so their number is unlimited
	KeyMaterial   Purpose = "key material"   // of the embedded KMS
	URLs          Purpose = "urls"           // presigned ones
)

// PurposeKey is the Wrapper for one purpose. It opens nothing that was wrapped for
// another purpose, and however much it wraps, it uses up no other key's nonces. It
// also opens what was wrapped under the master key itself, before there were
// purposes. It may be used concurrently, and prints as redacted.
type PurposeKey struct {
	aead   cipher.AEAD
	master *MasterKey
}

var _ Wrapper = (*PurposeKey)(nil)

// For returns the key for a purpose, derived from the master key by HKDF-SHA256.
func (k *MasterKey) For(p Purpose) *PurposeKey {
	key, err := hkdf.Expand(sha256.New, k.pseudo, "diskport:purpose:"+string(p), KeySize)
	if err != nil {
		panic(err) // only fails for lengths far above KeySize
	}
	defer clear(key)
	a, err := newAEAD(key)
	if err != nil {
		panic(err) // as above
	}
	return &PurposeKey{a, k}
}

// Wrap implements Wrapper.
func (k *PurposeKey) Wrap(plain, associated []byte) []byte {
	return wrap(k.aead, underPurpose, plain, associated)
}

// Unwrap implements Wrapper.
func (k *PurposeKey) Unwrap(wrapped, associated []byte) ([]byte, error) {
	if len(wrapped) > 0 && wrapped[0] == underMaster {
		return k.master.Unwrap(wrapped, associated)
	}
	return unwrap(k.aead, underPurpose, wrapped, associated)
}

// Format prints the key as redacted, for every verb of package fmt.
func (*PurposeKey) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("[redacted]")) }

func wrap(a cipher.AEAD, version byte, plain, associated []byte) []byte {
	out := make([]byte, 1, 1+len(plain)+a.Overhead())
	out[0] = version
	return a.Seal(out, nil, plain, associated)
}

func unwrap(a cipher.AEAD, version byte, wrapped, associated []byte) ([]byte, error) {
	if len(wrapped) == 0 || wrapped[0] != version {
		return nil, fmt.Errorf("%w: unknown version", ErrWrapped)
	}
	plain, err := a.Open(nil, nil, wrapped[1:], associated)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWrapped, err)
	}
	return plain, nil
}
