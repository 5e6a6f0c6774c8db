package iam

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

// Kind says what sort of principal asks.
type Kind uint8

// The kinds of principal. The zero value may do nothing.
const (
	Anonymous        Kind = iota
	Root                  // an account's own key: everything in that account
	User                  // a user, bound by its policies
	RoleSession           // somebody in a role
	ServicePrincipal      // an AWS service name, such as vmie.amazonaws.com
)

// Principal is who asks, with what decides about them. It is a value, read once
// for one request or one step of a task; do not keep it longer.
type Principal struct {
	Account string // twelve digits
	ARN     string // as GetCallerIdentity and refusals name it
	Kind    Kind
	ID      string    // unique: the account id, AIDA… or AROA…:session
	Name    string    // of the user or role; empty for root
	Since   time.Time // when the key that it came with was made; zero for a session

	source   string            // ARN of the role behind a session, else empty
	policies []policy.Document // identity policies in force
	tags     tag.Set           // of the user or role

	keyID string    // of the long-lived key that it came with, else empty
	used  time.Time // when that key was seen last, about

	issued  time.Time         // when the session token was; zero without one
	limited bool              // a session that session policies limit …
	limits  []policy.Document // … to what one of these allows
}

// Identity is the ARN of who p is however often it comes: of the role, for its
// sessions.
func (p Principal) Identity() string {
	if p.source != "" {
		return p.source
	}
	return p.ARN
}

// Temporary reports whether p came with a session token.
func (p Principal) Temporary() bool { return !p.issued.IsZero() }

// WithPolicies returns p bound by documents instead of its own policies.
func (p Principal) WithPolicies(documents ...policy.Document) Principal {
	p.policies = slices.Clone(documents)
	return p
}

// entity is the ARN that policies and aws:PrincipalArn know p by: for a
// session that of its role.
func (p Principal) entity() string {
	if p.source != "" {
		return p.source
	}
	return p.ARN
}

// ids are the words by which stored policies and grants name p: never its name, which
// may be another's tomorrow, but what is unique. An account's id is given once.
func (p Principal) ids() []string {
	switch p.Kind {
	case Root:
		return []string{p.ARN}
	case User:
		return []string{p.ID}
	case RoleSession:
		role, _, _ := strings.Cut(p.ID, ":")
		return []string{p.ID, role}
	}
	return nil
}

// about returns context, which may be nil and is not changed, with the keys that
// tell of p.
func (p Principal) about(context policy.Context) policy.Context {
	full := maps.Clone(context)
	if full == nil {
		full = policy.Context{}
	}
	p.describe(full)
	return full
}

// describe adds what condition keys say about p.
func (p Principal) describe(c policy.Context) {
	kinds := map[Kind]string{Anonymous: "Anonymous", Root: "Account", User: "User", RoleSession: "AssumedRole"}
	if kind, ok := kinds[p.Kind]; ok {
		c.Set("aws:PrincipalType", kind)
	}
	if p.Kind == Anonymous || p.Kind == ServicePrincipal {
		return
	}
	c.Set("aws:PrincipalArn", p.entity())
	c.Set("aws:PrincipalAccount", p.Account)
	c.Set("aws:userid", p.ID)
	if p.Kind == User {
		c.Set("aws:username", p.Name)
	}
	for _, t := range p.tags {
		c.Add("aws:PrincipalTag/"+t.Key, t.Value)
	}
	if p.Temporary() {
		c.Set("aws:TokenIssueTime", p.issued.UTC().Format(time.RFC3339))
		c.Set("aws:MultiFactorAuthPresent", "false")
	}
}
