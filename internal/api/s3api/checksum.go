package s3api

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/imports/objects"
)

// algorithm describes a checksum algorithm.
type algorithm struct {
	name      objects.Algorithm
	header    string // x-amz-checksum-…, canonical
	size      int    // of a digest, in bytes
	composite bool   // the checksum of parts may be one over those of the parts
	full      bool   // … or one over all bytes
}

var algorithms = []algorithm{
	{objects.CRC32, "X-Amz-Checksum-Crc32", 4, true, true},
	{objects.CRC32C, "X-Amz-Checksum-Crc32c", 4, true, true},
	{objects.CRC64NVME, "X-Amz-Checksum-Crc64nvme", 8, false, true},
	{objects.SHA1, "X-Amz-Checksum-Sha1", 20, true, false},
	{objects.SHA256, "X-Amz-Checksum-Sha256", 32, true, false},
}

func algorithmNamed(name objects.Algorithm) (algorithm, bool) {
	for _, a := range algorithms {
		if a.name == name {
			return a, true
		}
	}
	return algorithm{}, false
}

// chosenAlgorithm reads the header that names an algorithm, or returns "".
func chosenAlgorithm(h http.Header, header string) (objects.Algorithm, error) {
	text := h.Get(header)
	if text == "" {
		return "", nil
	}
	a, ok := algorithmNamed(objects.Algorithm(strings.ToUpper(text)))
	if !ok {
		return "", invalidRequest("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
	}
	return a.name, nil
}

func severalChecksums() *failure {
	return invalidRequest("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
}

// declaredChecksum returns the checksum that a body must have: in a header, or to
// come in the trailer that is named.
func declaredChecksum(h http.Header) (sum objects.Checksum, trailer string, err error) {
	for _, a := range algorithms {
		if len(h.Values(a.header)) == 0 {
			continue
		}
		if sum.Algorithm != "" {
			return sum, "", severalChecksums()
		}
		sum = objects.Checksum{Algorithm: a.name, Type: objects.FullObject, Value: h.Get(a.header)}
		if err := checkValue(a.name, sum.Value, strings.ToLower(a.header)); err != nil {
			return sum, "", err
		}
	}
	names, err := trailerNames(h)
	if err != nil {
		return sum, "", err
	}
	for _, name := range names {
		for _, a := range algorithms {
			if strings.EqualFold(name, a.header) {
				trailer = name
				if sum.Algorithm != "" {
					return sum, "", severalChecksums()
				}
				sum = objects.Checksum{Algorithm: a.name, Type: objects.FullObject}
			}
		}
		if trailer == "" {
			return sum, "", invalidRequest("The value specified in the x-amz-trailer header is not supported")
		}
	}
	named, err := chosenAlgorithm(h, "X-Amz-Sdk-Checksum-Algorithm")
	switch {
	case err != nil:
		return sum, "", err
	case named != "" && sum.Algorithm == "":
		return sum, "", invalidRequest("x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.")
	case named != "" && named != sum.Algorithm:
		return sum, "", invalidRequest("Value for x-amz-sdk-checksum-algorithm header is invalid.")
	}
	return sum, trailer, nil
}

// checkValue refuses what is no digest of an algorithm.
func checkValue(name objects.Algorithm, value, header string) error {
	a, _ := algorithmNamed(name)
	digest, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(digest) != a.size {
		return invalidRequest("Value for " + header + " header is invalid.")
	}
	return nil
}

// newHash returns the hash of an algorithm, for small documents.
func newHash(name objects.Algorithm) hash.Hash {
	switch name {
	case objects.CRC32:
		return crc32.NewIEEE()
	case objects.CRC32C:
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case objects.CRC64NVME:
		return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5))
	case objects.SHA1:
		return sha1.New()
	}
	return sha256.New()
}

// pieceOf returns what a piece with these bytes would be.
func pieceOf(text []byte, names []objects.Algorithm) objects.Piece {
	p := objects.Piece{Size: int64(len(text)), MD5: md5.Sum(text), Digest: map[objects.Algorithm][]byte{}}
	for _, name := range names {
		h := newHash(name)
		h.Write(text)
		p.Digest[name] = h.Sum(nil)
	}
	return p
}

// showChecksum adds the headers that show a checksum.
func showChecksum(h http.Header, sum objects.Checksum) {
	a, ok := algorithmNamed(sum.Algorithm)
	if !ok || sum.Value == "" {
		return
	}
	h.Set(a.header, sum.Value)
	h.Set("X-Amz-Checksum-Type", string(sum.Type))
}

// checksumXML holds the elements that show a checksum.
type checksumXML struct {
	ChecksumCRC32     string `xml:",omitempty"`
	ChecksumCRC32C    string `xml:",omitempty"`
	ChecksumCRC64NVME string `xml:",omitempty"`
	ChecksumSHA1      string `xml:",omitempty"`
	ChecksumSHA256    string `xml:",omitempty"`
	ChecksumType      string `xml:",omitempty"`
}

// set returns the field for an algorithm.
func (x *checksumXML) field(name objects.Algorithm) *string {
	return map[objects.Algorithm]*string{
		objects.CRC32: &x.ChecksumCRC32, objects.CRC32C: &x.ChecksumCRC32C, objects.CRC64NVME: &x.ChecksumCRC64NVME,
		objects.SHA1: &x.ChecksumSHA1, objects.SHA256: &x.ChecksumSHA256,
	}[name]
}

// checksumElements returns a checksum as elements, without its type.
func checksumElements(sum objects.Checksum) checksumXML {
	var x checksumXML
	if field := x.field(sum.Algorithm); field != nil {
		*field = sum.Value
	}
	return x
}

// given returns the one checksum that is there, or "".
func (x *checksumXML) given() string {
	for _, a := range algorithms {
		if value := *x.field(a.name); value != "" {
			return value
		}
	}
	return ""
}

// checksumType reads the type that an upload's checksum is to have.
func checksumType(h http.Header, name objects.Algorithm) (objects.ChecksumType, error) {
	a, _ := algorithmNamed(name)
	switch kind := objects.ChecksumType(strings.ToUpper(h.Get("X-Amz-Checksum-Type"))); {
	case kind == "" && name == "":
		return "", nil
	case kind == "" && a.composite:
		return objects.Composite, nil
	case kind == "":
		return objects.FullObject, nil
	case name == "":
		return "", invalidRequest("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
	case kind == objects.Composite && a.composite, kind == objects.FullObject && a.full:
		return kind, nil
	case kind == objects.Composite || kind == objects.FullObject:
		return "", invalidRequest("The " + string(kind) + " checksum type cannot be used with the " + strings.ToLower(string(name)) + " checksum algorithm.")
	}
	return "", invalidRequest(unknownValue("x-amz-checksum-type"))
}

// sizeHeader reads a header that has a number of bytes, or returns -1.
func sizeHeader(h http.Header, name string) (int64, error) {
	text := h.Get(name)
	if text == "" {
		return -1, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, invalidRequest(unknownValue(strings.ToLower(name)))
	}
	return n, nil
}
