package iam

import (
	"context"
	"slices"

	"github.com/diskport/diskport/internal/identity/policy"
)

// Access is a request to act on one resource that has a policy of its own.
type Access struct {
	Action   string
	Resource string          // ARN
	Policy   policy.Document // the resource's
	Context  policy.Context  // of the request; not modified; may be nil
}

// Verdict is what the policies say about an Access, each on its own. The resource's
// service decides how they combine.
type Verdict struct {
	Own      policy.Decision // of the principal's policies, within its boundary and its session's policies
	By       PolicyType      // the type of the policies that Own is due to
	Resource policy.Decision // of the resource's policy
	// Beyond is the type of policies that limit what the resource's policy allows, and
	// don't allow the access; empty: none. If there is one, an Allow of the resource's
	// policy is not enough. As at AWS, what it allows a user is not limited, nor what
	// it allows a session that it names; what it allows a role is, by the role's
	// boundary and the session's policies.
	Beyond PolicyType
}

// Decide returns what p's own policies and the resource's policy say about a.
// Unlike Authorize it also judges resources of other accounts; for root, the answer
// of its own policies is always Allow. It fails with a *DeniedError if the
// evaluation would take too long, and with ctx's error.
func Decide(ctx context.Context, p Principal, a Access) (Verdict, error) {
	w := policy.NewWork(ctx)
	full := p.about(a.Context)
	r := policy.Request{Caller: p.caller(), Action: a.Action, Resource: a.Resource, Context: full}
	v := Verdict{Resource: a.Policy.Evaluate(w, r)}
	v.Own, v.By = p.judge(w, a.Action, a.Resource, full)
	v.Beyond = p.beyond(w, a.Policy, r)
	if err := ended(w, &DeniedError{Principal: p.ARN, Action: a.Action, Resource: a.Resource}); err != nil {
		return Verdict{}, err
	}
	return v, nil
}

// beyond returns the Beyond of a Verdict.
func (p Principal) beyond(w *policy.Work, attached policy.Document, r policy.Request) PolicyType {
	if p.Kind == User {
		return ""
	}
	for _, limit := range p.limiting() {
		if policy.Evaluate(w, limit.documents, r) == policy.Allow {
			continue
		}
		if ids := p.ids(); len(ids) > 0 {
			r.Caller = policy.Caller{ARNs: ids[:1], ByName: true}
			if attached.Evaluate(w, r) == policy.Allow {
				return ""
			}
		}
		return limit.by
	}
	return ""
}

// Named reports whether a stored principal id names p: p itself, or the role whose
// session p is. See PrincipalID.
func (p Principal) Named(id string) bool {
	return id != "" && slices.Contains(p.ids(), id)
}

// caller returns p in the forms in which Principal elements may name it.
func (p Principal) caller() policy.Caller {
	switch p.Kind {
	case Anonymous:
		return policy.Caller{}
	case ServicePrincipal:
		return policy.Caller{Service: p.Name}
	}
	return policy.Caller{Account: p.Account, ARNs: p.ids()}
}
