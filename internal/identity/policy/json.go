package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxNesting is how deeply a document may be nested. Condition values lie five
// levels deep.
const maxNesting = 8

// object is a JSON object in the order it was written.
type object []member

type member struct {
	name  string
	value any // object, []any, string, json.Number, bool or nil
}

// readJSON parses one value with nothing after it. Unlike encoding/json it refuses
// an object that has a name twice, since which of the two counts must not depend on
// the reader.
func readJSON(text string) (any, error) {
	d := reader{json.NewDecoder(strings.NewReader(text)), maxItems}
	d.UseNumber()
	value, err := d.readValue(maxNesting)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, malformed("data after the document")
	}
	return value, nil
}

// reader reads JSON up to a limited number of values and names.
type reader struct {
	*json.Decoder
	left int
}

func (d *reader) readValue(depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, malformed("not valid JSON")
	}
	if d.left--; d.left < 0 {
		return nil, malformed("more than %d names and values", maxItems)
	}
	delim, ok := token.(json.Delim)
	switch {
	case !ok:
		return token, nil
	case depth == 0:
		return nil, malformed("nested too deeply")
	case delim == '{':
		return d.readObject(depth - 1)
	}
	return d.readArray(depth - 1)
}

func (d *reader) readObject(depth int) (object, error) {
	var o object
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, malformed("not valid JSON")
		}
		name, _ := token.(string) // the decoder returns only strings here
		if seen[name] {
			return nil, malformed("%.64q occurs twice", name)
		}
		seen[name] = true
		d.left--
		value, err := d.readValue(depth)
		if err != nil {
			return nil, err
		}
		o = append(o, member{name, value})
	}
	return o, d.closed()
}

func (d *reader) readArray(depth int) ([]any, error) {
	list := []any{}
	for d.More() {
		value, err := d.readValue(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	return list, d.closed()
}

func (d *reader) closed() error {
	if _, err := d.Token(); err != nil {
		return malformed("not valid JSON")
	}
	return nil
}

// appendJSON appends a value that readJSON returned, without white space.
func appendJSON(b []byte, value any) []byte {
	switch v := value.(type) {
	case object:
		b = append(b, '{')
		for i, m := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendJSON(b, m.name), ':')
			b = appendJSON(b, m.value)
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, each := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, each)
		}
		return append(b, ']')
	case string:
		return appendText(b, v)
	case json.Number:
		return append(b, v...)
	case bool:
		return strconv.AppendBool(b, v)
	}
	return append(b, "null"...)
}

// appendText appends a string in quotes, without the escapes meant for HTML.
func appendText(b []byte, text string) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string always encodes
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}

// SyntaxError says why a document is not a valid policy. Its texts may be shown to
// the client.
type SyntaxError struct {
	Reason    string // what is wrong, and where
	Text      string // as IAM puts it; only Accept sets it
	Principal string // the one that can't be named, if that is why
}

func (e *SyntaxError) Error() string { return "malformed policy document: " + e.Reason }

func malformed(format string, args ...any) error {
	return &SyntaxError{Reason: fmt.Sprintf(format, args...)}
}
