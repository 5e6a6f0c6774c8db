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
}

// extent is an extent line. The name and what follows it are not kept but for
// errors: no name is ever opened.
type extent struct {
	at      int64 // of the line, in the descriptor
	access  string
	sectors uint64
	kind    string // upper case: SPARSE, FLAT, …
	name    string // printable
}

// isDescriptor reports whether text begins as a descriptor does: after blank and
// comment lines, with a version. Not all writers begin with the usual comment.
func isDescriptor(text []byte) bool {
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
	for line := range bytes.Lines(text) {
		if err := d.line(strings.TrimSpace(string(line)), at); err != nil {
			return d, err
		}
		at += int64(len(line))
	}
	return d, nil
}

// line takes one line, trimmed. What is neither an assignment nor an extent is
// not known to occur, and ignored.
func (d *descriptor) line(s string, at int64) error {
	if words := strings.Fields(s); len(words) > 0 {
		switch words[0] {
		case "RW", "RDONLY", "NOACCESS":
			return d.extent(words, quoted(s), at)
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

// extent takes the words of an extent line.
func (d *descriptor) extent(words []string, name string, at int64) error {
	if len(words) < 3 {
		return d.fault(diskimage.Malformed, "extent", at, "no size and type")
	}
	n, err := strconv.ParseUint(words[1], 10, 63)
	if err != nil || n == 0 {
		return d.fault(diskimage.Malformed, "extent", at, "its size is %q sectors", bounded.Printable(words[1]))
	}
	d.extents = append(d.extents, extent{
		at: at, access: words[0], sectors: n, kind: strings.ToUpper(bounded.Printable(words[2])), name: name,
	})
	return nil
}

// quoted returns the first quoted word of s, for errors.
func quoted(s string) string {
	_, s, _ = strings.Cut(s, `"`)
	s, _, _ = strings.Cut(s, `"`)
	return bounded.Printable(s)
}

// refused says why disks of a create type are not read here. All that are not in
// it, and not one of the two that are read, are refused too.
var refused = map[string]struct {
	class  diskimage.Class
	reason string
}{
	"monolithicflat":              {diskimage.External, "its data are in another file"},
	"vmfs":                        {diskimage.External, "its data are in another file"},
	"twogbmaxextentsparse":        {diskimage.External, "its data are in other files"},
	"twogbmaxextentflat":          {diskimage.External, "its data are in other files"},
	"2gbmaxextentsparse":          {diskimage.External, "its data are in other files"},
	"2gbmaxextentflat":            {diskimage.External, "its data are in other files"},
	"vmfssparse":                  {diskimage.External, "a snapshot, whose data are in other files"},
	"sesparse":                    {diskimage.Unsupported, "the seSparse format is not read"},
	"fulldevice":                  {diskimage.External, "its data are a device"},
	"partitioneddevice":           {diskimage.External, "its data are a device"},
	"vmfsraw":                     {diskimage.External, "its data are a device"},
	"vmfsrdm":                     {diskimage.External, "its data are a device"},
	"vmfsrawdevicemap":            {diskimage.External, "its data are a device"},
	"vmfspassthroughrdm":          {diskimage.External, "its data are a device"},
	"vmfspassthroughrawdevicemap": {diskimage.External, "its data are a device"},
	"custom":                      {diskimage.External, "its data are in other files"},
}

const (
	sparseType = "monolithicSparse"
	streamType = "streamOptimized"
)

// validateKind checks that the disk stands alone and is of a type that is read
// here, and returns that type.
func (d descriptor) validateKind() (string, error) {
	switch v := d.values["version"]; v {
	case "1", "2", "3", "4":
	default:
		return "", d.fault(diskimage.Unsupported, "version", 0, "%q, want 1 to 4", bounded.Printable(v))
	}
	if hint, ok := d.values["parentfilenamehint"]; ok {
		return "", d.fault(diskimage.External, "parentFileNameHint", 0, "the disk builds upon %q", bounded.Printable(hint))
	}
	if cid, ok := d.values["parentcid"]; ok && !strings.EqualFold(cid, "ffffffff") {
		return "", d.fault(diskimage.External, "parentCID", 0, "the disk builds upon another, %q", bounded.Printable(cid))
	}
	for key := range d.values {
		if strings.HasPrefix(key, "encryption") || strings.HasSuffix(key, "keysafe") || strings.HasPrefix(key, "ddb.iofilters") {
			return "", d.fault(diskimage.Unsupported, bounded.Printable(key), 0, "the disk is encrypted or filtered")
		}
	}
	return d.validateType()
}

func (d descriptor) validateType() (string, error) {
	kind, ok := d.values["createtype"]
	for _, known := range []string{sparseType, streamType} {
		if strings.EqualFold(kind, known) {
			return known, nil
		}
	}
	if !ok {
		return "", d.fault(diskimage.Malformed, "createType", 0, "missing")
	}
	why, known := refused[strings.ToLower(kind)]
	if !known {
		return "", d.fault(diskimage.Unsupported, "createType", 0, "%q is not known", bounded.Printable(kind))
	}
	names := make([]string, 0, 3)
	for _, e := range d.extents[:min(len(d.extents), cap(names))] {
		names = append(names, strconv.Quote(e.name))
	}
	reason := bounded.Printable(kind) + ": " + why.reason
	if len(names) > 0 {
		reason += ", " + strings.Join(names, ", ")
	}
	if len(d.extents) > len(names) {
		reason += ", …"
	}
	return "", d.fault(why.class, "createType", 0, "%s", reason)
}

// validateExtents checks that the disk is the one sparse extent of the size in
// sectors that the descriptor is embedded in.
func (d descriptor) validateExtents(capacity uint64) error {
	if len(d.extents) != 1 {
		return d.fault(diskimage.Malformed, "extents", 0, "%d of them, want the one that this is embedded in", len(d.extents))
	}
	e := d.extents[0]
	switch {
	case e.kind != "SPARSE":
		return d.fault(diskimage.External, "extent", e.at, "of type %s in another file, %q", e.kind, e.name)
	case e.access == "NOACCESS":
		return d.fault(diskimage.Unsupported, "extent", e.at, "not to be accessed")
	case e.sectors != capacity:
		return d.fault(diskimage.Malformed, "extent", e.at, "of %d sectors, the header says %d", e.sectors, capacity)
	}
	return nil
}

// creator names the producer as far as the descriptor does.
func (d descriptor) creator() string {
	for _, key := range []string{"ddb.toolsVersion", "ddb.virtualHWVersion"} {
		if v := d.values[strings.ToLower(key)]; v != "" {
			return strings.TrimPrefix(key, "ddb.") + " " + bounded.Printable(v)
		}
	}
	return ""
}

// fault returns a fault of the text at an offset in it.
func (d descriptor) fault(c diskimage.Class, field string, at int64, reason string, args ...any) error {
	e := d.part.Fault(c, reason, args...)
	e.Field, e.Offset = field, d.part.Off+at
	return e
}
