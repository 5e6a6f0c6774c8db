package frame

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash"
	"sync"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/secret"
)

// Cipher says how the payloads of a domain are encrypted.
type Cipher byte

// The ciphers. Their numbers are in frames and wrapped keys.
const (
	None      Cipher = 0
	AES256GCM Cipher = 1
)

// wrappedV1 is the first byte of unwrapped keys. The cipher, the ID key and, with a
// cipher, the data key follow it.
const wrappedV1 = 1

// Keys are the keys of one dedupe domain. They may be used concurrently, and
// print as redacted.
type Keys struct {
	cipher Cipher
	id     [secret.KeySize]byte
	data   [secret.KeySize]byte // zeros without a cipher
	aead   cipher.AEAD          // nil without a cipher
	macs   sync.Pool            // of *idMAC
}

// idMAC is a keyed hash with the memory of its input and output, so that
// computing an ID allocates nothing.
type idMAC struct {
	hash hash.Hash
	buf  [sha256.Size]byte
}

// NewKeys returns fresh random keys for a domain.
func NewKeys(c Cipher) (*Keys, error) {
	k := &Keys{cipher: c}
	_, _ = rand.Read(k.id[:]) // never fails: it ends the process instead
	if c != None {
		_, _ = rand.Read(k.data[:])
	}
	return k, k.init()
}

func (k *Keys) init() error {
	k.macs.New = func() any { return &idMAC{hash: hmac.New(sha256.New, k.id[:])} }
	switch k.cipher {
	case None:
		return nil
	case AES256GCM:
		c, err := aes.NewCipher(k.data[:])
		if err != nil {
			return fmt.Errorf("making domain keys: %w", err)
		}
		if k.aead, err = cipher.NewGCM(c); err != nil {
			return fmt.Errorf("making domain keys: %w", err)
		}
		return nil
	}
	return fmt.Errorf("frame: unknown cipher %d", k.cipher)
}

// Cipher returns how payloads are encrypted.
func (k *Keys) Cipher() Cipher { return k.cipher }

// BlockID returns the ID of the block with the digest in this domain.
func (k *Keys) BlockID(d block.Digest) block.ID {
	m := k.macs.Get().(*idMAC)
	m.hash.Reset()
	m.buf = d
	m.hash.Write(m.buf[:])
	m.hash.Sum(m.buf[:0])
	id := block.ID(m.buf)
	k.macs.Put(m)
	return id
}

// Wrap wraps the keys of the domain for storing.
func (k *Keys) Wrap(w secret.Wrapper, domain string) []byte {
	plain := append([]byte{wrappedV1, byte(k.cipher)}, k.id[:]...)
	if k.cipher != None {
		plain = append(plain, k.data[:]...)
	}
	return w.Wrap(plain, wrapPurpose(domain))
}

// Unwrap opens what Wrap returned for the domain.
func Unwrap(w secret.Wrapper, wrapped []byte, domain string) (*Keys, error) {
	plain, err := w.Unwrap(wrapped, wrapPurpose(domain))
	if err != nil {
		return nil, fmt.Errorf("unwrapping the keys of domain %s: %w", domain, err)
	}
	if len(plain) < 2 || plain[0] != wrappedV1 {
		return nil, fmt.Errorf("unwrapping the keys of domain %s: %w: unknown version", domain, secret.ErrWrapped)
	}
	k := &Keys{cipher: Cipher(plain[1])}
	rest := plain[2:]
	want := secret.KeySize
	if k.cipher != None {
		want = 2 * secret.KeySize
	}
	if len(rest) != want {
		return nil, fmt.Errorf("unwrapping the keys of domain %s: %w: %d bytes, want %d", domain, secret.ErrWrapped, len(rest), want)
	}
	copy(k.id[:], rest)
	copy(k.data[:], rest[secret.KeySize:])
	return k, k.init()
}

func wrapPurpose(domain string) []byte { return []byte("diskport:domain-keys:" + domain) }

// Format implements fmt.Formatter: it prints the keys as redacted for every verb.
func (*Keys) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("[redacted]")) }
