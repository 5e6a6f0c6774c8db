package objects

import "encoding/base64"

// Algorithm is a checksum algorithm by its name in S3. Its text is stored.
type Algorithm string

// The algorithms.
const (
	CRC32     Algorithm = "CRC32"
	CRC32C    Algorithm = "CRC32C"
	CRC64NVME Algorithm = "CRC64NVME"
	SHA1      Algorithm = "SHA1"
	SHA256    Algorithm = "SHA256"
)

// ChecksumType says what a checksum was computed over. Its text is stored.
type ChecksumType string

// The types of checksums.
const (
	FullObject ChecksumType = "FULL_OBJECT" // over the bytes
	Composite  ChecksumType = "COMPOSITE"   // over the checksums of the parts
)

// Checksum is a checksum of an object or a part as S3 shows it. The zero value is
// none.
type Checksum struct {
	Algorithm Algorithm
	Type      ChecksumType
	Value     string // base64; a composite one ends in "-" and the number of parts
}

// checksumOf returns the checksum of bytes by its digest; zero if there is none.
func checksumOf(a Algorithm, digest []byte) Checksum {
	if digest == nil {
		return Checksum{}
	}
	return Checksum{Algorithm: a, Type: FullObject, Value: base64.StdEncoding.EncodeToString(digest)}
}
