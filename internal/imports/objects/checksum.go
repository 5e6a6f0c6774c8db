package objects

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"hash/crc32"

	"github.com/minio/crc64nvme"
)

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

// DefaultChecksum is the algorithm of the checksum that an object gets whose client gives
// none, as at AWS.
const DefaultChecksum = CRC64NVME

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

// Known reports whether a is one of the algorithms.
func (a Algorithm) Known() bool { return a.newHash() != nil }

// Linear reports whether the checksum of a whole follows from those of its parts, so
// that an upload may have a checksum of type FullObject.
func (a Algorithm) Linear() bool { return a == CRC32 || a == CRC32C || a == CRC64NVME }

// newHash returns a hash whose Sum is the checksum; nil for an unknown algorithm.
func (a Algorithm) newHash() hash.Hash {
	switch a {
	case CRC32:
		return crc32.NewIEEE()
	case CRC32C:
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case CRC64NVME:
		return crc64nvme.New()
	case SHA1:
		return sha1.New()
	case SHA256:
		return sha256.New()
	}
	return nil
}

// checksumOf returns the checksum of bytes by its digest; zero if there is none.
func checksumOf(a Algorithm, digest []byte) Checksum {
	if digest == nil {
		return Checksum{}
	}
	return Checksum{Algorithm: a, Type: FullObject, Value: base64.StdEncoding.EncodeToString(digest)}
}

// digest is a CRC and the number of bytes that it is of.
type digest struct {
	crc  uint64
	size int64
}

// bytes returns the CRC as a big-endian number of n bytes.
func (d digest) bytes(n int) []byte {
	return binary.BigEndian.AppendUint64(nil, d.crc)[8-n:]
}

func bigEndian(b []byte) (n uint64) {
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	return n
}

// Reflected polynomials of the CRCs.
const (
	polyCRC32     = crc32.IEEE
	polyCRC32C    = crc32.Castagnoli
	polyCRC64NVME = 0x9a6c9329ac4bc9b5
)

// combine returns the CRC of what first and then are of, one after the other: the CRC
// of first, carried over as many zero bytes as then has, and that of then. (All three
// are inverted at both ends, which cancels out.)
func (a Algorithm) combine(first, then digest) digest {
	poly := map[Algorithm]uint64{CRC32: polyCRC32, CRC32C: polyCRC32C, CRC64NVME: polyCRC64NVME}[a]
	width := 32
	if a == CRC64NVME {
		width = 64
	}
	return digest{crc: carry(poly, width, first.crc, then.size) ^ then.crc, size: first.size + then.size}
}

// carry multiplies a CRC by x to the power of 8n, modulo the polynomial. Numbers are
// reflected: the highest bit is the coefficient of x to the power of 0.
func carry(poly uint64, width int, crc uint64, n int64) uint64 {
	power := uint64(1) << (width - 1 - 8) // x to the power of 8
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			crc = multiply(poly, width, crc, power)
		}
		power = multiply(poly, width, power, power)
	}
	return crc
}

// multiply multiplies two reflected polynomials modulo a third.
func multiply(poly uint64, width int, a, b uint64) (product uint64) {
	for bit := uint64(1) << (width - 1); bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ poly
		} else {
			b >>= 1
		}
	}
	return product
}
