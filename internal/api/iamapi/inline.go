package iamapi

import (
	"context"
	"strings"

	"github.com/diskport/diskport/internal/identity/iam"
)

// owned is implemented by requests about the policies of a user or a role.
type owned interface{ owner(c call) iam.Owner }

// policyIn names an inline policy and has its document.
type policyIn struct{ PolicyName, PolicyDocument string }

func (r policyIn) policy() iam.Policy {
	return iam.Policy{Name: r.PolicyName, Document: r.PolicyDocument}
}

type (
	rolePut struct {
		onRole
		policyIn
	}
	userPut struct {
		onUser
		policyIn
	}
)

func putInline[R interface {
	owned
	policy() iam.Policy
}](ctx context.Context, c call, r R) (any, error) {
	return nil, c.opts.Service.PutInline(ctx, r.owner(c), r.policy())
}

// nameIn names an inline policy.
type nameIn struct{ PolicyName string }

func (r nameIn) policyName() string { return r.PolicyName }

type (
	roleInline struct {
		onRole
		nameIn
	}
	userInline struct {
		onUser
		nameIn
	}
	inline interface {
		owned
		policyName() string
	}
)

func getInline[R inline](ctx context.Context, c call, r R) (any, error) {
	o := r.owner(c)
	p, err := c.opts.Service.GetInline(ctx, o, r.policyName())
	out := struct {
		RoleName       string `xml:",omitempty"`
		UserName       string `xml:",omitempty"`
		PolicyName     string
		PolicyDocument string
	}{PolicyName: p.Name, PolicyDocument: escaped(p.Document)}
	if o.Kind == iam.KindRole {
		out.RoleName = o.Name
	} else {
		out.UserName = o.Name
	}
	return out, err
}

func deleteInline[R inline](ctx context.Context, c call, r R) (any, error) {
	return nil, c.opts.Service.DeleteInline(ctx, r.owner(c), r.policyName())
}

func listInline[R interface {
	owned
	pages() paging
}](ctx context.Context, c call, r R) (any, error) {
	all, err := c.opts.Service.PoliciesOf(ctx, r.owner(c))
	if err != nil {
		return nil, err
	}
	name := func(p iam.Policy) string { return p.Name }
	list, cut, err := page(r.pages(), all.Inline, name)
	return struct {
		PolicyNames members[string]
		pageXML
	}{convert(list, name), cut}, err
}

// attachIn names a managed policy.
type attachIn struct{ PolicyArn string }

func (r attachIn) attaches() string { return r.PolicyArn }

type (
	roleAttach struct {
		onRole
		attachIn
	}
	userAttach struct {
		onUser
		attachIn
	}
	attaching interface {
		owned
		attaches() string
	}
)

func attach[R attaching](ctx context.Context, c call, r R) (any, error) {
	return nil, c.opts.Service.AttachPolicy(ctx, r.owner(c), r.attaches())
}

func detach[R attaching](ctx context.Context, c call, r R) (any, error) {
	return nil, c.opts.Service.DetachPolicy(ctx, r.owner(c), r.attaches())
}

// prefixIn selects policies whose path has a prefix.
type prefixIn struct{ PathPrefix string }

func (r prefixIn) prefix() string { return r.PathPrefix }

type (
	roleListAttached struct {
		roleList
		prefixIn
	}
	userListAttached struct {
		userList
		prefixIn
	}
)

func listAttached[R interface {
	owned
	pages() paging
	prefix() string
}](ctx context.Context, c call, r R) (any, error) {
	all, err := c.opts.Service.PoliciesOf(ctx, r.owner(c))
	if err != nil {
		return nil, err
	}
	type attachedXML struct{ PolicyName, PolicyArn string }
	var list []attachedXML
	for _, a := range all.Attached {
		_, rest, _ := strings.Cut(a.ARN, ":policy")
		if strings.HasPrefix(rest, r.prefix()) {
			list = append(list, attachedXML{a.ARN[strings.LastIndexByte(a.ARN, '/')+1:], a.ARN})
		}
	}
	list, cut, err := page(r.pages(), list, func(a attachedXML) string { return a.PolicyArn })
	return struct {
		AttachedPolicies members[attachedXML]
		pageXML
	}{list, cut}, err
}
