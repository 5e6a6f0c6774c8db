package kms

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/diskport/diskport/internal/awsid"
)

// EncryptionContext holds pairs that a ciphertext is bound to: the same ones must
// be given to decrypt it. They are not secret.
type EncryptionContext map[string]string

// materialVersion is the only version of key material there is.
const materialVersion = 1

const ciphertextMagic = "DPKC\x01"

// header returns the unencrypted start of a ciphertext. Each field of a key's Ref is
// shorter than 256 bytes: an account and an id have a fixed length, and a region is one
// by awsid.IsRegion when its key is made.
func (r Ref) header() []byte {
	b := binary.BigEndian.AppendUint32([]byte(ciphertextMagic), materialVersion)
	for _, field := range []string{r.Account, r.Region, r.ID} {
		b = append(append(b, byte(len(field))), field...)
	}
	return b
}

// parseCiphertext splits a ciphertext into the key that it names and its encrypted
// part. The header is not authenticated yet, so its fields are checked before the
// key is looked up.
func parseCiphertext(blob []byte) (r Ref, ciphertext []byte, err error) {
	bad := failed(ErrInvalidCiphertext, "The ciphertext is invalid.")
	const fixed = len(ciphertextMagic) + 4
	if len(blob) < fixed || string(blob[:len(ciphertextMagic)]) != ciphertextMagic ||
		binary.BigEndian.Uint32(blob[len(ciphertextMagic):]) != materialVersion {
		return r, nil, bad
	}
	rest := blob[fixed:]
	for _, field := range []*string{&r.Account, &r.Region, &r.ID} {
		if len(rest) == 0 || len(rest) < 1+int(rest[0]) {
			return Ref{}, nil, bad
		}
		*field, rest = string(rest[1:1+int(rest[0])]), rest[1+int(rest[0]):]
	}
	if !accountID.MatchString(r.Account) || !awsid.IsRegion(r.Region) || !keyID.MatchString(r.ID) {
		return Ref{}, nil, bad
	}
	return r, rest, nil
}

// associated returns the data that a ciphertext authenticates besides the
// plaintext. Each key and value is preceded by its length, so that no two contexts
// have the same encoding.
func (r Ref) associated(c EncryptionContext) []byte {
	b := r.header()
	for _, key := range slices.Sorted(maps.Keys(c)) {
		for _, text := range []string{key, c[key]} {
			b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
			b = append(b, text...)
		}
	}
	return b
}
