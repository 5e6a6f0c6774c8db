package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/diskport/diskport/internal/identity/policy"
)

// DeniedError reports that a principal may not do something. Its text may be shown
// to the client; EC2 puts a sentence before it.
type DeniedError struct {
	Principal string // ARN
	Action    string
	Resource  string     // the first one refused
	Explicit  bool       // refused by a Deny, rather than for want of an Allow
	By        PolicyType // refused by the policies of this type; empty: identity-based ones
	Costly    bool       // refused because evaluating the policies would take too long
}

// PolicyType is a type of policies, as refusals name it.
type PolicyType string

// The types of policies that a principal has.
const (
	IdentityBased PolicyType = "identity-based policy"
	Boundary      PolicyType = "permissions boundary"
	SessionPolicy PolicyType = "session policy"
)

// Denied says why a request is refused: by a Deny in a policy of the type, or because
// none allows the action.
func (t PolicyType) Denied(action string, d policy.Decision) string {
	switch {
	case d != policy.Deny:
		return fmt.Sprintf("because no %s allows the %s action", t, action)
	case t == IdentityBased:
		return "with an explicit deny in an " + string(t)
	}
	return "with an explicit deny in a " + string(t)
}

func (e *DeniedError) Error() string {
	who := e.Principal
	if who == "" {
		who = "anonymous"
	}
	decision := policy.NoMatch
	if e.Explicit {
		decision = policy.Deny
	}
	why := cmp.Or(e.By, IdentityBased).Denied(e.Action, decision)
	if e.Costly {
		why = "because " + policy.ErrTooCostly.Error()
	}
	return fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", who, e.Action, e.Resource, why)
}

// Authorize returns nil if p may perform action on every one of resources (ARNs, or
// "*" if the action has none), else a *DeniedError. Root may do everything in its
// own account; others may do what their policies allow. Authorize adds the keys
// about p itself to context, which is not modified and may be nil. All resources of
// a call, and all calls of a request, share one limit on the steps of evaluation.
// If ctx ends, so does the evaluation, with ctx's error.
func Authorize(ctx context.Context, p Principal, action string, with policy.Context, resources ...string) error {
	w := policy.NewWork(ctx)
	full := p.about(with)
	for _, resource := range resources {
		decision, by := policy.NoMatch, IdentityBased
		if !foreign(resource, p.Account) {
			decision, by = p.judge(w, action, resource, withAccount(full, resource))
		}
		refused := &DeniedError{Principal: p.ARN, Action: action, Resource: resource, Explicit: decision == policy.Deny, By: by}
		if err := ended(w, refused); err != nil {
			return err
		}
		if decision != policy.Allow {
			return refused
		}
	}
	return nil
}

// withAccount adds the account that an ARN names. If the ARN has none, the service
// may already have set it.
func withAccount(c policy.Context, arn string) policy.Context {
	account := accountIn(arn)
	if account == "" {
		return c
	}
	c = maps.Clone(c)
	c.Set("aws:ResourceAccount", account)
	return c
}

// ended returns why an evaluation ended before it reached a decision, or nil. If it
// was too costly, that is refused.
func ended(w *policy.Work, refused *DeniedError) error {
	err := w.Err()
	switch {
	case errors.Is(err, policy.ErrTooCostly):
		refused.Costly, refused.Explicit = true, false
		return refused
	case err != nil:
		return fmt.Errorf("iam: authorising %s: %w", refused.Action, err)
	}
	return nil
}

// judge returns what p's own policies say about a resource of any account: those of its
// identity, and the boundary and the session's policies that limit them. by is the type
// of policies that decided.
func (p Principal) judge(w *policy.Work, action, resource string, c policy.Context) (decision policy.Decision, by PolicyType) {
	r := policy.Request{Action: action, Resource: resource, Context: c}
	switch {
	case p.Kind == Anonymous:
		return policy.NoMatch, IdentityBased
	case p.Kind == Root:
		decision = policy.Allow
	default:
		decision = policy.Evaluate(w, p.policies, r)
	}
	by = IdentityBased
	for _, limit := range p.limiting() {
		if decision == policy.Deny {
			break
		}
		within := policy.Evaluate(w, limit.documents, r)
		if within == policy.Deny || decision == policy.Allow && within != policy.Allow {
			decision, by = within, limit.by
		}
	}
	return decision, by
}

// limit are the policies of a type, one of which must allow what the identity's policies
// allow.
type limit struct {
	by        PolicyType
	documents []policy.Document
}

// limiting returns what limits p's identity policies.
func (p Principal) limiting() (list []limit) {
	if p.bounded {
		list = append(list, limit{Boundary, p.boundary})
	}
	if p.limited {
		list = append(list, limit{SessionPolicy, p.limits})
	}
	return list
}

// foreign reports whether an ARN names another account. If the ARN names none (a
// bucket, a snapshot), it is up to the resource's own domain to judge.
func foreign(resource, account string) bool {
	owner := accountIn(resource)
	return owner != "" && owner != awsAccount && owner != account
}

// accountIn returns the account that an ARN names, or "".
func accountIn(arn string) string {
	part := strings.SplitN(arn, ":", 6)
	if len(part) != 6 || part[0] != "arn" {
		return ""
	}
	return part[4]
}
