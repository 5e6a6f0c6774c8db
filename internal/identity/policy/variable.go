package policy

import (
	"strings"
	"unicode/utf8"
)

// template is a text in a document that values of the request are compared with:
// either a pattern, or text that becomes a pattern once its variables are filled
// in.
type template struct {
	fixed    pattern
	variable string // text with ${…} in it; empty: the pattern is fixed
	wild     bool   // * and ? in it are wildcards
}

// newTemplate compiles text. Documents of the older version of the language have no
// variables.
func (d Document) newTemplate(text string, stars bool) template {
	switch {
	case d.variables && strings.Contains(text, "${"):
		return template{variable: text, wild: stars}
	case stars:
		return template{fixed: wild(text)}
	}
	return template{fixed: pattern(text)}
}

func (d Document) newTemplates(texts []string, stars bool) []template {
	if texts == nil {
		return nil
	}
	list := make([]template, len(texts))
	for i, text := range texts {
		list[i] = d.newTemplate(text, stars)
	}
	return list
}

// expand fills in variables from c. It returns Yes and the pattern, No if a
// variable has neither a value nor a default, and Unknown if a variable has several
// values.
func (t template) expand(w *Work, c Context) (pattern, truth) {
	if t.variable == "" {
		return t.fixed, yes
	}
	var out strings.Builder
	for text := t.variable; ; {
		before, rest, found := strings.Cut(text, "${")
		if t.wild {
			before = string(wild(before))
		}
		out.WriteString(before)
		if !found {
			w.spend(out.Len())
			return pattern(out.String()), yes
		}
		name, after, _ := strings.Cut(rest, "}")
		value, known := variable(name, c)
		if known != yes {
			return "", known
		}
		out.WriteString(value)
		text = after
	}
}

// variable looks up a name such as "aws:username", a name with a default such as
// "aws:PrincipalTag/team, 'none'", or an escaped character.
func variable(name string, c Context) (string, truth) {
	if name == "*" || name == "?" || name == "$" {
		return name, yes
	}
	key, standby, hasDefault := strings.Cut(name, ",")
	standby = strings.TrimSpace(standby)
	values := c.get(strings.TrimSpace(key))
	switch {
	case values.unclear() || len(values.list) > 1:
		return "", unknown
	case len(values.list) == 1:
		if !utf8.ValidString(values.list[0]) {
			return "", unknown // it might contain the bytes of wildcards
		}
		return values.list[0], yes
	case hasDefault && len(standby) >= 2 && standby[0] == '\'' && standby[len(standby)-1] == '\'':
		return standby[1 : len(standby)-1], yes
	}
	return "", no
}

// checkVariables refuses a variable without a closing brace.
func checkVariables(text string) error {
	for {
		_, rest, found := strings.Cut(text, "${")
		if !found {
			return nil
		}
		if _, text, found = strings.Cut(rest, "}"); !found {
			return malformed("policy variable is not closed")
		}
	}
}

// matchAny reports whether one of the templates matches a value of the request.
// unresolved is the result for a template with a variable that has no value: No if
// the caller looks for a match, since such a template matches nothing; Unknown if
// it looks for the absence of a match, since nobody knows what the template would
// have excluded.
func matchAny(w *Work, list []template, c Context, value string, unresolved truth, match func(*Work, pattern, string) bool) truth {
	if len(value) > maxValue {
		return unknown
	}
	result := no
	for i := range list {
		p, known := list[i].expand(w, c)
		switch known {
		case no:
			result = max(result, unresolved)
		case unknown:
			result = unknown
		case yes:
			if match(w, p, value) {
				return yes
			}
		}
	}
	return result
}
