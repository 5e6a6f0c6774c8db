package iam

import (
	"context"
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

// Verdict is what the policies about an Access say. How they go together is the
// business of the resource's service.
type Verdict struct {
	Own      policy.Decision // of the principal, with those of its session
	Resource policy.Decision // of the resource
	// Within reports whether the policies of the principal's session, if it has
	// any, allow it: without that no word of the resource's own is enough.
	Within bool
}

// Decide returns what p's own policies and the resource's policy say about a. Unlike
// Authorize it judges resources of every account, for which root's own word is
// always Allow. It fails with a *DeniedError if that would take too long, and with
// ctx's error.
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
