package policy

import (
	"encoding/json"
	"strconv"
)

// Kind says what a document is attached to, and so which elements it may contain.
type Kind uint8

// The kinds of document.
const (
	Identity Kind = iota // to a user or role: no Principal
	Trust                // to a role, saying who may assume it: no Resource
	Resource             // to a bucket or key: Principal and Resource
	Session              // to a session: as Identity
)

// The two versions of the policy language. The older one, which is the default, has
// no policy variables.
const (
	version2008 = "2008-10-17"
	version2012 = "2012-10-17"
)

// Document is a valid policy. It is immutable; the zero value neither allows nor
// denies anything.
type Document struct {
	variables  bool // the version has policy variables
	statements []statement
}

type statement struct {
	sid           string
	deny          bool
	principals    principals
	notPrincipals principals
	actions       []pattern // in lower case
	notActions    []pattern
	resources     []template
	notResources  []template
	conditions    []condition
}

// principals holds the values of a Principal element; nil means that there is no
// such element.
type principals map[string][]string

// Limits on a document. The size is what IAM's API accepts, in bytes as received.
// IAM's quotas on stored policies are lower and do not count white space; package
// iam applies them. A document within those quotas that reaches one of the other
// limits was made for that purpose alone.
const (
	maxSize       = 131072
	maxStatements = 1024
	maxItems      = 8192 // names and values
)

// Parse parses a document. The error is a *SyntaxError.
func Parse(text string, kind Kind) (Document, error) {
	d, _, err := parse(text, kind)
	return d, err
}

// parse also returns the document's JSON, if it is an object.
func parse(text string, kind Kind) (d Document, top object, err error) {
	if len(text) > maxSize {
		return d, nil, malformed("longer than %d bytes", maxSize)
	}
	value, err := readJSON(text)
	if err != nil {
		return d, nil, err
	}
	top, ok := value.(object)
	if !ok {
		return d, nil, malformed("not an object")
	}
	d, err = parseDocument(top, kind)
	return d, top, err
}

func parseDocument(top object, kind Kind) (d Document, err error) {
	var statements any
	for _, m := range top {
		switch m.name {
		case "Version":
			if m.value != version2008 && m.value != version2012 {
				return d, malformed("Version must be %s or %s", version2012, version2008)
			}
			d.variables = m.value == version2012
		case "Id":
			if _, ok := m.value.(string); !ok {
				return d, malformed("Id must be a string")
			}
		case "Statement":
			statements = m.value
		default:
			return d, malformed("unknown element %.64q", m.name)
		}
	}
	if statements == nil {
		return d, malformed("no Statement")
	}
	d.statements, err = d.parseStatements(statements, kind)
	return d, err
}

func (d Document) parseStatements(value any, kind Kind) ([]statement, error) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	switch {
	case len(list) == 0:
		return nil, malformed("Statement is empty")
	case len(list) > maxStatements:
		return nil, malformed("more than %d statements", maxStatements)
	}
	var out []statement
	sids := map[string]bool{}
	for _, v := range list {
		o, ok := v.(object)
		if !ok {
			return nil, malformed("a statement must be an object")
		}
		s, err := d.parseStatement(o, kind)
		if err != nil {
			return nil, err
		}
		if s.sid != "" && sids[s.sid] {
			return nil, malformed("Sid %.64q occurs twice", s.sid)
		}
		sids[s.sid] = true
		out = append(out, s)
	}
	return out, nil
}

func (d Document) parseStatement(o object, kind Kind) (s statement, err error) {
	effect := ""
	for _, m := range o {
		switch m.name {
		case "Sid":
			s.sid, err = parseSid(m.value, kind)
		case "Effect":
			effect, _ = m.value.(string)
			s.deny = effect == "Deny"
		case "Principal":
			s.principals, err = parsePrincipals(m)
		case "NotPrincipal":
			s.notPrincipals, err = parsePrincipals(m)
		case "Action":
			s.actions, err = parseActions(m, kind)
		case "NotAction":
			s.notActions, err = parseActions(m, kind)
		case "Resource":
			s.resources, err = d.parseResources(m)
		case "NotResource":
			s.notResources, err = d.parseResources(m)
		case "Condition":
			s.conditions, err = d.parseConditions(m.value)
		default:
			err = malformed("unknown element %.64q", m.name)
		}
		if err != nil {
			return statement{}, err
		}
	}
	if effect != "Allow" && effect != "Deny" {
		return statement{}, malformed("Effect must be Allow or Deny")
	}
	return s, s.complete(kind)
}

// complete checks that the elements of a statement go together.
func (s *statement) complete(kind Kind) error {
	one := func(a, b bool) bool { return a != b }
	none := func(a, b bool) bool { return !a && !b }
	own := kind == Identity || kind == Session
	action, notAction := s.actions != nil, s.notActions != nil
	resource, notResource := s.resources != nil, s.notResources != nil
	principal, notPrincipal := s.principals != nil, s.notPrincipals != nil
	switch {
	case !one(action, notAction):
		return malformed("a statement needs Action or NotAction, and not both")
	case kind == Trust && !none(resource, notResource):
		return malformed("Resource has no place in a trust policy")
	case kind != Trust && !one(resource, notResource):
		return malformed("a statement needs Resource or NotResource, and not both")
	case own && !none(principal, notPrincipal):
		return malformed("Principal has no place in an identity policy")
	case !own && !one(principal, notPrincipal):
		return malformed("a statement needs Principal or NotPrincipal, and not both")
	}
	return nil
}

// texts reads a string or an array of one or more strings.
func texts(m member) ([]string, error) {
	list, ok := m.value.([]any)
	if !ok {
		list = []any{m.value}
	}
	var out []string
	for _, v := range list {
		text, ok := v.(string)
		if !ok {
			return nil, malformed("%s must be a string or an array of strings", m.name)
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return nil, malformed("%s is empty", m.name)
	}
	return out, nil
}

// scalars is texts for condition values, which may also be numbers and bools.
func scalars(value any) ([]string, bool) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	var out []string
	for _, v := range list {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case json.Number:
			out = append(out, v.String())
		case bool:
			out = append(out, strconv.FormatBool(v))
		default:
			return nil, false
		}
	}
	return out, len(out) > 0
}
