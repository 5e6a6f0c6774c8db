package bounded

import (
	"bytes"

	"github.com/diskport/diskport/diskimage"
)

// maxTag is the longest tag taken, in bytes.
const maxTag = 16 << 10

// CheckTags reports a tag of the XML in p that is longer than any honest one, since
// encoding/xml takes many times the size of a tag's attributes.
func (p Part) CheckTags() error {
	text := p.Data
	for {
		start := bytes.IndexByte(text, '<')
		if start < 0 {
			return nil
		}
		text = text[start:]
		n := tagLength(text[:min(len(text), maxTag)])
		if n == maxTag {
			f := p.Fault(diskimage.Limit, "a tag of more than %d bytes", maxTag)
			f.Offset += int64(len(p.Data) - len(text))
			return f
		}
		text = text[n:]
	}
}

// tagLength returns how long the tag at the start of text is, or len(text) when it
// does not end there. A quoted value ends only at its quote; comments end in their
// own way.
func tagLength(text []byte) int {
	if bytes.HasPrefix(text, []byte("<!--")) {
		if i := bytes.Index(text[4:], []byte("-->")); i >= 0 {
			return 4 + i + 3
		}
		return len(text)
	}
	quote := byte(0)
	for i, b := range text {
		switch {
		case quote != 0:
			if b == quote {
				quote = 0
			}
		case b == '"' || b == '\'':
			quote = b
		case b == '>':
			return i + 1
		}
	}
	return len(text)
}
