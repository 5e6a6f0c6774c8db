package ec2api

import (
	"context"
	"net/http"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/identity/policy"
)

// call is one request on its way through this edge.
type call struct {
	*API
	*awshttp.Call
	host string // that the request was sent to
	// tagsSnapshots is that the client says that it knows that AWS does not let imports tag
	// their snapshots: see tagSnapshotsHeader.
	tagsSnapshots bool
}

func (c call) account() string { return c.Principal.Account }

// action answers one request.
type action func(ctx context.Context, c call) (any, error)

// common is embedded in every request.
type common struct{ DryRun bool }

func (c common) dry() bool { return c.DryRun }

// deepRequest is a request whose dry run can check more than AWS's does
// (--deep-dry-run): it returns the error that the real call, or the task that it
// starts, would end with.
type deepRequest interface {
	deepCheck(ctx context.Context, c call) error
}

// grant is one permission that a request needs.
type grant struct {
	action    string // such as "ec2:DeleteSnapshot"
	context   policy.Context
	resources []string // ARNs, or "*"
}

// on makes an action of its parts, in the order of checks that all actions
// share: decode, authorise, throttle, validate, dry run. Token replay, limits, role and
// object are the domain's, in that order.
func on[R interface{ dry() bool }](grants func(c call, r R) []grant, rules []rule[R], handle func(ctx context.Context, c call, r R) (any, error)) action {
	return func(ctx context.Context, c call) (any, error) {
		var r R
		if err := ec2query.Decode(c.Form, &r); err != nil {
			return nil, err
		}
		if err := c.authorize(ctx, grants(c, r)); err != nil {
			return nil, err
		}
		if !c.Throttle.Allow(c.Principal.Identity(), c.Action) {
			return nil, awshttp.Fault{Status: http.StatusServiceUnavailable, Code: "RequestLimitExceeded", Message: "Request limit exceeded."}
		}
		if err := validate(c, r, rules); err != nil {
			return nil, err
		}
		if r.dry() {
			if deep, ok := any(r).(deepRequest); ok && c.DeepDryRun {
				if err := deep.deepCheck(ctx, c); err != nil {
					return nil, err
				}
			}
			return nil, awshttp.Fault{Status: 412, Code: "DryRunOperation", Message: "Request would have succeeded, but DryRun flag is set."}
		}
		return handle(ctx, c, r)
	}
}

// anywhere is the grant of actions that can't be limited to resources.
func anywhere[R any](name string) func(call, R) []grant {
	return func(call, R) []grant { return []grant{{action: "ec2:" + name, resources: []string{"*"}}} }
}
