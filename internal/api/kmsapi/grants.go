package kmsapi

import (
	"context"
	"strings"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
)

// dryIn holds the parameter of requests that support a dry run.
type dryIn struct{ DryRun bool }

func (d dryIn) dry() bool { return d.DryRun }

type constraints struct {
	EncryptionContextEquals kms.EncryptionContext `json:",omitempty"`
	EncryptionContextSubset kms.EncryptionContext `json:",omitempty"`
}

type createGrantIn struct {
	keyIn
	grantTokens
	dryIn
	Constraints       *constraints
	GranteePrincipal  string
	Name              string
	Operations        []string
	RetiringPrincipal string
}

func (r createGrantIn) about() policy.Context {
	c := policy.Context{}
	c.Set("kms:GranteePrincipal", r.GranteePrincipal)
	c.Set("kms:GrantOperations", r.Operations...)
	c.Set("kms:GrantIsForAWSResource", "false")
	if r.RetiringPrincipal != "" {
		c.Set("kms:RetiringPrincipal", r.RetiringPrincipal)
	}
	switch {
	case r.Constraints == nil:
	case r.Constraints.EncryptionContextEquals != nil:
		c.Set("kms:GrantConstraintType", "EncryptionContextEquals")
	case r.Constraints.EncryptionContextSubset != nil:
		c.Set("kms:GrantConstraintType", "EncryptionContextSubset")
	}
	return c
}

func createGrant(ctx context.Context, c call, a kms.Access, r createGrantIn) (any, error) {
	g := kms.Grant{Name: r.Name, Grantee: r.GranteePrincipal, Retiring: r.RetiringPrincipal, Operations: r.Operations}
	if r.Constraints != nil {
		g.Equals, g.Subset = r.Constraints.EncryptionContextEquals, r.Constraints.EncryptionContextSubset
	}
	g, err := c.opts.Service.CreateGrant(ctx, c.who, a, g)
	return struct{ GrantId, GrantToken string }{g.ID, g.Token()}, err
}

type listGrantsIn struct {
	keyIn
	paging
	GrantId, GranteePrincipal string
}

// grantJSON is a grant in a list.
type grantJSON struct {
	KeyId, GrantId    string
	Name              string `json:",omitempty"`
	CreationDate      stamp
	GranteePrincipal  string
	RetiringPrincipal string `json:",omitempty"`
	IssuingAccount    string
	Operations        []string
	Constraints       *constraints `json:",omitempty"`
}

func grantOut(g kms.Grant) grantJSON {
	issuer := strings.SplitN(g.Issuer, ":", 6) // arn:partition:iam::account:…
	out := grantJSON{
		KeyId: g.Key.ARN(), GrantId: g.ID, Name: g.Name, CreationDate: stamp(g.Created), GranteePrincipal: g.Grantee,
		RetiringPrincipal: g.Retiring, IssuingAccount: "arn:" + issuer[1] + ":iam::" + issuer[4] + ":root", Operations: g.Operations,
	}
	if g.Equals != nil || g.Subset != nil {
		out.Constraints = &constraints{g.Equals, g.Subset}
	}
	return out
}

func (r listGrantsIn) about() policy.Context { return directly() }

// directly sets the condition key that says that no AWS service makes the request
// for somebody.
func directly() policy.Context {
	c := policy.Context{}
	c.Set("kms:GrantIsForAWSResource", "false")
	return c
}

func listGrants(ctx context.Context, c call, a kms.Access, r listGrantsIn) (any, error) {
	all, err := c.opts.Service.Grants(ctx, a.Key.Ref)
	if err != nil {
		return nil, err
	}
	grantee := ""
	if r.GranteePrincipal != "" {
		if grantee, err = c.opts.Service.Grantee(ctx, r.GranteePrincipal); err != nil {
			return nil, err
		}
	}
	var list []kms.Grant
	for _, g := range all {
		if (r.GrantId == "" || r.GrantId == g.ID) && (r.GranteePrincipal == "" || grantee == g.Grantee) {
			list = append(list, g)
		}
	}
	list, cut, err := page(r.paging, bounds{50, 100}, list, func(g kms.Grant) string { return g.ID })
	if err != nil {
		return nil, err
	}
	return c.grantPage(ctx, list, cut)
}

type retirableIn struct {
	paging
	RetiringPrincipal string
}

// listRetirableGrants lists the grants in the caller's account that a principal may
// retire.
func listRetirableGrants(ctx context.Context, c call, r retirableIn) (any, error) {
	if err := c.who.May(ctx, "kms:ListRetirableGrants", "*", nil); err != nil {
		return nil, err
	}
	if r.RetiringPrincipal == "" {
		return nil, required("retiringPrincipal")
	}
	size, after, err := r.paging.of(bounds{50, 100})
	if err != nil {
		return nil, err
	}
	found, err := c.opts.Service.RetirableBy(ctx, c.who, r.RetiringPrincipal, after, size+1)
	if err != nil {
		return nil, err
	}
	list, cut, err := page(r.paging, bounds{50, 100}, found, func(g kms.Grant) string { return g.ID })
	if err != nil {
		return nil, err
	}
	return c.grantPage(ctx, list, cut)
}

// grantPage is a response with grants.
func (c call) grantPage(ctx context.Context, list []kms.Grant, cut pageJSON) (any, error) {
	items := []grantJSON{}
	for _, g := range list {
		shown, err := c.opts.Service.Shown(ctx, g)
		if err != nil {
			return nil, err
		}
		items = append(items, grantOut(shown))
	}
	return struct {
		Grants []grantJSON
		pageJSON
	}{items, cut}, nil
}

type revokeGrantIn struct {
	keyIn
	dryIn
	GrantId string
}

func (r revokeGrantIn) about() policy.Context { return directly() }

func revokeGrant(ctx context.Context, c call, a kms.Access, r revokeGrantIn) (any, error) {
	return nil, c.opts.Service.RevokeGrant(ctx, a.Key.Ref, r.GrantId)
}

type retireGrantIn struct {
	dryIn
	GrantToken, KeyId, GrantId string
}

// retireGrant retires the grant that a token names, or a key ARN and a grant id.
func retireGrant(ctx context.Context, c call, r retireGrantIn) (any, error) {
	named, err := r.grant()
	if err != nil {
		return nil, err
	}
	g, err := c.opts.Service.Retirable(ctx, c.who, named.Key, named.ID)
	switch {
	case err != nil:
		return nil, err
	case r.DryRun:
		return nil, dryRun
	}
	return nil, c.opts.Service.RevokeGrant(ctx, g.Key, g.ID)
}

func (r retireGrantIn) grant() (kms.Grant, error) {
	switch {
	case r.GrantToken != "" && (r.KeyId != "" || r.GrantId != ""):
		return kms.Grant{}, invalid("You must specify either a grant token, or a key ARN and a grant ID, not both.")
	case r.GrantToken != "":
		return kms.ParseToken(r.GrantToken)
	case r.KeyId == "" || r.GrantId == "":
		return kms.Grant{}, invalid("You must specify either a grant token, or a key ARN and a grant ID.")
	}
	id, err := kms.ParseIdentifier(r.KeyId)
	if err == nil && (id.Account == "" || id.Key == "") {
		err = &kms.Error{Err: kms.ErrInvalidARN, Message: "The key must be named by its ARN."}
	}
	return kms.Grant{Key: kms.Ref{Account: id.Account, Region: id.Region, ID: id.Key}, ID: r.GrantId}, err
}
