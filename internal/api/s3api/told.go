package s3api

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strings"
)

const (
	maxTold      = 16 << 10 // bytes of a document that the audit log is told of
	maxToldDepth = 16
)

// documentTold returns what the audit log is told of the body of a request that is a
// document, as CloudTrail does: a policy, or XML under the name of its root. ok is false for
// what is neither, or too much.
func documentTold(text []byte) (name string, told any, ok bool) {
	if len(text) == 0 || len(text) > maxTold {
		return "", nil, false
	}
	if json.Unmarshal(text, &told) == nil {
		return "bucketPolicy", told, true
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.Token()
		if err != nil {
			return "", nil, false
		}
		if root, is := token.(xml.StartElement); is {
			told, ok = elementTold(d, maxToldDepth)
			return root.Name.Local, told, ok
		}
	}
}

// elementTold reads an element whose start was read: a text, or what is in it by its names,
// where those that come twice are lists.
func elementTold(d *xml.Decoder, depth int) (told any, ok bool) {
	within, text := map[string]any{}, ""
	for {
		token, err := d.Token()
		if err != nil || depth == 0 {
			return nil, false
		}
		switch token := token.(type) {
		case xml.CharData:
			text += string(token)
		case xml.StartElement:
			v, ok := elementTold(d, depth-1)
			if !ok {
				return nil, false
			}
			name := token.Name.Local
			switch before := within[name].(type) {
			case nil:
				within[name] = v
			case []any:
				within[name] = append(before, v)
			default:
				within[name] = []any{before, v}
			}
		case xml.EndElement:
			if len(within) == 0 {
				return strings.TrimSpace(text), true
			}
			return within, true
		}
	}
}
