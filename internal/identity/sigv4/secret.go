package sigv4

import (
	"crypto/subtle"
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Secret is a secret access key or a session token. It prints, logs and marshals as
// "[redacted]", also as a field of another struct; only Reveal returns its text.
// The zero value is the empty secret. It is immutable.
type Secret struct {
	// A pointer, because fmt prints unexported fields without calling their methods:
	// it prints the address then, and not the text.
	text *string
}

// NewSecret wraps text.
func NewSecret(text string) Secret { return Secret{text: &text} }

// Reveal returns the text, for computing with it and for nothing else.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Equal compares in constant time, if the texts have the same length.
func (s Secret) Equal(t Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(t.Reveal())) == 1
}

// Format implements fmt.Formatter for every verb, so that a wrong verb can't
// fall back to printing the operand.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText keeps the text out of JSON, XML and structured logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
