package kmsapi

import (
	"context"

	"github.com/diskport/diskport/internal/identity/kms"
)

type aliasIn struct{ AliasName, TargetKeyId string }

// mayAlias checks the permissions that every change of an alias needs: one on the
// alias, and the same on each key.
func (c call) mayAlias(ctx context.Context, permission string, a kms.Alias, keys ...string) (last kms.Key, err error) {
	if a.Name == "" {
		return last, required("aliasName")
	}
	if err := c.who.May(ctx, permission, a.ARN(), nil); err != nil {
		return last, err
	}
	for _, key := range keys {
		opened, err := c.open(ctx, permission, key, nil)
		if err != nil {
			return last, err
		}
		last = opened.Key
	}
	return last, nil
}

func createAlias(ctx context.Context, c call, r aliasIn) (any, error) {
	a := c.who.NamedAlias(r.AliasName)
	k, err := c.mayAlias(ctx, "kms:CreateAlias", a, r.TargetKeyId)
	if err != nil {
		return nil, err
	}
	return nil, c.opts.Service.CreateAlias(ctx, a, k)
}

func updateAlias(ctx context.Context, c call, r aliasIn) (any, error) {
	a, err := c.opts.Service.Alias(ctx, c.who.NamedAlias(r.AliasName))
	if err != nil {
		return nil, err
	}
	k, err := c.mayAlias(ctx, "kms:UpdateAlias", a, a.Target, r.TargetKeyId)
	if err != nil {
		return nil, err
	}
	return nil, c.opts.Service.UpdateAlias(ctx, a, k)
}

func deleteAlias(ctx context.Context, c call, r struct{ AliasName string }) (any, error) {
	a, err := c.opts.Service.Alias(ctx, c.who.NamedAlias(r.AliasName))
	if err != nil {
		return nil, err
	}
	if _, err := c.mayAlias(ctx, "kms:DeleteAlias", a, a.Target); err != nil {
		return nil, err
	}
	return nil, c.opts.Service.DeleteAlias(ctx, a)
}

func listAliases(ctx context.Context, c call, r listOfKeyIn) (any, error) {
	if err := c.who.May(ctx, "kms:ListAliases", "*", nil); err != nil {
		return nil, err
	}
	list, err := c.aliases(ctx, r.KeyId)
	if err != nil {
		return nil, err
	}
	list, cut, err := page(r.paging, bounds{50, 100}, list, func(a kms.Alias) string { return a.Name })
	items := []aliasJSON{}
	for _, a := range list {
		items = append(items, aliasOut(a))
	}
	return struct {
		Aliases []aliasJSON
		pageJSON
	}{items, cut}, err
}

// aliasJSON is an alias in a list. Without a key, it has no times either.
type aliasJSON struct {
	AliasArn, AliasName           string
	TargetKeyId                   string `json:",omitempty"`
	CreationDate, LastUpdatedDate *stamp `json:",omitempty"`
}

func aliasOut(a kms.Alias) aliasJSON {
	out := aliasJSON{AliasArn: a.ARN(), AliasName: a.Name, TargetKeyId: a.Target}
	if a.Target != "" {
		created, updated := stamp(a.Created), stamp(a.Updated)
		out.CreationDate, out.LastUpdatedDate = &created, &updated
	}
	return out
}

// aliases returns the aliases of a key or, if none is given, of the account.
func (c call) aliases(ctx context.Context, key string) ([]kms.Alias, error) {
	if key == "" {
		return c.opts.Service.Aliases(ctx, c.Principal.Account, c.Region)
	}
	opened, err := c.open(ctx, "kms:ListAliases", key, nil)
	if err != nil {
		return nil, err
	}
	return c.opts.Service.AliasesOf(ctx, opened.Key.Ref)
}
