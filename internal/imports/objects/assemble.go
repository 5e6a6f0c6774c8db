package objects

import (
	"cmp"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
)

// MaxObject is the size of the largest object, in bytes.
const MaxObject = 5 << 40

// Assembled is what becomes of an upload.
type Assembled struct {
	Size     int64 // bytes
	ETag     string
	Checksum Checksum
	Parts    []Part // that the object is made of, in order
}

// Assemble checks a completion against the parts that were uploaded, which are in the
// order of their numbers, and returns the object that they make. Stores call it inside
// the transaction. *PartError, ErrPartOrder, *SmallPartError, ErrTooLarge, *SizeError,
// ErrChecksum, *ChecksumTypeError.
func Assemble(c Completion, u Upload, uploaded []Part) (Assembled, error) {
	// An upload without a checksum gets a full one.
	if kind := cmp.Or(u.ChecksumType, FullObject); c.Checksum.Type != "" && c.Checksum.Type != kind {
		return Assembled{}, &ChecksumTypeError{kind}
	}
	parts, err := choose(c.Parts, uploaded)
	if err != nil {
		return Assembled{}, err
	}
	a := Assembled{Parts: parts}
	for i, p := range parts {
		if p.Size < MinPart && i < len(parts)-1 {
			return Assembled{}, &SmallPartError{Number: p.Number, ETag: p.ETag, Size: p.Size, Min: MinPart}
		}
		a.Size += p.Size
	}
	if a.Size > MaxObject {
		return Assembled{}, ErrTooLarge
	}
	if c.Size >= 0 && c.Size != a.Size {
		return Assembled{}, &SizeError{a.Size, c.Size}
	}
	a.ETag = compositeETag(parts)
	if a.Checksum, err = assembleChecksum(u, parts); err != nil {
		return Assembled{}, err
	}
	if want := c.Checksum; want.Value != "" && (want.Algorithm != a.Checksum.Algorithm || want.Value != a.Checksum.Value) {
		return Assembled{}, fmt.Errorf("the parts have the checksum %s, not %s: %w", a.Checksum.Value, want.Value, ErrChecksum)
	}
	return a, nil
}

// choose returns the parts that a completion names.
func choose(named []CompletedPart, uploaded []Part) ([]Part, error) {
	if len(named) == 0 || len(named) > MaxParts {
		return nil, ErrPartOrder
	}
	for i := 1; i < len(named); i++ {
		if named[i].Number <= named[i-1].Number {
			return nil, ErrPartOrder // before any is looked up, as at AWS
		}
	}
	parts := make([]Part, len(named))
	for i, n := range named {
		at, ok := slices.BinarySearchFunc(uploaded, n.Number, func(p Part, number int) int { return p.Number - number })
		if !ok || unquoted(n.ETag) != uploaded[at].ETag || n.Checksum != "" && n.Checksum != uploaded[at].Checksum.Value {
			return nil, &PartError{n.Number, n.ETag}
		}
		parts[i] = uploaded[at]
	}
	return parts, nil
}

// compositeETag is S3's ETag of an object of parts: the MD5 of their MD5s.
func compositeETag(parts []Part) string {
	sum := md5.New()
	for _, p := range parts {
		if one, err := hex.DecodeString(p.ETag); err == nil {
			sum.Write(one)
		} else {
			sum.Write([]byte(p.ETag)) // no MD5 of ours
		}
	}
	return fmt.Sprintf("%x-%d", sum.Sum(nil), len(parts))
}

// assembleChecksum returns the checksum of an object of parts. It has none if the client
// asked for none and gave those of parts by another algorithm than the default.
func assembleChecksum(u Upload, parts []Part) (Checksum, error) {
	if u.Algorithm == "" {
		if slices.ContainsFunc(parts, func(p Part) bool { return p.Checksum.Algorithm != DefaultChecksum }) {
			return Checksum{}, nil
		}
		u.Algorithm, u.ChecksumType = DefaultChecksum, FullObject
	}
	var whole digest
	sum := u.Algorithm.newHash()
	for i, p := range parts {
		one, err := base64.StdEncoding.DecodeString(p.Checksum.Value)
		if err != nil || p.Checksum.Algorithm != u.Algorithm || len(one) != sum.Size() {
			return Checksum{}, &PartError{p.Number, p.ETag}
		}
		if u.ChecksumType == Composite {
			sum.Write(one)
			continue
		}
		d := digest{crc: bigEndian(one), size: p.Size}
		if i == 0 {
			whole = d
		} else {
			whole = u.Algorithm.combine(whole, d)
		}
	}
	if u.ChecksumType == Composite {
		value := base64.StdEncoding.EncodeToString(sum.Sum(nil))
		return Checksum{u.Algorithm, Composite, fmt.Sprintf("%s-%d", value, len(parts))}, nil
	}
	return Checksum{u.Algorithm, FullObject, base64.StdEncoding.EncodeToString(whole.bytes(sum.Size()))}, nil
}
