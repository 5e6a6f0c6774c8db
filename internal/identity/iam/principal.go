package iam

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

// Kind is the kind of a principal.
type Kind uint8

// The kinds of principal. A principal of the zero kind may not do anything.
const (
	Anonymous        Kind = iota
	Root                  // an account's root; may do everything in that account
	User                  // a user; may do what its policies allow
	RoleSession           // a session of a role
	ServicePrincipal      // an AWS service name, such as vmie.amazonaws.com
	FederatedUser         // a session from GetFederationToken, named by a user or root
)

// Principal is the caller of a request, with everything that authorisation needs to
// know about it. It is a value, read for one request or one step of a task, which does not
// change it; do not keep it longer.
type Principal struct {
	Account string // twelve digits
	ARN     string // as shown by GetCallerIdentity and in refusals
	Kind    Kind
	ID      string    // unique: the account id, AIDA… or AROA…:session
	Name    string    // of the user or role; empty for root
	Since   time.Time // when the key used for the request was made; zero for a session

	source string  // ARN of the session's role, else empty
	userID string  // of the user whose federated session it is, else empty
	tags   tag.Set // of the user or role, and of the session
	permissions

	transitive tag.Set // those that sessions of the roles that it assumes inherit

	keyID string    // of the long-lived key used for the request, else empty
	used  time.Time // when that key was last used, about

	issued  time.Time         // when the session token was issued; zero without one
	limited bool              // whether session policies limit the session …
	limits  []policy.Document // … to what one of these allows
}

// permissions are the policies of a user or role that are in force. What they allow,
// the boundary must allow too, if there is one.
type permissions struct {
	policies []policy.Document
	bounded  bool
	boundary []policy.Document
}

// Identity returns the ARN of p that stays the same in every session: for a session
// of a role, it is the role's.
func (p Principal) Identity() string {
	if p.source != "" {
		return p.source
	}
	return p.ARN
}

// Temporary reports whether the request came with a session token.
func (p Principal) Temporary() bool { return !p.issued.IsZero() }

// WithPolicies returns p with documents in place of its own policies.
func (p Principal) WithPolicies(documents ...policy.Document) Principal {
	p.policies = slices.Clone(documents)
	return p
}

// entity returns the ARN by which policies and aws:PrincipalArn name p. For a
// session it is the ARN of the role.
func (p Principal) entity() string {
	if p.source != "" {
		return p.source
	}
	return p.ARN
}

// ids returns the unique ids by which stored policies and grants name p. They never
// use its name, which may belong to somebody else tomorrow. An account's id is
// never given twice.
func (p Principal) ids() []string {
	switch p.Kind {
	case Root:
		return []string{p.ARN}
	case User:
		return []string{p.ID}
	case RoleSession:
		role, _, _ := strings.Cut(p.ID, ":")
		return []string{p.ID, role}
	case FederatedUser:
		if p.userID == "" {
			return []string{p.ARN}
		}
		return []string{p.ARN, p.userID}
	}
	return nil
}

// about returns context with the condition keys about p. context is not modified
// and may be nil.
func (p Principal) about(context policy.Context) policy.Context {
	full := maps.Clone(context)
	if full == nil {
		full = policy.Context{}
	}
	p.describe(full)
	return full
}

// describe adds the condition keys about p.
func (p Principal) describe(c policy.Context) {
	kinds := map[Kind]string{Anonymous: "Anonymous", Root: "Account", User: "User", RoleSession: "AssumedRole", FederatedUser: "FederatedUser"}
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
