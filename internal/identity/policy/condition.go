package policy

import (
	"slices"
	"strings"
)

// quantifier says how a condition treats a key with several values.
type quantifier uint8

const (
	noQuantifier quantifier = iota
	forAny
	forAll
)

// condition is one key of one operator of a Condition block. All conditions of a
// statement must hold for it to apply.
type condition struct {
	operator   operator
	quantifier quantifier
	ifExists   bool
	key        string // lower case
	absent     bool   // for Null: whether it holds without the key
	present    bool   // for Null: whether it holds with the key
	texts      []template
	tests      []func(actual string) bool // for operators on values other than text
}

// parseOperator parses names such as "ForAnyValue:StringLikeIfExists".
func parseOperator(text string) (condition, error) {
	var c condition
	name := text
	if before, after, found := strings.Cut(text, ":"); found {
		name = after
		switch before {
		case "ForAnyValue":
			c.quantifier = forAny
		case "ForAllValues":
			c.quantifier = forAll
		default:
			return c, malformed("invalid condition type %.64q", text)
		}
	}
	name, c.ifExists = strings.CutSuffix(name, "IfExists")
	var ok bool
	if c.operator, ok = operatorNamed(name); !ok || name == "Null" && (c.ifExists || c.quantifier != noQuantifier) {
		return c, malformed("invalid condition type %.64q", text)
	}
	return c, nil
}

// compile prepares the values, and refuses those that can't be compared by the
// operator.
func (c *condition) compile(d Document, values []string) error {
	for _, v := range values {
		switch {
		case c.operator.null && isBool(v):
			c.absent = c.absent || strings.EqualFold(v, "true")
			c.present = c.present || strings.EqualFold(v, "false")
		case c.operator.match != nil:
			if err := checkVariables(v); err != nil {
				return err
			}
			c.texts = append(c.texts, d.newTemplate(v, c.operator.wild))
		default:
			test, ok := c.operator.compile(v)
			if !ok {
				return malformed("value %.64q does not suit its condition operator", v)
			}
			c.tests = append(c.tests, test)
		}
	}
	return nil
}

// holdsWithout reports whether the condition holds if the key is absent.
func (c *condition) holdsWithout() bool {
	if c.operator.null {
		return c.absent
	}
	return c.ifExists || c.quantifier == forAll || c.quantifier == noQuantifier && c.operator.negated
}

// holds evaluates the condition against the request's context.
func (c *condition) holds(w *Work, ctx Context) truth {
	actual := ctx.get(c.key)
	switch {
	case actual.unclear():
		return unknown
	case len(actual.list) == 0:
		return truthOf(c.holdsWithout())
	case c.operator.null:
		return truthOf(c.present)
	}
	// Without a quantifier, several values count as one set: a negated operator
	// holds if none of them matches.
	if c.quantifier == forAll || c.quantifier == noQuantifier && c.operator.negated {
		result := yes
		for _, value := range actual.list {
			result = min(result, c.suits(w, ctx, value))
		}
		return result
	}
	result := no
	for _, value := range actual.list {
		result = max(result, c.suits(w, ctx, value))
	}
	return result
}

// suits applies the operator to one actual value.
func (c *condition) suits(w *Work, ctx Context, actual string) truth {
	if !w.spend(1 + len(c.tests)) {
		return unknown
	}
	if c.operator.match == nil {
		found := slices.ContainsFunc(c.tests, func(test func(string) bool) bool { return test(actual) })
		return truthOf(found != c.operator.negated)
	}
	if c.operator.negated {
		return matchAny(w, c.texts, ctx, actual, unknown, c.operator.match).not()
	}
	return matchAny(w, c.texts, ctx, actual, no, c.operator.match)
}
