package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxNesting of a document: Condition values lie five levels deep.
const maxNesting = 8

// object is a JSON object in the order it was written.
type object []member

type member struct {
	name  string
	value any // object, []any, string, json.Number, bool or nil
}

// readJSON parses one value and nothing after it. Unlike encoding/json it
// refuses a name that occurs twice in an object: which of the two would count
// must not be a matter of luck.
func readJSON(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	value, err := readValue(d, maxNesting)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, malformed("data after the document")
	}
	return value, nil
}

func readValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, malformed("not valid JSON")
	}
	delim, ok := token.(json.Delim)
	switch {
	case !ok:
		return token, nil
	case depth == 0:
		return nil, malformed("nested too deeply")
	case delim == '{':
		return readObject(d, depth-1)
	}
	return readArray(d, depth-1)
}

func readObject(d *json.Decoder, depth int) (object, error) {
	var o object
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, malformed("not valid JSON")
		}
		name, _ := token.(string) // the decoder allows nothing else here
		if seen[name] {
			return nil, malformed("%.64q occurs twice", name)
		}
		seen[name] = true
		value, err := readValue(d, depth)
		if err != nil {
			return nil, err
		}
		o = append(o, member{name, value})
	}
	return o, closed(d)
}

func readArray(d *json.Decoder, depth int) ([]any, error) {
	list := []any{}
	for d.More() {
		value, err := readValue(d, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	return list, closed(d)
}

func closed(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return malformed("not valid JSON")
	}
	return nil
}

// SyntaxError says why a document is no policy. Its text may be shown.
type SyntaxError struct{ Reason string }

func (e *SyntaxError) Error() string { return "malformed policy document: " + e.Reason }

func malformed(format string, args ...any) error {
	return &SyntaxError{fmt.Sprintf(format, args...)}
}
