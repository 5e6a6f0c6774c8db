package dmg

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

const maxDepth = 32 // elements of a property list in one another; 6 are in use

// plist is a property list being read.
type plist struct {
	part  bounded.Part
	xml   *xml.Decoder
	path  []element
	table func(p bounded.Part) error // called with each table
}

// element is an open one.
type element struct {
	name string
	key  string // the last one, of a dictionary
	text bool   // it holds text
}

// readTables calls table with each table of chunks in a property list. The list
// can't refer to anything else: the usual document type is not fetched, and a
// document type that declares anything is refused.
func readTables(p bounded.Part, table func(bounded.Part) error) error {
	if err := p.CheckTags(); err != nil {
		return err
	}
	l := plist{part: p, xml: xml.NewDecoder(bytes.NewReader(p.Data)), table: table}
	for {
		token, err := l.xml.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return l.fault(diskimage.Malformed, "no XML in UTF-8: %s", bounded.Printable(err.Error()))
		}
		if err := l.token(token); err != nil {
			return err
		}
	}
}

func (l *plist) token(token xml.Token) error {
	switch t := token.(type) {
	case xml.Directive:
		if bytes.IndexByte(t, '[') >= 0 {
			return l.fault(diskimage.Malformed, "a document type that declares something, which a property list's does not")
		}
	case xml.StartElement:
		if len(l.path) == maxDepth {
			return l.fault(diskimage.Limit, "more than %d elements deep", maxDepth)
		}
		l.path = append(l.path, element{name: t.Name.Local})
	case xml.EndElement:
		l.path = l.path[:len(l.path)-1]
	case xml.CharData:
		return l.text(t)
	}
	return nil
}

// text takes the text of keys and of tables.
func (l *plist) text(t []byte) error {
	n := len(l.path)
	if n == 0 || len(bytes.TrimSpace(t)) == 0 {
		return nil
	}
	e := &l.path[n-1]
	switch {
	case e.name == "key" && n > 1:
		l.path[n-2].key = string(bytes.TrimSpace(t))
	case l.inTable() && e.text:
		return l.fault(diskimage.Malformed, "a table in pieces")
	case l.inTable():
		off := l.part.Off + l.xml.InputOffset() - int64(len(t))
		data, err := decodeBase64(t)
		if err != nil {
			return l.fault(diskimage.Malformed, "a table that is no base 64")
		}
		p := l.part
		p.Name, p.Off, p.Data = "chunk table", off, data
		e.text = true
		return l.table(p)
	}
	return nil
}

// inTable reports whether the open element is the Data of an element of blkx.
func (l *plist) inTable() bool {
	want := []element{{name: "plist"}, {name: "dict", key: "resource-fork"}, {name: "dict", key: "blkx"}, {name: "array"}, {name: "dict", key: "Data"}, {name: "data"}}
	if len(l.path) != len(want) {
		return false
	}
	for i, e := range l.path {
		if e.name != want[i].name || e.key != want[i].key {
			return false
		}
	}
	return true
}

// decodeBase64 decodes text with blanks and line ends in it, in place.
func decodeBase64(t []byte) ([]byte, error) {
	packed := t[:0]
	for _, b := range t {
		if b != ' ' && b != '\t' && b != '\n' && b != '\r' {
			packed = append(packed, b)
		}
	}
	n, err := base64.StdEncoding.Decode(packed, packed)
	return packed[:n], err
}

// fault reports a fault of the text where it was read up to.
func (l *plist) fault(c diskimage.Class, reason string, args ...any) error {
	f := l.part.Fault(c, reason, args...)
	f.Offset += l.xml.InputOffset()
	return f
}
