package policy

import (
	"encoding/json"
	"strconv"
)

// Kind says where a document is attached, and so what it may contain.
type Kind uint8

// The kinds of document.
const (
	Identity Kind = iota // to a user or role: no Principal
	Trust                // to a role, saying who may assume it: no Resource
	Resource             // to a bucket or key: Principal and Resource
)

// The two versions of the policy language. The older one, which is also the
// default, knows no policy variables.
const (
	version2008 = "2008-10-17"
	version2012 = "2012-10-17"
)

// Document is a valid policy. It is immutable; the zero value says nothing.
type Document struct {
	variables  bool // ${…} means something
	statements []statement
}

type statement struct {
	sid           string
	deny          bool
	principals    principals
	notPrincipals principals
	actions       []string
	notActions    []string
	resources     []string
	notResources  []string
	conditions    []condition
}

// principals are the values of a Principal element. Nil: no such element.
type principals map[string][]string

// maxSize is the largest document that IAM's API takes, in bytes. Its quotas on
// stored policies are lower, and the business of package iam.
const maxSize = 131072

// Parse reads a document. The error is a *SyntaxError.
func Parse(text string, kind Kind) (Document, error) {
	if len(text) > maxSize {
		return Document{}, malformed("longer than %d bytes", maxSize)
	}
	value, err := readJSON(text)
	if err != nil {
		return Document{}, err
	}
	top, ok := value.(object)
	if !ok {
		return Document{}, malformed("not an object")
	}
	var d Document
	statements := 0
	for _, m := range top {
		switch m.name {
		case "Version":
			if m.value != version2008 && m.value != version2012 {
				return Document{}, malformed("Version must be %s or %s", version2012, version2008)
			}
			d.variables = m.value == version2012
		case "Id":
			if _, ok := m.value.(string); !ok {
				return Document{}, malformed("Id must be a string")
			}
		case "Statement":
			statements++
			d.statements, err = parseStatements(m.value, kind)
		default:
			err = malformed("unknown element %.64q", m.name)
		}
		if err != nil {
			return Document{}, err
		}
	}
	if statements == 0 {
		return Document{}, malformed("no Statement")
	}
	return d, nil
}

func parseStatements(value any, kind Kind) ([]statement, error) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	if len(list) == 0 {
		return nil, malformed("Statement is empty")
	}
	var out []statement
	sids := map[string]bool{}
	for _, v := range list {
		o, ok := v.(object)
		if !ok {
			return nil, malformed("a statement must be an object")
		}
		s, err := parseStatement(o, kind)
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

func parseStatement(o object, kind Kind) (s statement, err error) {
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
			s.resources, err = parseResources(m)
		case "NotResource":
			s.notResources, err = parseResources(m)
		case "Condition":
			s.conditions, err = parseConditions(m.value)
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

// complete checks that the elements that are there go together.
func (s *statement) complete(kind Kind) error {
	one := func(a, b bool) bool { return a != b }
	none := func(a, b bool) bool { return !a && !b }
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
	case kind == Identity && !none(principal, notPrincipal):
		return malformed("Principal has no place in an identity policy")
	case kind != Identity && !one(principal, notPrincipal):
		return malformed("a statement needs Principal or NotPrincipal, and not both")
	}
	return nil
}

// texts reads a string or an array of strings, at least one.
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
