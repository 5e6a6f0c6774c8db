package policy

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// MapPrincipals returns a document in which change has replaced each AWS principal
// that a statement names. Everything else stays as it is, including white space.
// The document must be one that Parse accepts. If change fails, MapPrincipals
// returns its error.
func MapPrincipals(text string, change func(principal string) (string, error)) (string, error) {
	m := mapper{d: json.NewDecoder(strings.NewReader(text)), text: text, change: change}
	if err := m.value(nil); err != nil {
		return "", err
	}
	m.out.WriteString(text[m.done:])
	return m.out.String(), nil
}

// mapper is the state of one call of MapPrincipals.
type mapper struct {
	d      *json.Decoder
	text   string
	change func(string) (string, error)
	out    strings.Builder
	done   int64 // how many bytes of text are already in out
}

// named reports whether the value at the current path is a principal. Arrays leave
// no trace in a path.
func named(path []string) bool {
	return len(path) == 3 && path[0] == "Statement" && (path[1] == "Principal" || path[1] == "NotPrincipal") && path[2] == "AWS"
}

func (m *mapper) value(path []string) error {
	before := m.d.InputOffset()
	token, err := m.d.Token()
	if err != nil {
		return malformed("not valid JSON")
	}
	switch token := token.(type) {
	case json.Delim:
		return m.inside(token, path)
	case string:
		if named(path) {
			return m.principal(before, token)
		}
	}
	return nil
}

// inside reads the contents of an object or array, and its closing delimiter.
func (m *mapper) inside(begin json.Delim, path []string) error {
	if len(path) > maxNesting {
		return malformed("nested too deeply")
	}
	for m.d.More() {
		within := path
		if begin == '{' {
			token, err := m.d.Token()
			if err != nil {
				return malformed("not valid JSON")
			}
			name, _ := token.(string) // the decoder allows nothing else here
			within = append(slices.Clone(path), name)
		}
		if err := m.value(within); err != nil {
			return err
		}
	}
	if _, err := m.d.Token(); err != nil {
		return malformed("not valid JSON")
	}
	return nil
}

// principal replaces the string that was read last. It begins somewhere after the
// end of the token before it, since white space and delimiters come first.
func (m *mapper) principal(before int64, value string) error {
	other, err := m.change(value)
	if err != nil || other == value {
		return err
	}
	var quoted bytes.Buffer
	e := json.NewEncoder(&quoted)
	e.SetEscapeHTML(false)
	if err := e.Encode(other); err != nil {
		return err
	}
	begin := before + int64(strings.IndexByte(m.text[before:], '"'))
	m.out.WriteString(m.text[m.done:begin])
	m.out.Write(bytes.TrimSpace(quoted.Bytes()))
	m.done = m.d.InputOffset()
	return nil
}
