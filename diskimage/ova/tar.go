package ova

import (
	"bytes"
	"path"
	"strconv"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

const (
	format     = "ova"
	block      = 512
	maxMembers = 1000
	maxName    = 4096     // bytes of a GNU long name
	maxPax     = 64 << 10 // bytes of pax records
	maxExtra   = 4        // headers about one member besides its own
	window     = 64 << 10 // read at once for headers that lie close to each other
)

// member is a file in the archive.
type member struct {
	name string
	off  int64 // of its data
	size int64

	isSparse bool
	sparse   []segment // what of it is stored, when it is sparse
}

// archive is the members of a tar, by name.
type archive struct {
	src      bounded.Source
	members  map[string]member
	folded   map[string]bool // names in lower case
	warnings []string

	held bounded.Part // the last window read
}

// readArchive hops from header to header.
func readArchive(src bounded.Source) (*archive, error) {
	a := &archive{src: src, members: map[string]member{}, folded: map[string]bool{}}
	var next overrides
	extra := 0
	for off := int64(0); ; {
		if off >= src.Size {
			a.warnings = append(a.warnings, "the archive has no end mark")
			return a, nil
		}
		p, err := a.block(off)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(p.Data, make([]byte, block)) {
			return a, nil
		}
		h, err := parseHeader(p)
		if err != nil {
			return nil, err
		}
		if next.sized {
			h.size = next.size
		}
		if h.kind == 'x' || h.kind == 'g' || h.kind == 'L' {
			if extra++; extra > maxExtra {
				return nil, p.Fault(diskimage.Limit, "more than %d headers about one member", maxExtra)
			}
			if err := src.Check("member", off+block, h.size); err != nil {
				return nil, err
			}
			if err := a.override(&next, h, off+block); err != nil {
				return nil, err
			}
			off += block + (h.size+block-1)/block*block
			continue
		}
		n, err := a.take(p, h, next, off+block)
		if err != nil {
			return nil, err
		}
		next, extra = overrides{}, 0
		off += block + n
	}
}

// take notes the member whose header is p and whose data begin at an offset, and
// returns how many bytes of the archive they take.
func (a *archive) take(p bounded.Part, h header, next overrides, off int64) (int64, error) {
	name := h.name
	if next.name != "" {
		name = next.name
	}
	m, n := member{name: name, off: off, size: h.size}, (h.size+block-1)/block*block
	var err error
	switch {
	case h.kind == 'S':
		m, n, err = a.oldSparse(p, h, name, off)
	case h.kind != 0 && h.kind != '0' && h.kind != '7' && h.kind != '5' && h.kind != 'V':
		return 0, p.FieldFault(diskimage.Unsupported, bounded.Field{Name: "type", At: 156, Value: uint64(h.kind)}, "not a plain file")
	default:
		if err := a.src.Check("member", off, h.size); err != nil {
			return 0, err
		}
		if next.sparse {
			m, err = a.paxSparse(p, h, next, off)
		}
	}
	if err == nil && h.kind != '5' && h.kind != 'V' { // a folder, and the archive's own name
		err = a.add(p, m)
	}
	return n, err
}

// block returns the header at off, from a window where it lies in the last one.
func (a *archive) block(off int64) (bounded.Part, error) {
	if at := off - a.held.Off; at < 0 || at+block > int64(len(a.held.Data)) {
		var err error
		if a.held, err = a.src.Part("header", off, max(min(window, a.src.Size-off), block)); err != nil {
			return bounded.Part{}, err
		}
	}
	at := off - a.held.Off
	return a.src.NewPart("header", off, a.held.Data[at:at+block]), nil
}

// overrides are the values that headers give for the member that follows.
type overrides struct {
	name  string
	size  int64
	sized bool

	sparse     bool   // the member is sparse, of the pax form 1.0
	sparseName string // its name; the header has another
	sparseSize int64  // bytes
}

type header struct {
	name string
	size int64
	kind byte
}

func parseHeader(p bounded.Part) (header, error) {
	h := header{name: text(p.Data[:100]), kind: p.Data[156]}
	if string(p.Data[257:263]) == "ustar\x00" {
		if prefix := text(p.Data[345:500]); prefix != "" {
			h.name = prefix + "/" + h.name
		}
	}
	want, err := strconv.ParseUint(strings.Trim(text(p.Data[148:156]), " "), 8, 32)
	sum := uint64(8 * ' ')
	for i, b := range p.Data {
		if i < 148 || i >= 156 {
			sum += uint64(b)
		}
	}
	if err != nil || sum != want {
		return h, p.FieldFault(diskimage.Malformed, bounded.Field{Name: "checksum", At: 148, Value: want}, "want %#x", sum)
	}
	var ok bool
	if h.size, ok = number(p.Data[124:136]); !ok {
		return h, p.FieldFault(diskimage.Malformed, bounded.Field{Name: "size", At: 124}, "no size of a file")
	}
	return h, nil
}

// text returns p up to its first NUL.
func text(p []byte) string {
	p, _, _ = bytes.Cut(p, []byte{0})
	return string(p)
}

// number reads a size: octal, or base 256 where the top bit is set.
func number(p []byte) (int64, bool) {
	if p[0]&0x80 == 0 {
		n, err := strconv.ParseInt(strings.Trim(text(p), " "), 8, 64)
		return n, err == nil && n >= 0
	}
	var n uint64
	for i, b := range p {
		if i == 0 {
			b &= 0x7f
		}
		if n >= 1<<55 {
			return 0, false
		}
		n = n<<8 | uint64(b)
	}
	return int64(n), n < 1<<63
}

// override reads a long name or pax records.
func (a *archive) override(next *overrides, h header, off int64) error {
	name, most := "pax records", int64(maxPax)
	if h.kind == 'L' {
		name, most = "long name", maxName
	}
	if h.size > most {
		return a.src.NewPart(name, off, nil).Fault(diskimage.Limit, "%d bytes, more than %d", h.size, most)
	}
	p, err := a.src.Part(name, off, h.size)
	if err != nil {
		return err
	}
	if h.kind == 'L' {
		next.name = text(p.Data)
		return nil
	}
	return next.pax(p, h.kind == 'g')
}

// pax reads records "length key=value\n".
func (o *overrides) pax(p bounded.Part, global bool) error {
	for rest := p.Data; len(rest) > 0; {
		digits, _, _ := bytes.Cut(rest, []byte(" "))
		n, err := strconv.Atoi(string(digits))
		if err != nil || n <= len(digits)+1 || n > len(rest) || rest[n-1] != '\n' {
			return p.Fault(diskimage.Malformed, "no record at its offset %#x", len(p.Data)-len(rest))
		}
		key, value, _ := strings.Cut(string(rest[len(digits)+1:n-1]), "=")
		rest = rest[n:]
		switch {
		case strings.HasPrefix(key, "GNU.sparse."):
			if err := o.gnuSparse(p, strings.TrimPrefix(key, "GNU.sparse."), value); err != nil {
				return err
			}
		case key != "path" && key != "size":
		case global:
			return p.Fault(diskimage.Malformed, "%s for all members", key)
		case key == "path":
			o.name = value
		default:
			if o.size, err = strconv.ParseInt(value, 10, 64); err != nil || o.size < 0 {
				return p.Fault(diskimage.Malformed, "size is %q", bounded.Printable(value))
			}
			o.sized = true
		}
	}
	return nil
}

// gnuSparse takes a record about a sparse file.
func (o *overrides) gnuSparse(p bounded.Part, key, value string) error {
	var err error
	switch {
	case key == "major" && value == "1", key == "minor" && value == "0":
		o.sparse = true
	case key == "name":
		o.sparseName = value
	case key == "realsize":
		o.sparseSize, err = strconv.ParseInt(value, 10, 62)
	default:
		return p.Fault(diskimage.Unsupported, "a sparse file of a form that is not read; unpack the archive first: tar x")
	}
	if err != nil || o.sparseSize < 0 {
		return p.Fault(diskimage.Malformed, "the sparse file's size is %q", bounded.Printable(value))
	}
	return nil
}

// add notes a member, whose name must lead nowhere else and be new. What macOS puts
// beside files is passed over.
func (a *archive) add(p bounded.Part, m member) error {
	m.name = strings.TrimPrefix(m.name, "./")
	name := m.name
	if !inside(name) {
		return p.Fault(diskimage.Malformed, "the member's name is %q, want one of a file inside the archive", bounded.Printable(name))
	}
	if strings.HasPrefix(path.Base(name), "._") {
		return nil
	}
	if a.folded[strings.ToLower(name)] {
		return p.Fault(diskimage.Malformed, "the name %q, in whatever case, is that of two members", bounded.Printable(name))
	}
	if len(a.members) == maxMembers {
		return p.Fault(diskimage.Limit, "more than %d members", maxMembers)
	}
	a.members[name] = m
	a.folded[strings.ToLower(name)] = true
	return nil
}

// inside reports whether a name is that of a file of the archive, perhaps in a
// folder.
func inside(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if !plain(part) {
			return false
		}
	}
	return len(name) <= 1024
}

// plain reports whether a name is that of a file and nothing else.
func plain(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 && !strings.ContainsAny(name, "/\\:\x00")
}
