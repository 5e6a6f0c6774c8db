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

func getKeyPolicy(_ context.Context, _ call, a kms.Access, r getPolicyIn) (any, error) {
	return struct{ Policy, PolicyName string }{a.Key.Policy, kms.PolicyName}, checkPolicyName(r.PolicyName)
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
	return nil, c.opts.Service.SetPolicy(ctx, c.who, a.Key, r.Policy, r.BypassPolicyLockoutSafetyCheck)
}

func listKeyPolicies(_ context.Context, _ call, _ kms.Access, r listOfKeyIn) (any, error) {
	names, cut, err := page(r.paging, bounds{100, 1000}, []string{kms.PolicyName}, func(name string) string { return name })
	return struct {
		PolicyNames []string
		pageJSON
	}{names, cut}, err
}
