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

// mac returns the MAC of p. The magics in front of what it is made of keep
// pages and roots apart.
func (k *PageKey) mac(p []byte) [macSize]byte {
	h := hmac.New(sha256.New, k.key)
	h.Write(p)
	return [macSize]byte(h.Sum(nil))
}

// Format prints the key as redacted, whatever the verb.
func (*PageKey) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("[redacted]")) }
