package diskimage

import (
	"errors"
	"fmt"
)

// Class says what kind of fault a FormatError reports. The import service
// derives the task's failure text from it.
type Class uint8

// The classes.
const (
	// NotFormat: the content is not of this format at all.
	NotFormat Class = iota + 1
	// Malformed: it is of this format, and damaged or crafted.
	Malformed
	// Truncated: it ends before what it promises.
	Truncated
	// Unsupported: a valid image of a kind that is not read here.
	Unsupported
	// External: its data is elsewhere (in a backing file, a parent, or an extent
	// that is a file).
	External
	// Limit: it asks for more than the Limits allow.
	Limit
)

func (c Class) String() string {
	switch c {
	case NotFormat:
		return "not this format"
	case Malformed:
		return "malformed"
	case Truncated:
		return "truncated"
	case Unsupported:
		return "unsupported"
	case External:
		return "external reference"
	case Limit:
		return "limit exceeded"
	}
	return "invalid class"
}

// Faults for which clients of the import service expect a text of their own.
// A FormatError wraps them.
var (
	// ErrFootersDiffer: a VHD's footer and its copy disagree.
	ErrFootersDiffer = errors.New("footers not identical")
	// ErrInflatedLength: a compressed grain or cluster does not expand to its size.
	ErrInflatedLength = errors.New("uncompressed data has an invalid length")
	// ErrEmpty: the object holds no bytes.
	ErrEmpty = errors.New("empty object")
)

// FormatError reports a fault of an image: in which structure, and where.
type FormatError struct {
	Format    string // "vmdk"
	Structure string // "grain table 17"
	Field     string // "entry 3"; may be empty
	Offset    int64  // absolute, in the object, of the field or structure
	Value     uint64 // the offending value, when HasValue
	HasValue  bool
	Reason    string // "points past end of file (0x7fffffff00 > 0x1200000)"
	Class     Class
	Err       error // wrapped sentinel or cause; may be nil
}

func (e *FormatError) Error() string {
	s := fmt.Sprintf("%s: %s at offset %#x", e.Format, e.Structure, e.Offset)
	if e.Field != "" {
		s += ": " + e.Field
		if e.HasValue {
			s += fmt.Sprintf(" = %#x", e.Value)
		}
	}
	s += ": " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the wrapped sentinel or cause.
func (e *FormatError) Unwrap() error { return e.Err }
