package policy

import (
	"slices"
	"strings"
)

// Decision is what a document says about a request.
type Decision uint8

// The decisions, in rising strength: the strongest of several documents' decisions
// counts.
const (
	// NoMatch: no statement applies. Unless another document allows the request, it
	// is refused.
	NoMatch Decision = iota
	// AllowAccount: a resource policy allows the caller's account as a whole;
	// the caller's own policies must allow the request as well.
	AllowAccount
	// Allow: a statement allows it.
	Allow
	// Deny: a statement denies it, whatever another allows.
	Deny
)

// Caller holds the forms in which Principal elements may name the caller. Unused
// fields are empty.
type Caller struct {
	Account string   // twelve digits
	ARNs    []string // of the user, or of the session and its role
	Service string   // name of an AWS service, such
	// ByName is set if only statements count that name one of ARNs, rather than
	// everybody or everybody but some.
	ByName bool
}

// Request is a request to be judged. Caller is for resource and trust policies,
// whose statements apply only to the principals that they name.
type Request struct {
	Caller   Caller
	Action   string // service:Name
	Resource string // ARN, or "*" where an action has none
	Context  Context
}

// Evaluate returns the document's decision on r. An Allow must be certain. A Deny
// also holds if it can't be known, because a key is ambiguous, or because what the
// statement exempts depends on a variable without a value. If w ends early, the
// decision is Deny.
func (d Document) Evaluate(w *Work, r Request) Decision {
	result := NoMatch
	action := strings.ToLower(r.Action)
	for i := range d.statements {
		if !w.spend(1) {
			return Deny
		}
		s := &d.statements[i]
		who := s.appliesTo(w, r.Caller)
		if who == NoMatch || !s.coversAction(w, action) {
			continue
		}
		switch covered := s.covers(w, r); {
		case w.err != nil, s.deny && covered != no:
			return Deny
		case !s.deny && covered == yes:
			result = max(result, who)
		}
	}
	if w.err != nil {
		return Deny
	}
	return result
}

// Evaluate returns the strongest decision of the documents.
func Evaluate(w *Work, documents []Document, r Request) Decision {
	result := NoMatch
	for _, d := range documents {
		result = max(result, d.Evaluate(w, r))
	}
	return result
}

// covers reports whether a statement's resource and conditions match the request.
func (s *statement) covers(w *Work, r Request) truth {
	result := s.coversResource(w, r)
	for i := range s.conditions {
		if result == no {
			break
		}
		result = min(result, s.conditions[i].holds(w, r.Context))
	}
	return result
}

// coversAction expects the action in lower case.
func (s *statement) coversAction(w *Work, action string) bool {
	matches := func(p pattern) bool { return p.match(w, action) }
	if s.notActions != nil {
		return !slices.ContainsFunc(s.notActions, matches)
	}
	return slices.ContainsFunc(s.actions, matches)
}

func (s *statement) coversResource(w *Work, r Request) truth {
	match := func(w *Work, p pattern, value string) bool { return p.match(w, value) }
	switch {
	case s.notResources != nil:
		return matchAny(w, s.notResources, r.Context, r.Resource, unknown, match).not()
	case s.resources != nil:
		return matchAny(w, s.resources, r.Context, r.Resource, no, match)
	}
	return yes // a trust policy: the role is the resource
}

// appliesTo returns Allow if the statement names the caller (an identity policy
// always does: it is the caller's own), AllowAccount if it names the caller's
// account, else NoMatch.
func (s *statement) appliesTo(w *Work, c Caller) Decision {
	switch {
	case s.notPrincipals != nil && c.ByName:
		return NoMatch
	case s.notPrincipals != nil:
		if s.spares(w, c) {
			return NoMatch
		}
		return Allow
	case s.principals != nil:
		who := s.principals.name(w, c)
		if who == AllowAccount && s.deny {
			return Allow // denying an account denies everybody in it
		}
		return who
	}
	return Allow
}

// spares reports whether the statement's NotPrincipal names the caller. An account that it
// names is spared an Allow as a whole, but of those in it, only root is spared a Deny: as
// at AWS, it must be named beside the one who is meant, and that shall not spare the others.
func (s *statement) spares(w *Work, c Caller) bool {
	named := s.notPrincipals.name(w, c)
	if named == AllowAccount && s.deny {
		return slices.ContainsFunc(c.ARNs, func(arn string) bool { return accountOf(arn) == c.Account })
	}
	return named != NoMatch
}

func (p principals) name(w *Work, c Caller) Decision {
	result := NoMatch
	w.spend(len(p["AWS"]) + len(p["Service"]))
	for _, value := range p["AWS"] {
		switch {
		case value == "*" && !c.ByName, slices.Contains(c.ARNs, value):
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

// accountOf returns the account if a principal names one as a whole, or "".
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
