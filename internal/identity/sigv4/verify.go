package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// emptyHash is the hex SHA-256 of no bytes, the payload of a presigned request
// to any service but S3.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// HashBody returns the hex SHA-256 of body, in the form Verify takes.
func HashBody(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// Verify checks the date against now and the signature against secret.
//
// bodyHash is the hex SHA-256 of the body as received (HashBody). Pass "" if the
// body has not been read (S3 uploads): then a declared hash is taken on trust here,
// and whoever reads the body must compare it with PayloadHash. The error is
// ErrExpired, ErrMismatch or ErrIncomplete, wrapped.
func (q Request) Verify(secret Secret, now time.Time, bodyHash string) error {
	if err := q.CheckDate(now); err != nil {
		return err
	}
	payload, err := q.payload(bodyHash)
	if err != nil {
		return err
	}
	want := hex.EncodeToString(q.sign(secret, payload))
	if !hmac.Equal([]byte(want), []byte(q.signature)) {
		return fmt.Errorf("verifying the request of key %.32q: %w", q.AccessKeyID, ErrMismatch)
	}
	return nil
}

// CheckDate checks the date against now. The error is ErrExpired, wrapped.
func (q Request) CheckDate(now time.Time) error {
	life := maxSkew
	if q.Presigned {
		life = q.Expires
	}
	if q.Date.Sub(now) > maxSkew || now.Sub(q.Date) > life {
		return fmt.Errorf("%w: signed at %s, now it is %s", ErrExpired, q.Date.Format(dateForm), now.UTC().Format(dateForm))
	}
	return nil
}

// payload returns the last line of the canonical request.
func (q Request) payload(bodyHash string) (string, error) {
	declared := q.PayloadHash
	switch {
	case declared == "" && q.Presigned && q.Service == "s3":
		return UnsignedPayload, nil
	case declared == "" && q.Presigned && bodyHash == "":
		return emptyHash, nil
	case declared == "" && bodyHash == "":
		return "", ErrNoHash
	case declared == "":
		return bodyHash, nil
	case declared == UnsignedPayload, strings.HasPrefix(declared, StreamingPrefix):
		if !mayLeaveUnsigned(q.Service) {
			return "", fmt.Errorf("%w: service %.32q needs a signed payload", ErrMismatch, q.Service)
		}
	case bodyHash != "" && declared != bodyHash:
		return "", fmt.Errorf("%w: X-Amz-Content-Sha256 is not the hash of the body", ErrMismatch)
	}
	return declared, nil
}

// mayLeaveUnsigned names the services whose API has operations with unsigned
// bodies: S3's uploads, and PutSnapshotBlock, which has its own checksum.
func mayLeaveUnsigned(service string) bool { return service == "s3" || service == "ebs" }

func (q Request) sign(secret Secret, payload string) []byte {
	canonical := strings.Join([]string{
		q.method, q.path, q.query, q.headers, strings.Join(q.SignedHeaders, ";"), payload,
	}, "\n")
	toSign := strings.Join([]string{
		algorithm, q.Date.Format(dateForm), q.scope, HashBody([]byte(canonical)),
	}, "\n")
	return mac(q.signingKey(secret), toSign)
}

// signingKey derives the key of q's scope.
func (q Request) signingKey(secret Secret) []byte {
	key := []byte("AWS4" + secret.Reveal())
	for part := range strings.SplitSeq(q.scope, "/") {
		key = mac(key, part)
	}
	return key
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
