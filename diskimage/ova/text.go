package ova

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// cp1252 are the characters 0x80 to 0x9f of windows-1252; the rest of it, and
// ISO 8859-1, are Unicode's first 256. Those that it lacks are replaced.
const cp1252 = "\u20ac\ufffd\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\ufffd\u017d\ufffd" +
	"\ufffd\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\ufffd\u017e\u0178"

// decode returns text of any encoding that tools write in UTF-8, without a byte
// order mark and an XML declaration, and a warning when it had to guess. Names and
// numbers are nearly always ASCII, which all encodings share.
func decode(p []byte) (text []byte, warning string) {
	switch {
	case bytes.HasPrefix(p, []byte("\xff\xfe")):
		return undeclared(fromUTF16(p[2:], binary.LittleEndian)), ""
	case bytes.HasPrefix(p, []byte("\xfe\xff")):
		return undeclared(fromUTF16(p[2:], binary.BigEndian)), ""
	case bytes.HasPrefix(p, []byte("<\x00")):
		return undeclared(fromUTF16(p, binary.LittleEndian)), ""
	case bytes.HasPrefix(p, []byte("\x00<")):
		return undeclared(fromUTF16(p, binary.BigEndian)), ""
	}
	p = bytes.TrimPrefix(p, []byte("\xef\xbb\xbf"))
	name, body := encoding(p), undeclared(p)
	switch strings.ToLower(name) {
	case "", "utf-8", "utf8", "us-ascii", "ascii", "utf-16":
		if utf8.Valid(body) {
			return body, ""
		}
		return fromBytes(body), "it is not in UTF-8, and was read as windows-1252"
	case "iso-8859-1", "latin1", "latin-1", "windows-1252", "cp1252", "iso-8859-15":
		return fromBytes(body), ""
	}
	if utf8.Valid(body) {
		return body, ""
	}
	return fromBytes(body), "its encoding " + bounded.Printable(name) + " is not known; of names in it only ASCII is read right"
}

// encoding returns the encoding that an XML declaration names.
func encoding(p []byte) string {
	head, _, ok := bytes.Cut(p[:min(len(p), 1<<10)], []byte("?>"))
	if !ok || !bytes.HasPrefix(head, []byte("<?xml")) {
		return ""
	}
	_, rest, _ := strings.Cut(string(head), "encoding")
	rest = strings.TrimLeft(rest, " \t\r\n=")
	if rest == "" || rest[0] != '"' && rest[0] != '\'' {
		return ""
	}
	name, _, _ := strings.Cut(rest[1:], rest[:1])
	return name
}

// undeclared returns text without its XML declaration.
func undeclared(p []byte) []byte {
	if _, rest, ok := bytes.Cut(p, []byte("?>")); ok && bytes.HasPrefix(p, []byte("<?xml ")) {
		return rest
	}
	return p
}

func fromUTF16(p []byte, order binary.ByteOrder) []byte {
	units := make([]uint16, len(p)/2)
	for i := range units {
		units[i] = order.Uint16(p[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}

func fromBytes(p []byte) []byte {
	special := []rune(cp1252)
	out := make([]byte, 0, len(p)+len(p)/8)
	for _, b := range p {
		r := rune(b)
		if b >= 0x80 && b < 0xa0 {
			r = special[b-0x80]
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}
