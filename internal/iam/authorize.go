package iam

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/policy"
)

// DeniedError: a principal may not do something. Its text may be shown; EC2
// puts a sentence before it.
type DeniedError struct {
	Principal string // ARN
	Action    string
	Resource  string // the first one that is refused
	Explicit  bool   // by a Deny, rather than for want of an Allow
}

func (e *DeniedError) Error() string {
	who := e.Principal
	if who == "" {
		who = "anonymous"
	}
	why := fmt.Sprintf("because no identity-based policy allows the %s action", e.Action)
	if e.Explicit {
		why = "with an explicit deny in an identity-based policy"
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
		if decision := p.decide(action, resource, full); decision != policy.Allow {
			return &DeniedError{p.ARN, action, resource, decision == policy.Deny}
		}
	}
	return nil
}

func (p Principal) decide(action, resource string, c policy.Context) policy.Decision {
	if foreign(resource, p.Account) {
		return policy.NoMatch
	}
	return p.own(action, resource, c)
}

// own is what p's own policies say, about a resource of whatever account.
func (p Principal) own(action, resource string, c policy.Context) policy.Decision {
	switch p.Kind {
	case Anonymous:
		return policy.NoMatch
	case Root:
		return policy.Allow
	}
	return policy.Evaluate(p.policies, policy.Request{Action: action, Resource: resource, Context: c})
}

// foreign reports whether an ARN names another account. An ARN without one (a
// bucket, a snapshot) is for its own domain to judge.
func foreign(resource, account string) bool {
	part := strings.SplitN(resource, ":", 6)
	return len(part) == 6 && part[0] == "arn" && part[4] != "" && part[4] != "aws" && part[4] != account
}

// Origin is what condition keys tell about a request as such.
type Origin struct {
	Time      time.Time
	SourceIP  string // without port
	Secure    bool   // came over TLS
	Region    string
	UserAgent string
}

// Context returns o as condition keys. Empty fields are left out.
func (o Origin) Context() policy.Context {
	c := policy.Context{}
	c.Set("aws:CurrentTime", o.Time.UTC().Format(time.RFC3339))
	c.Set("aws:EpochTime", strconv.FormatInt(o.Time.Unix(), 10))
	c.Set("aws:SecureTransport", strconv.FormatBool(o.Secure))
	for key, value := range map[string]string{
		"aws:SourceIp": o.SourceIP, "aws:RequestedRegion": o.Region, "aws:UserAgent": o.UserAgent,
	} {
		if value != "" {
			c.Set(key, value)
		}
	}
	return c
}
