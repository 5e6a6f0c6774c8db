package iam

import (
	"slices"

	"github.com/diskport/diskport/internal/identity/policy"
)

// Access is a wish to act on one resource that has a policy of its own.
type Access struct {
	Action   string
	Resource string          // ARN
	Policy   policy.Document // the resource's
	Context  policy.Context  // of the request; not changed, may be nil
}

// Decide returns what p's own policies and the resource's policy say about a.
// How the two go together is the business of the resource's service. Unlike
// Authorize it judges resources of every account, for which root's own word is
// always Allow.
func Decide(p Principal, a Access) (own, resource policy.Decision) {
	full := p.about(a.Context)
	own = p.own(a.Action, a.Resource, full)
	resource = a.Policy.Evaluate(policy.Request{Caller: p.caller(), Action: a.Action, Resource: a.Resource, Context: full})
	return own, resource
}

// Within reports whether the policies of p's session, if it has any, allow a:
// without that no word of the resource's own is enough.
func (p Principal) Within(a Access) bool {
	r := policy.Request{Action: a.Action, Resource: a.Resource, Context: p.about(a.Context)}
	return !p.limited || policy.Evaluate(p.limits, r) == policy.Allow
}

// Named reports whether p is who a stored word for a principal names: itself or the role
// that it is in. See PrincipalID.
func (p Principal) Named(id string) bool {
	return id != "" && slices.Contains(p.ids(), id)
}

// caller is how Principal elements may name p.
func (p Principal) caller() policy.Caller {
	switch p.Kind {
	case Anonymous:
		return policy.Caller{}
	case ServicePrincipal:
		return policy.Caller{Service: p.Name}
	}
	return policy.Caller{Account: p.Account, ARNs: p.ids()}
}
