package kmsapi

import (
	"context"
	"strconv"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
)

type getPolicyIn struct {
	keyIn
	PolicyName string
}

// checkPolicyName refuses all but the one name that a policy can have.
func checkPolicyName(name string) error {
	if name != "" && name != kms.PolicyName {
		return &kms.Error{Err: kms.ErrNotFound, Message: "No such policy exists"}
	}
	return nil
}

func getKeyPolicy(ctx context.Context, c call, a kms.Access, r getPolicyIn) (any, error) {
	if err := checkPolicyName(r.PolicyName); err != nil {
		return nil, err
	}
	shown, err := c.opts.Service.PolicyOf(ctx, a.Key)
	return struct{ Policy, PolicyName string }{shown, kms.PolicyName}, err
}

type putPolicyIn struct {
	getPolicyIn
	Policy                         string
	BypassPolicyLockoutSafetyCheck bool
}

func (r putPolicyIn) about() policy.Context {
	c := policy.Context{}
	c.Set("kms:BypassPolicyLockoutSafetyCheck", strconv.FormatBool(r.BypassPolicyLockoutSafetyCheck))
	return c
}

func putKeyPolicy(ctx context.Context, c call, a kms.Access, r putPolicyIn) (any, error) {
	if r.Policy == "" {
		return nil, required("policy")
	}
	if err := checkPolicyName(r.PolicyName); err != nil {
		return nil, err
	}
	return nil, c.opts.Service.SetPolicy(ctx, c.who, a.Key, kms.KeyPolicy{Document: r.Policy, Bypass: r.BypassPolicyLockoutSafetyCheck})
}

func listKeyPolicies(_ context.Context, _ call, _ kms.Access, r listOfKeyIn) (any, error) {
	names, cut, err := page(r.paging, bounds{100, 1000}, []string{kms.PolicyName}, func(name string) string { return name })
	return struct {
		PolicyNames []string
		pageJSON
	}{names, cut}, err
}
