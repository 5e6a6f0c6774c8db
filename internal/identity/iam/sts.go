package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"time"

	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

// Limits of STS.
const (
	minLife          = 15 * time.Minute
	defaultRoleLife  = time.Hour
	maxChainedLife   = time.Hour // for a role assumed by a role's session
	defaultTokenLife = 12 * time.Hour
	maxTokenLife     = 36 * time.Hour
	maxRootTokenLife = time.Hour // tokens of root last no longer
	maxSessionPolicy = 2048      // characters
	maxSessionARNs   = 10
)

var (
	sessionNameForm = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{2,64}$`)
	externalIDForm  = regexp.MustCompile(`^[A-Za-z0-9_+=,.@:/-]+$`)
)

// RoleCall is a request to assume a role.
type RoleCall struct {
	Caller      Principal
	RoleARN     string
	SessionName string
	ExternalID  string         // empty: none
	Life        *time.Duration // nil: an hour
	Policy      string         // session policy; empty: none
	PolicyARNs  []string       // managed session policies, of
	Tags        []tag.Tag      // of the session, besides those that it inherits
	Transitive  []string       // keys of those of Tags that sessions of further roles inherit
	Context     policy.Context // of the request
}

func (call RoleCall) validate() error {
	switch {
	case !sessionNameForm.MatchString(call.SessionName):
		return &ValidationError{fmt.Sprintf(badForm, "roleSessionName", `[\w+=,.@-]{2,64}`)}
	case call.ExternalID != "" && (len(call.ExternalID) < 2 || len(call.ExternalID) > 1224 || !externalIDForm.MatchString(call.ExternalID)):
		return &ValidationError{fmt.Sprintf(badForm, "externalId", `[\w+=,.@:\/-]{2,1224}`)}
	}
	return cmp.Or(checkLife(call.Life, maxSession), checkSessionPolicies(call.Policy, call.PolicyARNs), call.checkTags())
}

// checkLife refuses a duration, unless it is nil, below the least or above the most that
// a session may last.
func checkLife(life *time.Duration, most time.Duration) error {
	const text = "1 validation error detected: Value at 'durationSeconds' failed to satisfy constraint: Member must have value %s than or equal to %d"
	switch {
	case life == nil:
		return nil
	case *life < minLife:
		return &ValidationError{fmt.Sprintf(text, "greater", minLife/time.Second)}
	case *life > most:
		return &ValidationError{fmt.Sprintf(text, "less", most/time.Second)}
	}
	return nil
}

const badForm = "1 validation error detected: Value at '%s' failed to satisfy constraint: Member must satisfy regular expression pattern: %s"

// checkSessionPolicies checks a session policy, or none, and the ARNs of managed ones.
func checkSessionPolicies(document string, arns []string) error {
	switch {
	case len(document) > maxSessionPolicy:
		return &ValidationError{fmt.Sprintf("1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or equal to %d", maxSessionPolicy)}
	case len(arns) > maxSessionARNs:
		return &ValidationError{fmt.Sprintf("1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to %d", maxSessionARNs)}
	case document == "":
		return nil
	}
	_, _, err := policy.Accept(document, policy.Session)
	return err
}

// RoleCredentials are the credentials of a session of a role.
type RoleCredentials struct {
	Credentials
	ARN    string // ARN of the session
	ID     string // AROA…:session
	Packed int    // percent of the room for session policies and tags; 0 without any
}

// AssumeRole returns credentials for a session of a role. The role's trust policy
// must admit the caller. If it names only the caller's account, or the caller is
// from another account, the caller's own policies must allow the call as well. A
// session with tags needs sts:TagSession in the same way. It fails with ErrRootAssumes,
// *ValidationError, *SessionTagError, *PackedError, *policy.SyntaxError, or
// *DeniedError. A role that does not exist is a *DeniedError too, so that callers
// can't find out which roles exist.
func (s *Service) AssumeRole(ctx context.Context, call RoleCall) (RoleCredentials, error) {
	account, path, name, ok := s.splitARN(call.RoleARN, "role")
	if !ok {
		return RoleCredentials{}, &ValidationError{shorten(call.RoleARN) + " is invalid"}
	}
	if err := call.validate(); err != nil {
		return RoleCredentials{}, err
	}
	switch call.Caller.Kind {
	case Root:
		return RoleCredentials{}, ErrRootAssumes
	case FederatedUser: // as at AWS, which gives them nothing of STS but GetCallerIdentity
		return RoleCredentials{}, call.denied(assumeRole, policy.NoMatch, IdentityBased)
	}
	role, err := s.role(ctx, account, name)
	_, impossible := errors.AsType[*ValidationError](err)
	if impossible || errors.Is(err, ErrNotFound) || err == nil && role.Path != path {
		return RoleCredentials{}, call.denied(assumeRole, policy.NoMatch, IdentityBased)
	}
	if err != nil {
		return RoleCredentials{}, err
	}
	if err := s.admit(ctx, assumeRole, role, call); err != nil {
		return RoleCredentials{}, err
	}
	if call.tagsSession() {
		if err := s.admit(ctx, tagSession, role, call); err != nil {
			return RoleCredentials{}, err
		}
	}
	life, err := call.life(role)
	if err != nil {
		return RoleCredentials{}, err
	}
	of := session{Account: account, Role: role.Name, RoleID: role.ID, Name: call.SessionName, Policy: call.Policy, PolicyARNs: call.PolicyARNs}
	of.tagged(call)
	packed, err := of.packed()
	if err != nil {
		return RoleCredentials{}, err
	}
	for _, arn := range of.PolicyARNs {
		if _, err := s.GetPolicy(ctx, account, arn); err != nil {
			return RoleCredentials{}, err
		}
	}
	credentials, err := s.mint(of, life)
	return RoleCredentials{credentials, s.sessionARN(role, of.Name), role.ID + ":" + of.Name, packed}, err
}

// admit decides whether the caller may assume a role, or tag the session: action says
// which.
func (s *Service) admit(ctx context.Context, action string, role Role, call RoleCall) error {
	trust, err := s.parseTrust(role)
	if err != nil {
		return err
	}
	c := maps.Clone(call.Context)
	if c == nil {
		c = policy.Context{}
	}
	c.Set("sts:RoleSessionName", call.SessionName)
	if call.ExternalID != "" {
		c.Set("sts:ExternalId", call.ExternalID)
	}
	Details{ResourceTags: role.Tags}.AddTo(c)
	call.addTags(c)
	verdict, err := Decide(ctx, call.Caller, Access{Action: action, Resource: s.ARN(role), Policy: trust, Context: c})
	if err != nil {
		return err
	}
	own, theirs := verdict.Own, verdict.Resource
	sameAccount := call.Caller.Account == role.Account
	switch {
	case own == policy.Deny || theirs == policy.Deny:
		return call.denied(action, policy.Deny, verdict.By)
	case theirs == policy.Allow && sameAccount && verdict.Beyond == "":
		return nil
	case theirs != policy.NoMatch && own == policy.Allow:
		return nil
	}
	return call.denied(action, policy.NoMatch, verdict.By)
}

func (call RoleCall) denied(action string, d policy.Decision, by PolicyType) error {
	return &DeniedError{Principal: call.Caller.ARN, Action: action, Resource: shorten(call.RoleARN), Explicit: d == policy.Deny, By: by}
}

func (call RoleCall) life(role Role) (time.Duration, error) {
	chained := call.Caller.Kind == RoleSession
	switch {
	case call.Life == nil:
		return defaultRoleLife, nil
	case chained && *call.Life > maxChainedLife:
		return 0, &ValidationError{"The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"}
	case *call.Life > role.MaxSession:
		return 0, &ValidationError{"The requested DurationSeconds exceeds the MaxSessionDuration set for this role."}
	}
	return *call.Life, nil
}

// SessionToken returns temporary credentials for the user or root p. They are valid
// only as long as the long-lived key that p used. A session can't ask for another
// session.
func (s *Service) SessionToken(p Principal, life *time.Duration) (Credentials, error) {
	if p.keyID == "" {
		return Credentials{}, ErrSessionAsks
	}
	if err := checkLife(life, maxTokenLife); err != nil {
		return Credentials{}, err
	}
	asked := defaultTokenLife
	if life != nil {
		asked = *life
	}
	if p.Kind == Root {
		asked = min(asked, maxRootTokenLife)
	}
	return s.mint(session{KeyID: p.keyID}, asked)
}
