package iam

import (
	"fmt"
	"strings"

	"github.com/diskport/diskport/internal/identity/policy"
)

// DeniedError reports that a principal may not do something. Its text may be shown; EC2
// puts a sentence before it.
type DeniedError struct {
	Principal string // ARN
	Action    string
	Resource  string // the first one that is refused
	Explicit  bool   // by a Deny, rather than for want of an Allow
	Session   bool   // by the session's policies, not the identity's
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
	if e.Explicit {
		why = fmt.Sprintf("with an explicit deny in %s %s policy", article, kind)
	}
	return fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", who, e.Action, e.Resource, why)
}

// Authorize returns nil if p may do action to every one of resources (ARNs, or
// "*" where the action has none), else a *DeniedError. Root may do everything
// in its own account; others what their policies allow. The keys that tell of
// p itself are added to what context says of the request; context is not
// changed and may be nil.
func Authorize(p Principal, action string, context policy.Context, resources ...string) error {
	full := p.about(context)
	for _, resource := range resources {
		decision, session := policy.NoMatch, false
		if !foreign(resource, p.Account) {
			decision, session = p.judge(action, resource, full)
		}
		if decision != policy.Allow {
			return &DeniedError{p.ARN, action, resource, decision == policy.Deny, session}
		}
	}
	return nil
}

// own is what p's own policies say, about a resource of whatever account.
func (p Principal) own(action, resource string, c policy.Context) policy.Decision {
	decision, _ := p.judge(action, resource, c)
	return decision
}

// judge is own, and says whether the session's policies turned an Allow of the
// identity's into something else.
func (p Principal) judge(action, resource string, c policy.Context) (decision policy.Decision, session bool) {
	r := policy.Request{Action: action, Resource: resource, Context: c}
	switch p.Kind {
	case Anonymous:
		return policy.NoMatch, false
	case Root:
		decision = policy.Allow
	default:
		decision = policy.Evaluate(p.policies, r)
	}
	if !p.limited || decision == policy.Deny {
		return decision, false
	}
	limit := policy.Evaluate(p.limits, r)
	if limit == policy.Deny || decision == policy.Allow && limit != policy.Allow {
		return limit, true
	}
	return decision, false
}

// foreign reports whether an ARN names another account. An ARN without one (a
// bucket, a snapshot) is for its own domain to judge.
func foreign(resource, account string) bool {
	part := strings.SplitN(resource, ":", 6)
	return len(part) == 6 && part[0] == "arn" && part[4] != "" && part[4] != "aws" && part[4] != account
}
