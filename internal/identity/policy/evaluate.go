package policy

import (
	"slices"
	"strings"
)

// Decision is what a document says about a request.
type Decision uint8

// The decisions, in rising strength: of several documents the highest counts.
const (
	// NoMatch: no statement applies. Without another's Allow that is a refusal.
	NoMatch Decision = iota
	// AllowAccount: a resource policy allows the caller's account as a whole;
	// the caller's own policies must allow the request as well.
	AllowAccount
	// Allow: a statement allows it.
	Allow
	// Deny: a statement denies it, and nothing can allow it any more.
	Deny
)

// Context holds the values of condition keys. Names are in lower case; Set
// takes care of that.
type Context map[string][]string

// Set gives a key its values. A key without values is as good as absent.
func (c Context) Set(key string, values ...string) { c[strings.ToLower(key)] = values }

func (c Context) get(key string) []string { return c[strings.ToLower(key)] }

// Caller is how Principal elements may name who asks. Unused fields are empty.
type Caller struct {
	Account string   // twelve digits
	ARNs    []string // of the user, or of the session and its role
	Service string   // of an AWS service, such as vmie.amazonaws.com
}

// Request is what is asked. Caller is for resource and trust policies, whose
// statements apply only to whom they name.
type Request struct {
	Caller   Caller
	Action   string // service:Name
	Resource string // ARN, or "*" where an action has none
	Context  Context
}

// Evaluate returns what the document says about r.
func (d Document) Evaluate(r Request) Decision {
	result := NoMatch
	for i := range d.statements {
		s := &d.statements[i]
		who := s.appliesTo(r.Caller)
		if who == NoMatch || !s.covers(d, r) {
			continue
		}
		if s.deny {
			return Deny
		}
		result = max(result, who)
	}
	return result
}

// Evaluate returns the strongest decision of the documents.
func Evaluate(documents []Document, r Request) Decision {
	result := NoMatch
	for _, d := range documents {
		result = max(result, d.Evaluate(r))
	}
	return result
}

// covers reports whether action, resource and conditions apply.
func (s *statement) covers(d Document, r Request) bool {
	return s.coversAction(r.Action) && s.coversResource(d, r) &&
		!slices.ContainsFunc(s.conditions, func(c condition) bool { return !c.holds(d, r.Context) })
}

func (s *statement) coversAction(action string) bool {
	action = strings.ToLower(action)
	matches := func(text string) bool { return wild(strings.ToLower(text)).match(action) }
	if s.notActions != nil {
		return !slices.ContainsFunc(s.notActions, matches)
	}
	return slices.ContainsFunc(s.actions, matches)
}

func (s *statement) coversResource(d Document, r Request) bool {
	matches := func(text string) bool {
		p, ok := d.expand(text, r.Context, true)
		return ok && p.match(r.Resource)
	}
	switch {
	case s.notResources != nil:
		return !slices.ContainsFunc(s.notResources, matches)
	case s.resources != nil:
		return slices.ContainsFunc(s.resources, matches)
	}
	return true // a trust policy: the role is the resource
}

// expand fills in variables where the document's version knows them.
func (d Document) expand(text string, c Context, star bool) (pattern, bool) {
	switch {
	case d.variables:
		return expand(text, c, star)
	case star:
		return wild(text), true
	}
	return literal(text), true
}

// appliesTo returns Allow if the statement names the caller (an identity policy
// does by being his), AllowAccount if it names his account, else NoMatch.
func (s *statement) appliesTo(c Caller) Decision {
	switch {
	case s.notPrincipals != nil:
		if s.notPrincipals.name(c) == NoMatch {
			return Allow
		}
		return NoMatch
	case s.principals != nil:
		who := s.principals.name(c)
		if who == AllowAccount && s.deny {
			return Allow // a denied account is denied
		}
		return who
	}
	return Allow
}

func (p principals) name(c Caller) Decision {
	result := NoMatch
	for _, value := range p["AWS"] {
		switch {
		case value == "*", slices.Contains(c.ARNs, value):
			return Allow
		case c.Account != "" && accountOf(value) == c.Account:
			result = AllowAccount
		}
	}
	for _, value := range p["Service"] {
		if c.Service != "" && value == c.Service {
			return Allow
		}
	}
	return result
}

// accountOf returns the account that a principal names as a whole, or "".
func accountOf(value string) string {
	if accountID.MatchString(value) {
		return value
	}
	part := strings.Split(value, ":")
	if len(part) == 6 && part[5] == "root" {
		return part[4]
	}
	return ""
}
