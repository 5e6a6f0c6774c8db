package ova

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

const (
	maxOVF   = 8 << 20 // bytes; an envelope of many machines has 4 MB
	maxDepth = 64
	maxItems = 1000 // files, and disks
)

// fileRef and diskRef are elements of the OVF, with their attributes as written.
type fileRef struct {
	id, href, compression string
	size, chunk           string
}

type diskRef struct {
	id, file, parent string
	capacity, units  string
}

// envelope is the part of an OVF that is used.
type envelope struct {
	part   bounded.Part
	folder string             // of the OVF in the archive, with a slash; "" for none
	exact  bool               // offsets in the text that is parsed are those in part
	files  map[string]fileRef // by id
	disks  []diskRef

	firmware string // as written: "efi", "EFI64", "bios"; empty: not said
	guest    string // what the machine runs, as written: "ubuntu64Guest"; empty: not said

	warnings []string
}

// parseOVF reads the description. It can't refer to anything else: a DTD, and with
// it every entity, is refused.
func parseOVF(p bounded.Part) (*envelope, error) {
	text, warning := decode(p.Data)
	e := &envelope{part: p, files: map[string]fileRef{}}
	if warning != "" {
		e.warnings = append(e.warnings, "of the OVF: "+warning)
	}
	if e.exact = bytes.HasSuffix(p.Data, text); e.exact { // it lacks the declaration at most
		e.part.Off += int64(len(p.Data) - len(text))
	}
	e.part.Data = text
	if err := e.part.CheckTags(); err != nil {
		return nil, err
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	var path []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, e.fault(diskimage.Malformed, d, "no XML: %s", bounded.Printable(err.Error()))
		}
		switch t := token.(type) {
		case xml.Directive:
			return nil, e.fault(diskimage.Malformed, d, "a document type or the like, which an OVF has not")
		case xml.StartElement:
			if path = append(path, t.Name.Local); len(path) > maxDepth {
				return nil, e.fault(diskimage.Limit, d, "more than %d elements deep", maxDepth)
			}
			if err := e.element(d, strings.Join(path, "/"), t.Attr); err != nil {
				return nil, err
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		}
	}
	return e, nil
}

// element takes the files, the disks, and what is said of the machine, and passes over
// everything else.
func (e *envelope) element(d *xml.Decoder, path string, attrs []xml.Attr) error {
	get := func(name string) string {
		for _, a := range attrs {
			if a.Name.Local == name {
				return a.Value
			}
		}
		return ""
	}
	switch path {
	case "Envelope/References/File":
		f := fileRef{id: get("id"), href: get("href"), compression: get("compression"), size: get("size"), chunk: get("chunkSize")}
		if _, twice := e.files[f.id]; twice {
			return e.fault(diskimage.Malformed, d, "two files have the id %q", bounded.Printable(f.id))
		}
		e.files[f.id] = f
	case "Envelope/DiskSection/Disk":
		e.disks = append(e.disks, diskRef{
			id: get("diskId"), file: get("fileRef"), parent: get("parentRef"),
			capacity: get("capacity"), units: get("capacityAllocationUnits"),
		})
	case "Envelope/VirtualSystem/OperatingSystemSection": // VMware
		e.guest = cmp.Or(e.guest, get("osType"))
	case "Envelope/VirtualSystem/Machine": // VirtualBox
		e.guest = cmp.Or(e.guest, get("OSType"))
	case "Envelope/VirtualSystem/VirtualHardwareSection/Config": // VMware
		if get("key") == "firmware" {
			e.firmware = cmp.Or(e.firmware, get("value"))
		}
	case "Envelope/VirtualSystem/Machine/Hardware/Firmware": // VirtualBox
		e.firmware = cmp.Or(e.firmware, get("type"))
	}
	if len(e.files) > maxItems || len(e.disks) > maxItems {
		return e.fault(diskimage.Limit, d, "more than %d files or disks", maxItems)
	}
	return nil
}

// fault reports a fault of the text where it was read up to.
func (e *envelope) fault(c diskimage.Class, d *xml.Decoder, reason string, args ...any) error {
	f := e.part.Fault(c, reason, args...)
	if e.exact {
		f.Offset += d.InputOffset()
	}
	return f
}

// capacity returns the bytes that the OVF gives the disk, 0 when it gives none.
func (e *envelope) capacity(d diskRef) (int64, error) {
	if d.capacity == "" {
		return 0, nil
	}
	unit, ok := units(d.units)
	if !ok {
		return 0, e.attribute(diskimage.Malformed, "capacityAllocationUnits", d.units, "no unit")
	}
	if strings.HasPrefix(d.capacity, "${") {
		return 0, e.attribute(diskimage.Unsupported, "capacity", d.capacity, "to be asked for when the machine is made")
	}
	n, err := strconv.ParseInt(d.capacity, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return 0, e.attribute(diskimage.Malformed, "capacity", d.capacity, "no size of a disk")
	}
	return n * unit, nil
}

func (e *envelope) attribute(c diskimage.Class, name, value, reason string) error {
	f := e.part.Fault(c, "is %q, %s", bounded.Printable(value), reason)
	f.Field = name
	return f
}

// units reads "byte", "byte * 2^30", "byte * 1024", and older names.
func units(s string) (int64, bool) {
	s = strings.Join(strings.Fields(s), "")
	switch s {
	case "", "byte", "Bytes":
		return 1, true
	case "KiloBytes":
		return 1 << 10, true
	case "MegaBytes":
		return 1 << 20, true
	case "GigaBytes":
		return 1 << 30, true
	}
	factor, ok := strings.CutPrefix(s, "byte*")
	if power, is := strings.CutPrefix(factor, "2^"); ok && is {
		n, err := strconv.ParseUint(power, 10, 8)
		return int64(1) << min(n, 40), err == nil && n <= 40
	}
	n, err := strconv.ParseInt(factor, 10, 64)
	return n, ok && err == nil && n > 0 && n <= 1<<40
}
