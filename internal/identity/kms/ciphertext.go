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

const (
	ciphertextMagic = "DPKC\x01"
	maxVersion      = 1 << 20 // far more than a key is ever rotated
)

// header returns the unencrypted start of a ciphertext under a version of a key's
// material. Each field of a key's Ref is
// shorter than 256 bytes: an account and an id have a fixed length, and a region is one
// by awsid.IsRegion when its key is made.
func (r Ref) header(version int) []byte {
	b := binary.BigEndian.AppendUint32([]byte(ciphertextMagic), uint32(version))
	for _, field := range []string{r.Account, r.Region, r.ID} {
		b = append(append(b, byte(len(field))), field...)
	}
	return b
}

// parseCiphertext splits a ciphertext into the key that it names, the version of the
// key's material, and its encrypted part. The header is not authenticated yet, so its fields are checked before the
// key is looked up.
func parseCiphertext(blob []byte) (r Ref, version int, ciphertext []byte, err error) {
	bad := failed(ErrInvalidCiphertext, "The ciphertext is invalid.")
	const fixed = len(ciphertextMagic) + 4
	if len(blob) < fixed || string(blob[:len(ciphertextMagic)]) != ciphertextMagic {
		return r, 0, nil, bad
	}
	stored := binary.BigEndian.Uint32(blob[len(ciphertextMagic):])
	if stored < 1 || stored > maxVersion {
		return r, 0, nil, bad
	}
	rest := blob[fixed:]
	for _, field := range []*string{&r.Account, &r.Region, &r.ID} {
		if len(rest) == 0 || len(rest) < 1+int(rest[0]) {
			return Ref{}, 0, nil, bad
		}
		*field, rest = string(rest[1:1+int(rest[0])]), rest[1+int(rest[0]):]
	}
	if !accountID.MatchString(r.Account) || !awsid.IsRegion(r.Region) || !keyID.MatchString(r.ID) {
		return Ref{}, 0, nil, bad
	}
	return r, int(stored), rest, nil
}

// associated returns the data that a ciphertext authenticates besides the
// plaintext. Each key and value is preceded by its length, so that no two contexts
// have the same encoding.
func (r Ref) associated(version int, c EncryptionContext) []byte {
	b := r.header(version)
	for _, key := range slices.Sorted(maps.Keys(c)) {
		for _, text := range []string{key, c[key]} {
			b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
			b = append(b, text...)
		}
	}
	return b
}
