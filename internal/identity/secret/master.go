package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
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
//
// It can be replaced while it is used (Adopt): from then on all is wrapped under the new
// key, and what is under older ones still opens.
type MasterKey struct {
	mu   sync.Mutex                // held by Adopt
	keys atomic.Pointer[[]*rawKey] // the first wraps, all unwrap
}

// rawKey is one master key.
type rawKey struct {
	aead   cipher.AEAD
	pseudo []byte   // only for deriving the keys of purposes
	forUse sync.Map // derived ones: cipher.AEAD by Purpose
}

var _ Wrapper = (*MasterKey)(nil)

// NewMasterKey returns a master key made from KeySize secret bytes. Older keys open what
// was wrapped under them. It does not keep the slices.
func NewMasterKey(key []byte, older ...[]byte) (*MasterKey, error) {
	var keys []*rawKey
	for _, key := range append([][]byte{key}, older...) {
		raw, err := newRawKey(key)
		if err != nil {
			return nil, fmt.Errorf("making a master key: %w", err)
		}
		keys = append(keys, raw)
	}
	k := &MasterKey{}
	k.keys.Store(&keys)
	return k, nil
}

// Adopt makes another key, of KeySize secret bytes, the one that wraps. Keys of purposes
// change with it. If it is that already, nothing changes.
func (k *MasterKey) Adopt(key []byte) error {
	raw, err := newRawKey(key)
	if err != nil {
		return fmt.Errorf("replacing a master key: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := *k.keys.Load()
	if subtle.ConstantTimeCompare(keys[0].pseudo, raw.pseudo) == 1 {
		return nil
	}
	keys = append([]*rawKey{raw}, keys...)
	k.keys.Store(&keys)
	return nil
}

func newRawKey(key []byte) (*rawKey, error) {
	a, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	pseudo, err := hkdf.Extract(sha256.New, key, nil)
	if err != nil {
		return nil, err
	}
	return &rawKey{aead: a, pseudo: pseudo}, nil
}

// derived returns the key for a purpose, derived by HKDF-SHA256.
func (r *rawKey) derived(p Purpose) cipher.AEAD {
	if a, ok := r.forUse.Load(p); ok {
		return a.(cipher.AEAD)
	}
	key, err := hkdf.Expand(sha256.New, r.pseudo, "diskport:purpose:"+string(p), KeySize)
	if err != nil {
		panic(err) // only fails for lengths far above KeySize
	}
	defer clear(key)
	a, err := newAEAD(key)
	if err != nil {
		panic(err) // as above
	}
	r.forUse.Store(p, a)
	return a
}

// unwrap opens what was wrapped under one of the keys; with returns what that key made
// it with.
func (k *MasterKey) unwrap(version byte, wrapped, associated []byte, with func(*rawKey) cipher.AEAD) (plain []byte, err error) {
	for i, raw := range *k.keys.Load() {
		opened, tried := unwrap(with(raw), version, wrapped, associated)
		if tried == nil {
			return opened, nil
		}
		if i == 0 {
			err = tried
		}
	}
	return nil, err
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
	return wrap((*k.keys.Load())[0].aead, underMaster, plain, associated)
}

// Unwrap implements Wrapper.
func (k *MasterKey) Unwrap(wrapped, associated []byte) ([]byte, error) {
	return k.unwrap(underMaster, wrapped, associated, func(r *rawKey) cipher.AEAD { return r.aead })
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
	Backups       Purpose = "backups"        // proofs of their manifests
)

// PurposeKey is the Wrapper for one purpose. It opens nothing that was wrapped for
// another purpose, and however much it wraps, it uses up no other key's nonces. It
// also opens what was wrapped under the master key itself, before there were
// purposes. It may be used concurrently, and prints as redacted.
type PurposeKey struct {
	master  *MasterKey
	purpose Purpose
}

var _ Wrapper = (*PurposeKey)(nil)

// For returns the key for a purpose, derived from the master key by HKDF-SHA256.
func (k *MasterKey) For(p Purpose) *PurposeKey { return &PurposeKey{k, p} }

// Wrap implements Wrapper.
func (k *PurposeKey) Wrap(plain, associated []byte) []byte {
	return wrap((*k.master.keys.Load())[0].derived(k.purpose), underPurpose, plain, associated)
}

// Unwrap implements Wrapper.
func (k *PurposeKey) Unwrap(wrapped, associated []byte) ([]byte, error) {
	if len(wrapped) > 0 && wrapped[0] == underMaster {
		return k.master.Unwrap(wrapped, associated)
	}
	return k.master.unwrap(underPurpose, wrapped, associated, func(r *rawKey) cipher.AEAD { return r.derived(k.purpose) })
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
