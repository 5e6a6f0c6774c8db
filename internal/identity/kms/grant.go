package kms

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/awsid"
)

// Grant lets a principal perform operations with a key, in addition to what
// policies allow.
type Grant struct {
	Key        Ref               `json:"Key"`
	ID         string            `json:"ID"`       // 64 hex digits
	Name       string            `json:"Name"`     // optional; with it, creating the same grant again returns the first
	Grantee    string            `json:"Grantee"`  // stored as unique id, given and shown as ARN
	Retiring   string            `json:"Retiring"` // likewise, of the principal that may retire it, or empty
	Issuer     string            `json:"Issuer"`   // ARN of the principal that made it
	Operations []string          `json:"Operations"`
	Equals     EncryptionContext `json:"Equals"` // the request's context must equal this; nil: any
	Subset     EncryptionContext `json:"Subset"` // the request's context must contain this; nil: any
	Created    time.Time         `json:"Created"`
}

// grantable lists the operations that a grant may include. Operations with key
// material that is not here are left out: granting them would be worth nothing.
var grantable = []string{
	"Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext",
	"ReEncryptFrom", "ReEncryptTo", "CreateGrant", "RetireGrant", "DescribeKey",
}

// Same reports whether g and o have the same key, name, principals, operations and
// constraints.
func (g Grant) Same(o Grant) bool {
	return g.Key == o.Key && g.Name == o.Name && g.Grantee == o.Grantee && g.Retiring == o.Retiring &&
		slices.Equal(g.Operations, o.Operations) && g.Equals.same(o.Equals) && g.Subset.same(o.Subset)
}

// same reports whether two constraints are equal. To require an empty context is
// not the same as to require none.
func (e EncryptionContext) same(o EncryptionContext) bool {
	return (e == nil) == (o == nil) && maps.Equal(e, o)
}

// Token returns the text by which callers name the grant in order to use or retire
// it. It proves nothing.
func (g Grant) Token() string {
	return base64.RawURLEncoding.EncodeToString([]byte(g.Key.Account + "/" + g.Key.Region + "/" + g.Key.ID + "/" + g.ID))
}

// ParseToken returns the key and the id of the grant that a token names.
func ParseToken(token string) (Grant, error) {
	text, err := base64.RawURLEncoding.DecodeString(token)
	part := strings.Split(string(text), "/")
	if err != nil || len(part) != 4 || !accountID.MatchString(part[0]) || !awsid.IsRegion(part[1]) || !keyID.MatchString(part[2]) || !grantID.MatchString(part[3]) {
		return Grant{}, failed(ErrInvalidGrantToken, "The grant token is invalid.")
	}
	return Grant{Key: Ref{part[0], part[1], part[2]}, ID: part[3]}, nil
}

// allows reports whether g includes an operation with an encryption context.
func (g Grant) allows(operation string, c EncryptionContext, has bool) bool {
	if !slices.Contains(g.Operations, operation) {
		return false
	}
	if !has {
		return true // the operation has no context, so constraints do not apply
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

// within reports whether g allows no more than parent. Only then may the grantee of
// parent create g.
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

// has reports whether the context has a key with exactly this value, which may be
// empty.
func (e EncryptionContext) has(key, value string) bool {
	got, ok := e[key]
	return ok && got == value
}
