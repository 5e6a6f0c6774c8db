package vmdk

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// descriptor is the text that describes a disk.
type descriptor struct {
	part    bounded.Part
	values  map[string]string // by lower-case key
	extents []extent
	assumed string // a warning about the createType, which the header decides; "" for none
}

// byteOrderMark is put by some editors in front of text in UTF-8.
const byteOrderMark = "\ufeff"

// extent is an extent line.
type extent struct {
	at      int64 // of the line, in the descriptor
	access  string
	sectors uint64
	kind    string // upper case: SPARSE, FLAT, …
	name    string // as it is in the text: anything
	start   string // sector of the file where the extent begins; may be missing
}

// isDescriptor reports whether text begins as a descriptor does: after blank and
// comment lines, with a version. Not all writers begin with the usual comment.
func isDescriptor(text []byte) bool {
	text = bytes.TrimPrefix(text, []byte(byteOrderMark))
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(string(line), "=")
		return ok && strings.EqualFold(strings.TrimSpace(key), "version") && strings.TrimSpace(value) != ""
	}
	return false
}

// parseDescriptor reads the text up to its first NUL.
func parseDescriptor(p bounded.Part) (descriptor, error) {
	text, _, _ := bytes.Cut(p.Data, []byte{0})
	d := descriptor{part: p, values: map[string]string{}}
	if !isDescriptor(text) {
		return d, p.Fault(diskimage.Malformed, "does not begin with a version")
	}
	at := int64(0)
	if rest, marked := bytes.CutPrefix(text, []byte(byteOrderMark)); marked {
		text, at = rest, int64(len(byteOrderMark))
	}
	for line := range bytes.Lines(text) {
		if err := d.line(string(line), at); err != nil {
			return d, err
		}
		at += int64(len(line))
	}
	return d, nil
}

// line takes one line. A line that is neither an assignment nor an extent is
// ignored; none is known.
func (d *descriptor) line(line string, at int64) error {
	s := strings.TrimSpace(line)
	if words := strings.Fields(s); len(words) > 0 {
		switch words[0] {
		case "RW", "RDONLY", "NOACCESS":
			if !strings.HasSuffix(line, "\n") {
				return d.fault(diskimage.Truncated, "extent", at, "the text ends in it")
			}
			return d.extent(words, s, at)
		}
	}
	key, value, ok := strings.Cut(s, "=")
	if !ok || strings.HasPrefix(s, "#") {
		return nil
	}
	key = strings.ToLower(strings.TrimSpace(key))
	value = strings.Trim(strings.TrimSpace(value), `"`)
	if old, twice := d.values[key]; twice && old != value {
		return d.fault(diskimage.Malformed, key, at, "said twice, differently")
	}
	d.values[key] = value
	return nil
}

// extent takes an extent line and its words: access, sectors, type, and then a name
// in quotes and a sector, which some types do not have.
func (d *descriptor) extent(words []string, line string, at int64) error {
	if len(words) < 3 {
		return d.fault(diskimage.Malformed, "extent", at, "no size and type")
	}
	n, err := strconv.ParseUint(words[1], 10, 63)
	if err != nil || n == 0 {
		return d.fault(diskimage.Malformed, "extent", at, "its size is %q sectors", bounded.Printable(words[1]))
	}
	e := extent{at: at, access: words[0], sectors: n, kind: strings.ToUpper(bounded.Printable(words[2]))}
	_, rest, named := strings.Cut(line, `"`)
	e.name, rest, _ = strings.Cut(rest, `"`)
	if named && strings.Count(line, `"`) < 2 {
		return d.fault(diskimage.Malformed, "extent", at, "its name does not end")
	}
	if after := strings.Fields(rest); len(after) > 0 {
		e.start = after[0]
	}
	d.extents = append(d.extents, e)
	return nil
}

// creator returns the program that made the image, if the descriptor names it.
func (d descriptor) creator() string {
	for _, key := range []string{"ddb.toolsVersion", "ddb.virtualHWVersion"} {
		if v := d.values[strings.ToLower(key)]; v != "" {
			return strings.TrimPrefix(key, "ddb.") + " " + bounded.Printable(v)
		}
	}
	return ""
}

// fault returns a fault of the text at an offset in it.
func (d descriptor) fault(c diskimage.Class, field string, at int64, reason string, args ...any) *diskimage.FormatError {
	e := d.part.Fault(c, reason, args...)
	e.Field, e.Offset = field, d.part.Off+at
	return e
}
