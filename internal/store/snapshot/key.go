package snapshot

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
)

// PageKey authenticates pages and roots, and so names pages. The service has
// one. It may be used concurrently, and prints as redacted.
type PageKey struct{ key []byte }

// macSize is the bytes of a MAC.
const macSize = sha256.Size

// NewPageKey returns the key made of 32 secret bytes.
func NewPageKey(key []byte) (*PageKey, error) {
	if len(key) != sha256.Size {
		return nil, errors.New("snapshot: a page key has 32 bytes")
	}
	return &PageKey{append([]byte(nil), key...)}, nil
}

// mac returns the MAC of p. Pages and roots begin with different magics, so the MAC
// of one is never that of the other.
func (k *PageKey) mac(p []byte) [macSize]byte {
	h := hmac.New(sha256.New, k.key)
	h.Write(p)
	return [macSize]byte(h.Sum(nil))
}

// Format implements fmt.Formatter: it prints the key as redacted, for every verb.
func (*PageKey) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("[redacted]")) }
