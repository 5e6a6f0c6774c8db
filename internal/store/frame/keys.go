package frame

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

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
// cipher, the data keys follow it, in the order of their numbers.
const wrappedV1 = 1

// Keys are the keys of one dedupe domain. They may be used concurrently, and
// print as redacted.
type Keys struct {
	cipher Cipher
	id     [secret.KeySize]byte
	data   [][secret.KeySize]byte // by number; the last is the one in use; none without a cipher
	aeads  []cipher.AEAD          // of data
	zstd   *zstd.Decoder
	macs   sync.Pool // of *idMAC
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
		k.data = make([][secret.KeySize]byte, 1)
		_, _ = rand.Read(k.data[0][:])
	}
	return k, k.init()
}

func (k *Keys) init() (err error) {
	k.macs.New = func() any { return &idMAC{hash: hmac.New(sha256.New, k.id[:])} }
	if k.cipher > AES256GCM {
		return fmt.Errorf("frame: unknown cipher %d", k.cipher)
	}
	if k.zstd, err = newDecoder(); err != nil {
		return fmt.Errorf("making domain keys: %w", err)
	}
	for i := range k.data {
		c, err := aes.NewCipher(k.data[i][:])
		if err != nil {
			return fmt.Errorf("making domain keys: %w", err)
		}
		aead, err := cipher.NewGCM(c)
		if err != nil {
			return fmt.Errorf("making domain keys: %w", err)
		}
		k.aeads = append(k.aeads, aead)
	}
	return nil
}

// current returns the number of the data key in use.
func (k *Keys) current() uint32 { return uint32(len(k.data) - 1) }

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
	for i := range k.data {
		plain = append(plain, k.data[i][:]...)
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
	rest, n := plain[2:], 1 // keys
	if k.cipher != None {
		n = len(plain) / secret.KeySize // at least two
	}
	if len(rest) != n*secret.KeySize || k.cipher != None && n < 2 {
		return nil, fmt.Errorf("unwrapping the keys of domain %s: %w: %d bytes are not whole keys", domain, secret.ErrWrapped, len(rest))
	}
	copy(k.id[:], rest)
	for rest := range slices.Chunk(rest[secret.KeySize:], secret.KeySize) {
		k.data = append(k.data, [secret.KeySize]byte(rest))
	}
	return k, k.init()
}

func wrapPurpose(domain string) []byte { return []byte("diskport:domain-keys:" + domain) }

// Format implements fmt.Formatter: it prints the keys as redacted for every verb.
func (*Keys) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("[redacted]")) }
