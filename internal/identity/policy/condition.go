package policy

import (
	"slices"
	"strconv"
	"strings"
)

// quantifier says how a condition treats a key with several values.
type quantifier uint8

const (
	noQuantifier quantifier = iota
	forAny
	forAll
)

// condition is one key of one operator of a Condition block. All conditions of
// a statement must hold.
type condition struct {
	operator   operator
	quantifier quantifier
	ifExists   bool
	key        string // lower case
	values     []string
}

// parseOperator reads "ForAnyValue:StringLikeIfExists".
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

// check refuses values that the operator could never compare.
func (c *condition) check() error {
	for _, v := range c.values {
		if c.operator.text {
			if err := checkVariables(v); err != nil {
				return err
			}
		} else if !c.operator.valid(v) {
			return malformed("value %.64q does not suit its condition operator", v)
		}
	}
	return nil
}

// holds evaluates the condition against the request's context.
func (c *condition) holds(d Document, ctx Context) bool {
	actual := ctx.get(c.key)
	if c.operator.null {
		absent := strconv.FormatBool(len(actual) == 0)
		return slices.ContainsFunc(c.values, func(want string) bool { return strings.EqualFold(want, absent) })
	}
	if len(actual) == 0 {
		return c.ifExists || c.quantifier == forAll || c.quantifier == noQuantifier && c.operator.negated
	}
	test := func(value string) bool { return c.matches(d, ctx, value) != c.operator.negated }
	fails := func(value string) bool { return !test(value) }
	// Without a quantifier several values behave as one set: a negated
	// operator holds if none of them matches.
	if c.quantifier == forAll || c.quantifier == noQuantifier && c.operator.negated {
		return !slices.ContainsFunc(actual, fails)
	}
	return slices.ContainsFunc(actual, test)
}

// matches reports whether one actual value fits any of the condition's values,
// with the operator taken as not negated.
func (c *condition) matches(d Document, ctx Context, actual string) bool {
	return slices.ContainsFunc(c.values, func(want string) bool {
		if !c.operator.text {
			return c.operator.compare(want, actual)
		}
		p, ok := d.expand(want, ctx, c.operator.wild)
		return ok && c.operator.compareText(p, actual)
	})
}
