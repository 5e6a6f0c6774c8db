package kms

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"
)

// Grant lets a principal do operations with a key, beside the policies.
type Grant struct {
	Key        Ref               `json:"Key"`
	ID         string            `json:"ID"`       // 64 hex digits
	Name       string            `json:"Name"`     // optional; makes creating it again return the same grant
	Grantee    string            `json:"Grantee"`  // unique id where it is stored, ARN where it is given or shown
	Retiring   string            `json:"Retiring"` // likewise, of who may retire it, or empty
	Issuer     string            `json:"Issuer"`   // ARN of who made it
	Operations []string          `json:"Operations"`
	Equals     EncryptionContext `json:"Equals"` // of the request must be just this; nil: any
	Subset     EncryptionContext `json:"Subset"` // of the request must contain this; nil: any
	Created    time.Time         `json:"Created"`
}

// grantable are the operations that a grant may be for. Those with material
// that is not here are left out: a grant of them would be worth nothing.
var grantable = []string{
	"Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext",
	"ReEncryptFrom", "ReEncryptTo", "CreateGrant", "RetireGrant", "DescribeKey",
}

// Same reports whether a grant says what g says.
func (g Grant) Same(o Grant) bool {
	return g.Key == o.Key && g.Name == o.Name && g.Grantee == o.Grantee && g.Retiring == o.Retiring &&
		slices.Equal(g.Operations, o.Operations) && g.Equals.same(o.Equals) && g.Subset.same(o.Subset)
}

// same reports whether two constraints are: to ask for an empty context is not the
// same as to ask for none.
func (e EncryptionContext) same(o EncryptionContext) bool {
	return (e == nil) == (o == nil) && maps.Equal(e, o)
}

// Token names the grant to whoever may use or retire it. It proves nothing.
func (g Grant) Token() string {
	return base64.RawURLEncoding.EncodeToString([]byte(g.Key.Account + "/" + g.Key.Region + "/" + g.Key.ID + "/" + g.ID))
}

// ParseToken returns which grant a token names: key and id.
func ParseToken(token string) (Grant, error) {
	text, err := base64.RawURLEncoding.DecodeString(token)
	part := strings.Split(string(text), "/")
	if err != nil || len(part) != 4 || !keyID.MatchString(part[2]) || !grantID.MatchString(part[3]) {
		return Grant{}, failed(ErrInvalidGrantToken, "The grant token is invalid.")
	}
	return Grant{Key: Ref{part[0], part[1], part[2]}, ID: part[3]}, nil
}

// allows reports whether g is for an operation in an encryption context.
func (g Grant) allows(operation string, c EncryptionContext, has bool) bool {
	if !slices.Contains(g.Operations, operation) {
		return false
	}
	if !has {
		return true // the operation knows no context, so constraints say nothing
	}
	if g.Equals != nil && !maps.Equal(g.Equals, c) {
		return false
	}
	for key, value := range g.Subset {
		if !c.has(key, value) {
			return false
		}
	}
	return true
}

// within reports whether g allows no more than parent, which is why who has
// parent may make g.
func (g Grant) within(parent Grant) bool {
	for _, operation := range g.Operations {
		if !slices.Contains(parent.Operations, operation) {
			return false
		}
	}
	if parent.Equals != nil && !g.Equals.same(parent.Equals) {
		return false
	}
	for key, value := range parent.Subset {
		if !g.Subset.has(key, value) && !g.Equals.has(key, value) {
			return false
		}
	}
	return true
}

// has reports whether a key has just this value, be it empty.
func (e EncryptionContext) has(key, value string) bool {
	got, ok := e[key]
	return ok && got == value
}
