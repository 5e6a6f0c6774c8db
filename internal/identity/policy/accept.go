package policy

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// IAM's texts for documents that it does not accept.
const (
	textSyntax      = "Syntax errors in policy."
	textJSON        = "This policy contains invalid Json" // of a trust policy
	textVersion     = "Policy document must be version 2012-10-17 or greater."
	textLegacy      = "The policy failed legacy parsing"
	textSids        = "Statement IDs (SID) in a single policy must be unique."
	textActions     = "Policy statement must contain actions."
	textResources   = "Policy statement must contain resources."
	textPrincipal   = "Policy document should not specify a principal."
	textVendor      = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
	textColons      = "Actions/Condition can contain only one colon."
	textARNVendor   = "Resource vendor must be fully qualified and cannot contain regexes."
	textIAMResource = "IAM resource path must either be \"*\" or start with user/, federated-user/, role/, group/, instance-profile/, mfa/, " +
		"server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/."
	textNoStatement     = "Could not parse the policy: Statement is empty!"
	textTrustActions    = "AssumeRole policy may only specify STS AssumeRole actions."
	textTrustResource   = "Has prohibited field Resource"
	textTrustNoResource = "AssumeRole policy must not contain resources."
	textNotPrincipal    = "Allow with NotPrincipal is not allowed."
)

// partitions are those that an ARN in a policy may name.
var partitions = []string{"*", "aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"}

// iamPaths are how the resources of IAM begin.
var iamPaths = []string{
	"user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/", "server-certificate/", "policy/", "sms-mfa/",
	"saml-provider/", "oidc-provider/", "report/", "access-report/",
}

// Accept is Parse for a document that is about to be stored. It also returns the
// document's canonical text, without white space between tokens. It refuses what IAM
// refuses although it could be evaluated, and a document that would do less than it
// promises here (keys.go). The error has IAM's own text: the first that applies, in
// the order in which IAM looks.
func Accept(text string, kind Kind) (d Document, canonical string, err error) {
	d, top, err := parse(text, kind)
	told := complaint(top, kind)
	switch {
	case err == nil && told != "":
		err = &SyntaxError{Reason: told, Text: told}
	case err == nil:
		if err = d.checkServices(); err == nil {
			err = d.checkKeys()
		}
	default:
		err = withText(err, top, kind, told)
	}
	if err != nil {
		return Document{}, "", err
	}
	return d, string(appendJSON(nil, top)), nil
}

// withText adds IAM's text to the error of parse.
func withText(err error, top object, kind Kind, told string) error {
	e, ok := errors.AsType[*SyntaxError](err)
	if !ok {
		return err
	}
	text := cmp.Or(told, e.Text, textSyntax)
	if kind == Trust && top == nil {
		text = textJSON
	}
	return &SyntaxError{Reason: e.Reason, Text: text, Principal: e.Principal}
}

// complaint returns what IAM says about a document, or "" if it has nothing to say but
// that there is a syntax error, if parse finds one. top may be of any form. Resource
// policies belong to other services, which have texts of their own.
func complaint(top object, kind Kind) string {
	switch kind {
	case Identity, Session:
		if kind == Identity && top.get("Statement") != nil && (!top.has("Version") || top.get("Version") == version2008) {
			return textVersion
		}
		return firstOf(statementsOf(top), legacy, sids(), noActions, resourceForm, actionForms, noResources, principal)
	case Trust:
		if list, ok := top.get("Statement").([]any); ok && len(list) == 0 {
			return textNoStatement
		}
		return firstOf(statementsOf(top), sids(), trustFields, trustActions)
	}
	return ""
}

// get returns the value of a member, or nil.
func (o object) get(name string) any {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

func (o object) has(name string) bool {
	return slices.ContainsFunc(o, func(m member) bool { return m.name == name })
}

// statementsOf returns the statements of a document that are objects.
func statementsOf(top object) (list []object) {
	all, ok := top.get("Statement").([]any)
	if !ok {
		all = []any{top.get("Statement")}
	}
	for _, v := range all {
		if o, ok := v.(object); ok {
			list = append(list, o)
		}
	}
	return list
}

// firstOf returns what the first check that finds fault with any of the statements says.
func firstOf(statements []object, checks ...func(object) string) string {
	for _, check := range checks {
		for _, s := range statements {
			if text := check(s); text != "" {
				return text
			}
		}
	}
	return ""
}

// stringsOf returns the strings of an element.
func stringsOf(s object, names ...string) (out []string) {
	for _, name := range names {
		list, ok := s.get(name).([]any)
		if !ok {
			list = []any{s.get(name)}
		}
		for _, v := range list {
			if text, ok := v.(string); ok {
				out = append(out, text)
			}
		}
	}
	return out
}

// legacy is what is left of a parser that IAM had before.
func legacy(s object) string {
	if effect, ok := s.get("Effect").(string); ok && effect != "Allow" && effect != "Deny" && (strings.EqualFold(effect, "Allow") || strings.EqualFold(effect, "Deny")) {
		return textLegacy
	}
	for _, r := range stringsOf(s, "Resource", "NotResource") {
		part := strings.Split(r, ":")
		if checkARN(r) == "" && (len(part) < 6 && strings.Contains(r, "::") || len(part) > 2 && part[2] == "") {
			return textLegacy
		}
	}
	condition, _ := s.get("Condition").(object)
	for _, op := range condition {
		_, name, quantified := strings.Cut(op.name, ":")
		if !quantified {
			name = op.name
		}
		keys, _ := op.value.(object)
		for _, key := range keys {
			for _, date := range stringsOf(keys, key.name) {
				if _, ok := parseDate(date); strings.HasPrefix(name, "Date") && !ok {
					return textLegacy
				}
			}
		}
	}
	return ""
}

// sids returns a check that no statement has the id of one before.
func sids() func(object) string {
	seen := map[string]bool{}
	return func(s object) string {
		sid, _ := s.get("Sid").(string)
		if sid != "" && seen[sid] {
			return textSids
		}
		seen[sid] = true
		return ""
	}
}

// lacks reports whether a statement has neither of two elements, or an empty list.
func lacks(s object, name, not string) bool {
	value := s.get(name)
	if !s.has(name) {
		value = s.get(not)
	}
	list, ok := value.([]any)
	return value == nil || ok && len(list) == 0
}

func noActions(s object) string {
	if lacks(s, "Action", "NotAction") {
		return textActions
	}
	return ""
}

func noResources(s object) string {
	if lacks(s, "Resource", "NotResource") {
		return textResources
	}
	return ""
}

func principal(s object) string {
	if s.has("Principal") || s.has("NotPrincipal") {
		return textPrincipal
	}
	return ""
}

func actionForms(s object) string {
	for _, action := range stringsOf(s, "Action", "NotAction") {
		vendor, name, ok := strings.Cut(action, ":")
		switch {
		case action == "*":
		case !ok:
			return textVendor
		case strings.Contains(name, ":"):
			return textColons
		case vendor != "*" && !vendorForm.MatchString(vendor):
			return "Vendor " + shorten(vendor) + " is not valid"
		}
	}
	return ""
}

func shorten(text string) string { return text[:min(len(text), 256)] }

// resourceForm checks ARNs. One may be cut short, and then stands for all that begins
// as it does.
func resourceForm(s object) string {
	for _, r := range stringsOf(s, "Resource", "NotResource") {
		if text := checkARN(r); text != "" {
			return text
		}
	}
	return ""
}

func checkARN(arn string) string {
	if arn == "*" {
		return ""
	}
	part := strings.SplitN(arn, ":", 6)
	given := len(part)
	if given < 2 {
		return "Resource " + shorten(arn) + " must be in ARN format or \"*\"."
	}
	for len(part) < 6 {
		part = append(part, "*")
	}
	partition, service, region, resource := part[1], part[2], part[3], part[5]
	switch {
	case !slices.Contains(partitions, partition):
		return "Partition " + strconv.Quote(shorten(partition)) + " is not valid for resource " + strconv.Quote(shorten("arn:"+strings.Join(part[1:], ":"))) + "."
	case given < 3, strings.ContainsAny(service, "*?"):
		return textARNVendor
	case part[0] != "arn":
		return "Resource " + shorten(arn) + " must be in ARN format or \"*\"."
	case service == "iam" && given > 3 && region != "":
		return "IAM resource " + shorten(arn) + " cannot contain region information."
	case service == "s3" && given > 3 && region != "" && region != "*" && !strings.HasPrefix(resource, "accesspoint/"):
		return "Resource " + shorten(arn) + " can not contain region information."
	case service == "iam" && resource != "*" && !slices.ContainsFunc(iamPaths, func(p string) bool { return strings.HasPrefix(resource, p) }):
		return textIAMResource
	}
	return ""
}

// trustFields checks the elements of a statement of a trust policy.
func trustFields(s object) string {
	named, isObject := s.get("Principal").(object)
	switch {
	case s.has("Resource"):
		return textTrustResource
	case s.has("NotResource"):
		return textTrustNoResource
	case !s.has("Principal") && !s.has("NotPrincipal"):
		return "Missing required field Principal"
	case isObject && len(named) == 0:
		return "Missing required field Principal cannot be empty!"
	case s.has("NotPrincipal") && s.get("Effect") == "Allow":
		return textNotPrincipal
	case !s.has("Effect"):
		return "Missing required field Effect"
	case !s.has("Action") && !s.has("NotAction"):
		return "Missing required field Action"
	}
	return ""
}

func trustActions(s object) string {
	for _, action := range stringsOf(s, "Action", "NotAction") {
		if !strings.HasPrefix(strings.ToLower(action), "sts:") {
			return textTrustActions
		}
	}
	return ""
}

// InvalidPrincipal is the error for a principal that a policy names and that can't be
// one, or does not exist. kind is "AWS", "Service", ….
func InvalidPrincipal(kind, value string) *SyntaxError {
	if kind != "AWS" {
		kind = strings.ToUpper(kind)
	}
	text := "Invalid principal in policy: " + strconv.Quote(shorten(kind)) + ":" + strconv.Quote(shorten(value))
	return &SyntaxError{Reason: text, Text: text, Principal: value}
}
