package iamapi

import (
	"context"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/identity/iam"
)

// onPolicy names the managed policy that a request is about. It is embedded in
// requests.
type onPolicy struct{ PolicyArn string }

func (r onPolicy) arn() string { return r.PolicyArn }

// thePolicy is like theRole, for managed policies.
func thePolicy[R interface{ arn() string }](ctx context.Context, c call, r R) (subject, error) {
	m, err := c.opts.Service.GetPolicy(ctx, c.account(), r.arn())
	if err != nil { // missing, or not an ARN: the action itself says so to callers with the permission
		return subject{arn: shorten(r.arn())}, nil
	}
	return subject{arn: c.opts.Service.ARNOfPolicy(m), tags: m.Tags}, nil
}

// policyXML is a managed policy as sent to clients.
type policyXML struct {
	PolicyName                    string
	PolicyId                      string
	Arn                           string
	Path                          string
	DefaultVersionId              string
	AttachmentCount               int
	PermissionsBoundaryUsageCount int
	IsAttachable                  bool
	Description                   string `xml:",omitempty"` // absent in lists
	CreateDate, UpdateDate        stamp
	Tags                          *members[tagXML] // absent in lists
}

func (c call) policyXML(m iam.Managed) policyXML {
	return policyXML{
		PolicyName: m.Name, PolicyId: m.ID, Arn: c.opts.Service.ARNOfPolicy(m), Path: m.Path, DefaultVersionId: versionID(m.Default),
		AttachmentCount: m.Attachments, PermissionsBoundaryUsageCount: m.Boundaries, IsAttachable: true, CreateDate: stamp(m.Created), UpdateDate: stamp(m.Updated),
	}
}

type policyOut struct{ Policy policyXML }

func (c call) policyOut(m iam.Managed) policyOut {
	x := c.policyXML(m)
	x.Description, x.Tags = m.Description, someTags(m.Tags)
	return policyOut{x}
}

func versionID(number int) string { return "v" + strconv.Itoa(number) }

type createPolicyIn struct {
	PolicyName, Path, PolicyDocument, Description string
	taggingIn
}

func newPolicy(_ context.Context, c call, r createPolicyIn) (subject, error) {
	return subject{arn: c.opts.Service.EntityARN(c.account(), "policy", r.Path, r.PolicyName)}, nil
}

func createPolicy(ctx context.Context, c call, r createPolicyIn) (any, error) {
	m, err := c.opts.Service.CreatePolicy(ctx, c.account(), iam.PolicySpec{
		Name: r.PolicyName, Path: r.Path, Document: r.PolicyDocument, Description: r.Description, Tags: r.givesTags(),
	})
	out := c.policyOut(m)
	out.Policy.Description = "" // AWS leaves it out here
	return out, err
}

type managedIn struct{ onPolicy }

func getPolicy(ctx context.Context, c call, r managedIn) (any, error) {
	m, err := c.opts.Service.GetPolicy(ctx, c.account(), r.PolicyArn)
	return c.policyOut(m), err
}

func deletePolicy(ctx context.Context, c call, r managedIn) (any, error) {
	return nil, c.opts.Service.DeletePolicy(ctx, c.account(), r.PolicyArn)
}

type listPoliciesIn struct {
	paging
	Scope             string
	OnlyAttached      bool
	PathPrefix        string
	PolicyUsageFilter string
}

func listPolicies(ctx context.Context, c call, r listPoliciesIn) (any, error) {
	if err := oneOf("scope", r.Scope, "", "All", "AWS", "Local"); err != nil {
		return nil, err
	}
	if err := checkUsage(r.PolicyUsageFilter); err != nil {
		return nil, err
	}
	query := iam.PolicyQuery{AWS: r.Scope != "Local", Local: r.Scope != "AWS", OnlyAttached: r.OnlyAttached, Use: iam.Use(r.PolicyUsageFilter), PathPrefix: r.PathPrefix}
	list, err := c.opts.Service.ListPolicies(ctx, c.account(), query)
	if err != nil {
		return nil, err
	}
	list, cut, err := page(r.paging, list, c.opts.Service.ARNOfPolicy)
	return struct {
		Policies members[policyXML]
		pageXML
	}{convert(list, c.policyXML), cut}, err
}

func checkUsage(filter string) error {
	return oneOf("policyUsageFilter", filter, "", string(iam.AsPermissions), string(iam.AsBoundary))
}

func oneOf(field, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return &iam.ValidationError{Message: "1 validation error detected: Value at '" + field +
		"' failed to satisfy constraint: Member must satisfy enum value set: [" + strings.Join(allowed[1:], ", ") + "]"}
}

type tagPolicyIn struct {
	onPolicy
	taggingIn
}

func tagPolicy(ctx context.Context, c call, r tagPolicyIn) (any, error) {
	return nil, c.opts.Service.TagPolicy(ctx, c.account(), r.PolicyArn, r.givesTags())
}

type untagPolicyIn struct {
	onPolicy
	untaggingIn
}

func untagPolicy(ctx context.Context, c call, r untagPolicyIn) (any, error) {
	return nil, c.opts.Service.UntagPolicy(ctx, c.account(), r.PolicyArn, r.TagKeys)
}

// policyList is a request for a list that belongs to a managed policy.
type policyList struct {
	onPolicy
	paging
}

func listPolicyTags(ctx context.Context, c call, r policyList) (any, error) {
	m, err := c.opts.Service.GetPolicy(ctx, c.account(), r.PolicyArn)
	if err != nil {
		return nil, err
	}
	return tagPage(r.paging, m.Tags)
}
