package awshttp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// Mint makes the opaque tokens that clients hand back: for pages of a list, or
// blocks of a snapshot. A token carries its own state and expiry under a MAC; the
// service stores nothing. Every node with the same key accepts every node's tokens.
// It is safe for concurrent use.
type Mint struct{ key [sha256.Size]byte }

const (
	tokenVersion = 1
	tokenHead    = 1 + 8 // version, expiry in Unix seconds
	tokenMAC     = 16    // half a SHA-256: a forger has to guess online
)

// NewMint returns the mint for one purpose, a constant name such as "ebs block".
// Tokens of one purpose are not valid for another.
func NewMint(key []byte, purpose string) Mint {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("diskport token: " + purpose))
	return Mint{key: [sha256.Size]byte(h.Sum(nil))}
}

// Make returns a token that carries payload (in the clear) and is valid only until
// the given time and together with the same bound values.
func (m Mint) Make(payload []byte, until time.Time, bound ...string) string {
	b := make([]byte, 0, tokenHead+len(payload)+sha256.Size)
	b = append(b, tokenVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(until.Unix()))
	b = append(b, payload...)
	b = append(b, m.mac(b, bound)...)
	return base64.StdEncoding.EncodeToString(b)
}

// Open returns the payload of a token of this mint that has not expired and was
// made with the same bound values.
func (m Mint) Open(token string, now time.Time, bound ...string) (payload []byte, ok bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < tokenHead+tokenMAC {
		return nil, false
	}
	signed, mac := b[:len(b)-tokenMAC], b[len(b)-tokenMAC:]
	if !hmac.Equal(mac, m.mac(signed, bound)) || signed[0] != tokenVersion {
		return nil, false
	}
	if now.Unix() > int64(binary.BigEndian.Uint64(signed[1:])) {
		return nil, false
	}
	return signed[tokenHead:], true
}

// mac covers the lengths too, so that different lists of bound values never have
// the same bytes.
func (m Mint) mac(signed []byte, bound []string) []byte {
	h := hmac.New(sha256.New, m.key[:])
	for _, s := range bound {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s))))
		h.Write([]byte(s))
	}
	h.Write(signed)
	return h.Sum(nil)[:tokenMAC]
}
