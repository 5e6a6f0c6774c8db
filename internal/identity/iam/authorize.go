package iam

import (
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
	Resource  string // the first one refused
	Explicit  bool   // refused by a Deny, rather than for want of an Allow
	Session   bool   // refused by the session's policies, not the identity's
	Costly    bool   // refused because evaluating the policies would take too long
}

func (e *DeniedError) Error() string {
	who := e.Principal
	if who == "" {
		who = "anonymous"
	}
	kind, article := "identity-based", "an"
	if e.Session {
		kind, article = "session", "a"
	}
	why := fmt.Sprintf("because no %s policy allows the %s action", kind, e.Action)
	switch {
	case e.Costly:
		why = "because " + policy.ErrTooCostly.Error()
	case e.Explicit:
		why = fmt.Sprintf("with an explicit deny in %s %s policy", article, kind)
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
		decision, session := policy.NoMatch, false
		if !foreign(resource, p.Account) {
			decision, session = p.judge(w, action, resource, withAccount(full, resource))
		}
		refused := &DeniedError{Principal: p.ARN, Action: action, Resource: resource, Explicit: decision == policy.Deny, Session: session}
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

// judge returns what p's own policies say about a resource of any account, and
// whether the identity's policies allowed the request but the session's policies
// did not.
func (p Principal) judge(w *policy.Work, action, resource string, c policy.Context) (decision policy.Decision, session bool) {
	r := policy.Request{Action: action, Resource: resource, Context: c}
	switch p.Kind {
	case Anonymous:
		return policy.NoMatch, false
	case Root:
		decision = policy.Allow
	default:
		decision = policy.Evaluate(w, p.policies, r)
	}
	if !p.limited || decision == policy.Deny {
		return decision, false
	}
	limit := policy.Evaluate(w, p.limits, r)
	if limit == policy.Deny || decision == policy.Allow && limit != policy.Allow {
		return limit, true
	}
	return decision, false
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
