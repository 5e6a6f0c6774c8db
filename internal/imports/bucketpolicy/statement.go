package bucketpolicy

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
)

// texts is a JSON string, or a list of strings.
type texts []string

// UnmarshalJSON implements json.Unmarshaler. What is neither is no text.
func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = texts{one}
		return nil
	}
	var many []string
	if json.Unmarshal(b, &many) == nil {
		*t = many
	}
	return nil
}

// principal is a Principal element: "*", or names by kind.
type principal struct{ AWS texts }

// UnmarshalJSON implements json.Unmarshaler.
func (p *principal) UnmarshalJSON(b []byte) error {
	var kinds struct{ AWS texts }
	if json.Unmarshal(b, &kinds) == nil && kinds.AWS != nil {
		p.AWS = kinds.AWS
		return nil
	}
	return p.AWS.UnmarshalJSON(b)
}

// Statement is what is looked at in a statement besides evaluating it.
type Statement struct {
	Effect       string
	Principal    *principal
	NotPrincipal json.RawMessage
	Action       texts
	NotAction    texts
	Resource     texts
	NotResource  texts
	Condition    map[string]map[string]texts
}

// Statements reads the statements of a valid policy.
func Statements(document []byte) []Statement {
	var many struct{ Statement []Statement }
	if json.Unmarshal(document, &many) == nil {
		return many.Statement
	}
	var one struct{ Statement Statement }
	if json.Unmarshal(document, &one) == nil {
		return []Statement{one.Statement}
	}
	return nil
}

// IsPublic reports whether a policy lets everybody do something, as AWS says it: a
// condition that admits only those whom it names makes a statement not public.
func IsPublic(document []byte) bool {
	return slices.ContainsFunc(Statements(document), func(s Statement) bool {
		everybody := s.NotPrincipal != nil || s.Principal != nil && slices.Contains(s.Principal.AWS, "*")
		return s.Effect == "Allow" && everybody && !s.limited()
	})
}

// limiting are the condition keys that tell whom a statement admits.
var limiting = []string{
	"aws:principalorgid", "aws:principalarn", "aws:principalaccount", "aws:sourceaccount", "aws:sourcearn", "aws:sourceip", "aws:sourcevpc", "aws:sourcevpce",
	"aws:userid", "s3:x-amz-server-side-encryption-aws-kms-key-id", "s3:dataaccesspointarn", "s3:dataaccesspointaccount",
}

// naming are the operators of conditions that hold for those alone whom the values name,
// in lower case and without a quantifier.
var naming = []string{"stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike", "ipaddress"}

func (s Statement) limited() bool {
	for operator, keys := range s.Condition {
		if !slices.Contains(naming, strings.TrimPrefix(strings.ToLower(operator), "foranyvalue:")) {
			continue
		}
		for key, values := range keys {
			if slices.Contains(limiting, strings.ToLower(key)) && len(values) > 0 && !slices.ContainsFunc(values, broad) {
				return true
			}
		}
	}
	return false
}

// The widest ranges of addresses that are not taken for everybody's, as at AWS: two of half
// the addresses are as good as one of all.
const (
	widestIPv4 = 8
	widestIPv6 = 32
)

// broad reports whether a value may stand for anybody.
func broad(value string) bool {
	if strings.ContainsAny(value, "*?$") {
		return true
	}
	at, err := netip.ParsePrefix(value)
	return err == nil && (at.Addr().Is4() && at.Bits() < widestIPv4 || at.Addr().Is6() && at.Bits() < widestIPv6)
}
