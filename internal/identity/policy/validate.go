package policy

import (
	"regexp"
	"strings"
)

var (
	sidForm    = regexp.MustCompile(`^[A-Za-z0-9]*$`)
	actionForm = regexp.MustCompile(`^([A-Za-z0-9-]+|\*):[A-Za-z0-9*?_.-]+$`)
	accountID  = regexp.MustCompile(`^[0-9]{12}$`)
	vendorForm = regexp.MustCompile(`^[A-Za-z0-9.-]+$`)
)

func parseSid(value any, kind Kind) (string, error) {
	sid, ok := value.(string)
	if !ok || kind != Resource && !sidForm.MatchString(sid) {
		return "", malformed("Sid must be a string of letters and digits")
	}
	return sid, nil
}

func parseActions(m member, kind Kind) ([]pattern, error) {
	list, err := texts(m)
	out := make([]pattern, len(list))
	for i, action := range list {
		out[i] = wild(strings.ToLower(action))
		switch {
		case kind == Trust && !strings.HasPrefix(strings.ToLower(action), "sts:"):
			return nil, malformed("a trust policy may only name sts actions, not %.64q", action)
		case action != "*" && !actionForm.MatchString(action):
			return nil, malformed("%.64q is not of the form service:Action", action)
		}
	}
	return out, err
}

// parseResources parses "*" and ARNs. An ARN may be cut short by a star, which then
// stands for the rest.
func (d Document) parseResources(m member) ([]template, error) {
	list, err := texts(m)
	for _, resource := range list {
		colons := strings.Count(resource, ":")
		short := colons < 5 && !strings.HasSuffix(resource, "*")
		if resource != "*" && (!strings.HasPrefix(resource, "arn:") || short) {
			return nil, malformed("resource %.128q must be in ARN format or \"*\"", resource)
		}
		if err := checkVariables(resource); err != nil {
			return nil, err
		}
	}
	return d.newTemplates(list, true), err
}

// parsePrincipals parses "*" or an object of lists.
func parsePrincipals(m member) (principals, error) {
	if m.value == "*" {
		return principals{"AWS": {"*"}}, nil
	}
	o, ok := m.value.(object)
	if !ok || len(o) == 0 {
		return nil, malformed("%s must be \"*\" or an object", m.name)
	}
	out := principals{}
	for _, kind := range o {
		list, err := texts(kind)
		if err != nil {
			return nil, err
		}
		for _, value := range list {
			if !validPrincipal(kind.name, value) {
				return nil, InvalidPrincipal(kind.name, value)
			}
		}
		out[kind.name] = list
	}
	return out, nil
}

func validPrincipal(kind, value string) bool {
	switch kind {
	case "AWS":
		part := strings.Split(value, ":")
		return value == "*" || accountID.MatchString(value) || uniqueID(value) ||
			len(part) == 6 && part[0] == "arn" && (part[2] == "iam" || part[2] == "sts") &&
				accountID.MatchString(part[4]) && !strings.ContainsAny(value, "*?")
	case "Service":
		return strings.Contains(value, ".") && !strings.ContainsAny(value, "*? /")
	case "Federated", "CanonicalUser":
		return value != ""
	}
	return false
}

// uniqueID reports whether a principal is a unique id, which is what remains of an
// ARN whose principal was deleted.
func uniqueID(value string) bool {
	return strings.HasPrefix(value, "AIDA") || strings.HasPrefix(value, "AROA")
}

func (d Document) parseConditions(value any) ([]condition, error) {
	block, ok := value.(object)
	if !ok {
		return nil, malformed("Condition must be an object")
	}
	var out []condition
	for _, op := range block {
		c, err := parseOperator(op.name)
		if err != nil {
			return nil, err
		}
		keys, ok := op.value.(object)
		if !ok {
			return nil, malformed("condition %.64q must be an object", op.name)
		}
		for _, key := range keys {
			values, ok := scalars(key.value)
			if !ok || key.name == "" {
				return nil, malformed("condition %.64q has a malformed key or value", op.name+" "+key.name)
			}
			each := c
			each.key = strings.ToLower(key.name)
			if err := each.compile(d, values); err != nil {
				return nil, err
			}
			out = append(out, each)
		}
	}
	return out, nil
}
