package qcow2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// Types of extensions.
const (
	endOfExtensions  = 0
	extBackingFormat = 0xe2792aca
	extFeatureNames  = 0x6803f857
	extLUKS          = 0x0537be77
	extDataFile      = 0x44415441
)

// maxExtensions bounds how many are looked at; writers have five.
const maxExtensions = 256

// extension is the data of one extension.
type extension struct{ bounded.Part }

// text is the data as a name for an error.
func (e extension) text() string {
	return fmt.Sprintf("%q", bounded.Printable(string(bytes.TrimRight(e.Data, "\x00"))))
}

// extensions are those that are used; each may be nil.
type extensions struct {
	backingFormat, dataFile, luks, featureNames *extension
}

// readExtensions walks what follows the header in its cluster, as much of it as
// was read.
func (h header) readExtensions(src bounded.Source) (extensions, error) {
	var found extensions
	data := h.part.Data[:min(int64(len(h.part.Data)), h.cluster())]
	for at, n := int64(h.length), 0; at+8 <= int64(len(data)); n++ {
		kind := binary.BigEndian.Uint32(data[at:])
		length := int64(binary.BigEndian.Uint32(data[at+4:]))
		if kind == endOfExtensions {
			break
		}
		if n == maxExtensions {
			return found, src.NewPart("header extension", at, nil).Fault(diskimage.Limit, "more than %d of them", maxExtensions)
		}
		if length > int64(len(data))-at-8 {
			field := bounded.Field{Name: "length", At: 4, Value: uint64(length)}
			return found, src.NewPart("header extension", at, nil).FieldFault(diskimage.Malformed, field, "more than the %d bytes left", int64(len(data))-at-8)
		}
		found.keep(kind, &extension{src.NewPart("header extension", at, data[at+8:at+8+length])})
		at += 8 + (length+7)/8*8
	}
	return found, nil
}

func (x *extensions) keep(kind uint32, e *extension) {
	switch kind {
	case extBackingFormat:
		x.backingFormat = e
	case extDataFile:
		x.dataFile = e
	case extLUKS:
		x.luks = e
	case extFeatureNames:
		x.featureNames = e
	}
}

// names lists the incompatible features in mask, by the names that the image
// has for them, or their numbers.
func (x extensions) names(mask uint64) string {
	var all []string
	for bit := range 64 {
		if mask>>bit&1 == 1 {
			all = append(all, x.name(byte(bit)))
		}
	}
	return strings.Join(all, ", ")
}

func (x extensions) name(bit byte) string {
	const entry = 48 // kind (0 is incompatible), bit, name
	if x.featureNames != nil {
		for p := x.featureNames.Data; len(p) >= entry; p = p[entry:] {
			if name, _, _ := bytes.Cut(p[2:entry], []byte{0}); p[0] == 0 && p[1] == bit && len(name) > 0 {
				return fmt.Sprintf("bit %d (%s)", bit, bounded.Printable(string(name)))
			}
		}
	}
	return fmt.Sprintf("bit %d", bit)
}
