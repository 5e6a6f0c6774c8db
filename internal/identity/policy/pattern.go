package policy

import (
	"strings"
	"unicode/utf8"
)

// A pattern is text in which some places are wildcards. Values of policy
// variables become literal tokens, so that a user called "*" matches himself.
type pattern []token

// token is a rune, or one of the two wildcards, which are no runes.
type token rune

const (
	anyRun token = -1 // *
	anyOne token = -2 // ?
)

// wild makes the pattern of text without variables.
func wild(text string) pattern {
	p := make(pattern, 0, len(text))
	for _, r := range text {
		p = append(p, wildcard(r))
	}
	return p
}

func wildcard(r rune) token {
	switch r {
	case '*':
		return anyRun
	case '?':
		return anyOne
	}
	return token(r)
}

func literal(text string) pattern {
	p := make(pattern, 0, len(text))
	for _, r := range text {
		p = append(p, token(r))
	}
	return p
}

// expand makes the pattern of text with its variables filled in from c. With
// star false, stars and question marks are literal. It reports false if a
// variable has no single value and no default.
func expand(text string, c Context, star bool) (pattern, bool) {
	var out pattern
	for {
		before, rest, found := strings.Cut(text, "${")
		if star {
			out = append(out, wild(before)...)
		} else {
			out = append(out, literal(before)...)
		}
		if !found {
			return out, true
		}
		name, after, closed := strings.Cut(rest, "}")
		value, ok := variable(name, c)
		if !closed || !ok {
			return nil, false
		}
		out = append(out, literal(value)...)
		text = after
	}
}

// variable looks a name up: "aws:username", or with a default
// "aws:PrincipalTag/team, 'none'", or an escaped character.
func variable(name string, c Context) (string, bool) {
	if name == "*" || name == "?" || name == "$" {
		return name, true
	}
	key, standby, hasDefault := strings.Cut(name, ",")
	if values := c.get(strings.TrimSpace(key)); len(values) == 1 {
		return values[0], true
	}
	standby = strings.TrimSpace(standby)
	if hasDefault && len(standby) >= 2 && standby[0] == '\'' && standby[len(standby)-1] == '\'' {
		return standby[1 : len(standby)-1], true
	}
	return "", false
}

// checkVariables refuses a variable that is not closed.
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

// match reports whether all of text fits. It is the usual walk that, on a
// mismatch, goes back to the last star: at most len(p) × len(text) steps.
func (p pattern) match(text string) bool {
	star, mark, i := -1, 0, 0
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		switch {
		case i < len(p) && p[i] == anyRun:
			star, mark = i, at
			i++
		case i < len(p) && (p[i] == anyOne || p[i] == token(r)):
			i++
			at += size
		case star >= 0:
			_, step := utf8.DecodeRuneInString(text[mark:])
			mark += step
			at, i = mark, star+1
		default:
			return false
		}
	}
	for i < len(p) && p[i] == anyRun {
		i++
	}
	return i == len(p)
}

// split cuts a pattern at its first n-1 literal colons into n parts.
func (p pattern) split(n int) []pattern {
	var parts []pattern
	start := 0
	for i, t := range p {
		if t == ':' && len(parts) < n-1 {
			parts = append(parts, p[start:i])
			start = i + 1
		}
	}
	return append(parts, p[start:])
}
