package sigv4

import (
	"crypto/hmac"
	"crypto/sha1" // what version 2 signs with
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Values of the X-Amz-Content-Sha256 header that announce an aws-chunked body.
const (
	// SignedChunks: each chunk carries a signature.
	SignedChunks = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	// SignedChunksTrailer: the trailer carries one as well.
	SignedChunksTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	// UnsignedChunksTrailer: chunks and trailer are not signed.
	UnsignedChunksTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// Errors of a body that is checked while it is read.
var (
	// ErrPayload: the body is not framed or not hashed as the request declares.
	ErrPayload = errors.New("body does not match its declaration")
	// ErrTrailer: the trailer is malformed, or not the one that was announced.
	ErrTrailer = errors.New("malformed trailer")
	// ErrLength: the body is longer or shorter than the request declares.
	ErrLength = errors.New("body has another length than declared")
)

// Payload is what a request says about its body, and what is needed to check the
// signatures inside the body. It holds the signing key of one day, so it lives as
// long as its request.
type Payload struct {
	// Declared is a hex SHA-256, UnsignedPayload, one of the constants above for
	// aws-chunked bodies, or empty if nothing was declared.
	Declared string

	key     []byte // signing key; nil if the request is not signed with version 4
	seed    string // the request's signature, which the first chunk continues
	context string // date and scope, as two lines
}

// Payload returns what q says about its body. secret is the one that q was verified
// with.
func (q Request) Payload(secret Secret) Payload {
	return Payload{
		Declared: q.PayloadHash,
		key:      q.signingKey(secret),
		seed:     q.signature,
		context:  q.Date.Format(dateForm) + "\n" + q.scope,
	}
}

// Chunked reports whether the body is framed as aws-chunked.
func (p Payload) Chunked() bool { return strings.HasPrefix(p.Declared, StreamingPrefix) }

// Known reports whether Declared is a value that a body can be checked against.
func (p Payload) Known() bool {
	switch p.Declared {
	case "", UnsignedPayload, UnsignedChunksTrailer:
		return true
	case SignedChunks, SignedChunksTrailer:
		return p.key != nil
	}
	return p.Hash() != ""
}

// Hash returns the declared hex SHA-256 in lower case, or "" if there is none.
func (p Payload) Hash() string {
	sum, err := hex.DecodeString(p.Declared)
	if err != nil || len(p.Declared) != sigLen {
		return ""
	}
	return hex.EncodeToString(sum)
}

// VerifyText signs text, such as the policy of a form, with the key of q's scope, and
// compares it with the hex signature given. The error is ErrMismatch.
func (q Request) VerifyText(secret Secret, text, signature string) error {
	want := hex.EncodeToString(mac(q.signingKey(secret), text))
	if !hmac.Equal([]byte(want), []byte(signature)) {
		return ErrMismatch
	}
	return nil
}

// ParseForm reads what the fields of a form say about the signature of its policy:
// x-amz-algorithm, x-amz-credential and x-amz-date. The error is ErrIncomplete or
// ErrMismatch, wrapped.
func ParseForm(algorithmName, credential, date string) (Request, error) {
	if algorithmName != algorithm {
		return Request{}, fmt.Errorf("%w: x-amz-algorithm is not %s", ErrIncomplete, algorithm)
	}
	at, err := parseDate(date)
	if err != nil {
		return Request{}, err
	}
	q := Request{Date: at}
	return q, q.setCredential(credential)
}

// VerifyTextV2 is VerifyText for a text that was signed with version 2. The error is
// ErrMismatch.
func VerifyTextV2(secret Secret, text, signature string) error {
	h := hmac.New(sha1.New, []byte(secret.Reveal()))
	h.Write([]byte(text))
	if !hmac.Equal([]byte(base64.StdEncoding.EncodeToString(h.Sum(nil))), []byte(signature)) {
		return ErrMismatch
	}
	return nil
}
