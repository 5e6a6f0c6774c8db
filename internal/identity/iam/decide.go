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
	Own      policy.Decision // of the principal's policies and its session's
	Resource policy.Decision // of the resource's policy
	// Within reports whether the session's policies allow the access; it is true
	// without a session policy. If it is false, an Allow of the resource's policy is
	// not enough.
	Within bool
}

// Decide returns what p's own policies and the resource's policy say about a.
// Unlike Authorize it also judges resources of other accounts; for root, the answer
// of its own policies is always Allow. It fails with a *DeniedError if the
// evaluation would take too long, and with ctx's error.
func Decide(ctx context.Context, p Principal, a Access) (Verdict, error) {
	w := policy.NewWork(ctx)
	full := p.about(a.Context)
	r := policy.Request{Caller: p.caller(), Action: a.Action, Resource: a.Resource, Context: full}
	v := Verdict{Resource: a.Policy.Evaluate(w, r), Within: true}
	v.Own, _ = p.judge(w, a.Action, a.Resource, full)
	if p.limited {
		v.Within = policy.Evaluate(w, p.limits, r) == policy.Allow
	}
	if err := ended(w, &DeniedError{Principal: p.ARN, Action: a.Action, Resource: a.Resource}); err != nil {
		return Verdict{}, err
	}
	return v, nil
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
