package frame

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
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

// The first byte of unwrapped keys is their version. The cipher and the ID key follow
// it and, with a cipher, the number of the first data key (4 bytes, little-endian; not
// in version 1, where it is 0) and the data keys, in the order of their numbers.
const (
	wrappedV1 = 1
	wrappedV2 = 2
)

// MaxDataKeys is the most data keys that a domain has at a time: they lie in the header
// of every pack, beside what a KMS makes of the key that wraps them.
const MaxDataKeys = 20

// Keys are the keys of one dedupe domain. They never change, may be used concurrently,
// and print as redacted.
type Keys struct {
	cipher Cipher
	id     [secret.KeySize]byte
	oldest uint32                 // number of the first of data
	data   [][secret.KeySize]byte // the last is the one in use; none without a cipher
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

// Oldest and Newest return the numbers of the first data key and of the last, which is
// the one in use; 0 without a cipher.
func (k *Keys) Oldest() uint32 { return k.oldest }

// Newest is described at Oldest.
func (k *Keys) Newest() uint32 { return k.oldest + uint32(max(1, len(k.data))-1) }

// ErrManyKeys reports a domain that has MaxDataKeys data keys.
var ErrManyKeys = fmt.Errorf("frame: a domain has at most %d data keys at a time", MaxDataKeys)

// WithNewKey returns the keys with one more data key, which is random and in use. Only
// keys with a cipher have any.
func (k *Keys) WithNewKey() (*Keys, error) {
	if k.cipher == None {
		return nil, errors.New("frame: keys without a cipher have no data keys")
	}
	if len(k.data) >= MaxDataKeys {
		return nil, ErrManyKeys
	}
	n := &Keys{cipher: k.cipher, id: k.id, oldest: k.oldest, data: append(slices.Clone(k.data), [secret.KeySize]byte{})}
	_, _ = rand.Read(n.data[len(k.data)][:]) // never fails: it ends the process instead
	return n, n.init()
}

// ErrOtherKeys reports keys that do not go on from others.
var ErrOtherKeys = errors.New("frame: not later keys of the same domain")

// Extended returns the keys with those data keys of later besides that come after them.
// ErrOtherKeys if later are not keys of the same domain, have another key under a number that
// both have, or lack one in between; ErrManyKeys.
func (k *Keys) Extended(later *Keys) (*Keys, error) {
	same := k.cipher == later.cipher && subtle.ConstantTimeCompare(k.id[:], later.id[:]) == 1
	if !same || len(k.data) == 0 || later.oldest > k.Newest()+1 || later.Newest() <= k.Newest() {
		return nil, ErrOtherKeys
	}
	for n := max(k.oldest, later.oldest); n <= k.Newest(); n++ {
		if subtle.ConstantTimeCompare(k.data[n-k.oldest][:], later.data[n-later.oldest][:]) == 0 {
			return nil, ErrOtherKeys
		}
	}
	n := &Keys{cipher: k.cipher, id: k.id, oldest: k.oldest, data: append(slices.Clone(k.data), later.data[k.Newest()+1-later.oldest:]...)}
	if len(n.data) > MaxDataKeys {
		return nil, ErrManyKeys
	}
	return n, n.init()
}

// Without returns the keys without the data keys whose numbers are below a number, which
// is not above that of the newest.
func (k *Keys) Without(below uint32) (*Keys, error) {
	if below > k.Newest() {
		return nil, fmt.Errorf("frame: data key %d, which is in use, can't be dropped", k.Newest())
	}
	if below <= k.oldest {
		return k, nil
	}
	n := &Keys{cipher: k.cipher, id: k.id, oldest: below, data: slices.Clone(k.data[below-k.oldest:])}
	return n, n.init()
}

// aead returns what encrypts under a data key, or nil if that is not among them.
func (k *Keys) aead(number uint32) cipher.AEAD {
	if i := int64(number) - int64(k.oldest); i >= 0 && i < int64(len(k.aeads)) {
		return k.aeads[i]
	}
	return nil
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
	plain := append([]byte{wrappedV2, byte(k.cipher)}, k.id[:]...)
	if k.cipher != None {
		plain = binary.LittleEndian.AppendUint32(plain, k.oldest)
	}
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
	defer clear(plain)
	k, err := parseKeys(plain)
	if err != nil {
		return nil, fmt.Errorf("unwrapping the keys of domain %s: %w", domain, err)
	}
	return k, k.init()
}

func parseKeys(plain []byte) (*Keys, error) {
	const head = 2 + secret.KeySize
	if len(plain) < head || plain[0] != wrappedV1 && plain[0] != wrappedV2 {
		return nil, fmt.Errorf("%w: unknown version", secret.ErrWrapped)
	}
	k := &Keys{cipher: Cipher(plain[1]), id: [secret.KeySize]byte(plain[2:])}
	rest := plain[head:]
	if k.cipher == None {
		if len(rest) > 0 {
			return nil, fmt.Errorf("%w: data keys without a cipher", secret.ErrWrapped)
		}
		return k, nil
	}
	if plain[0] == wrappedV2 && len(rest) >= 4 {
		k.oldest, rest = binary.LittleEndian.Uint32(rest), rest[4:]
	}
	n := len(rest) / secret.KeySize
	if len(rest) != n*secret.KeySize || n < 1 || n > MaxDataKeys || k.oldest > math.MaxUint32-MaxDataKeys {
		return nil, fmt.Errorf("%w: %d bytes are not whole data keys", secret.ErrWrapped, len(rest))
	}
	for key := range slices.Chunk(rest, secret.KeySize) {
		k.data = append(k.data, [secret.KeySize]byte(key))
	}
	return k, nil
}

func wrapPurpose(domain string) []byte { return []byte("diskport:domain-keys:" + domain) }

// Format implements fmt.Formatter: it prints the keys as redacted for every verb.
func (*Keys) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("[redacted]")) }
