package kms

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

// Ask is a request for one action on one key.
type Ask struct {
	Action  string            // kms:Encrypt, …
	Key     string            // identifier as given
	Context EncryptionContext // if the action has one
	With    policy.Context    // further condition keys of the request; may
}

// reach says how an action may name its key, besides by id or ARN in the caller's
// own account.
type reach struct {
	alias   bool // also by alias
	foreign bool // also keys of other accounts
	context bool // has an encryption context
}

var reaches = map[string]reach{
	"kms:DescribeKey":                     {alias: true, foreign: true},
	"kms:Encrypt":                         {true, true, true},
	"kms:Decrypt":                         {true, true, true},
	"kms:ReEncryptFrom":                   {true, true, true},
	"kms:ReEncryptTo":                     {true, true, true},
	"kms:GenerateDataKey":                 {true, true, true},
	"kms:GenerateDataKeyWithoutPlaintext": {true, true, true},
	"kms:CreateGrant":                     {foreign: true},
	"kms:ListGrants":                      {foreign: true},
	"kms:RevokeGrant":                     {foreign: true},
	"kms:GetKeyRotationStatus":            {foreign: true},
}

// Access is the result of Open: the key, and the grant that allowed the action if
// no policy did.
type Access struct {
	Key   Key
	Grant *Grant
}

// Open finds a key and checks that the caller may perform the action on it. If not,
// it fails with ErrDenied.
func (s *Service) Open(ctx context.Context, c Caller, a Ask) (Access, error) {
	can := reaches[a.Action]
	if !can.alias {
		if err := noAlias(a.Key); err != nil {
			return Access{}, err
		}
	}
	id, err := ParseIdentifier(a.Key)
	if err != nil {
		return Access{}, err
	}
	foreign := id.Account != "" && id.Account != c.Principal.Account
	if foreign && !can.foreign {
		return Access{}, c.denied(a.Action, a.Key, "because the action is not supported on keys of another account")
	}
	k, alias, err := s.find(ctx, c.Principal.Account, c.Region, a.Key)
	if errors.Is(err, ErrNotFound) && foreign {
		return Access{}, c.deniedAbroad(a)
	}
	if err != nil {
		return Access{}, err
	}
	return s.authorise(ctx, c, a, k, alias)
}

// deniedAbroad is the refusal for a key of another account that does not admit the
// caller's. It always has the same text, so that it reveals neither whether the key
// exists nor which key an alias stands for.
func (c Caller) deniedAbroad(a Ask) error {
	return c.denied(a.Action, a.Key, "because no resource-based policy allows the "+a.Action+" action")
}

// noAlias refuses identifiers other than those of a key itself.
func noAlias(identifier string) error {
	id, err := ParseIdentifier(identifier)
	switch {
	case err != nil || id.Alias == "":
		return err
	case id.Account != "":
		return failed(ErrInvalidARN, "%.256s is not the ARN of a key", identifier)
	}
	return failed(ErrNotFound, "Invalid keyId '%.256s'", identifier)
}

func (s *Service) authorise(ctx context.Context, c Caller, a Ask, k Key, alias string) (Access, error) {
	full := c.about(k, alias, a.With)
	a.Context.AddTo(full)
	aliases, err := s.AliasesOf(ctx, k.Ref)
	if err != nil {
		return Access{}, err
	}
	if len(aliases) > 0 {
		var names []string
		for _, each := range aliases {
			names = append(names, each.Name)
		}
		full.Set("kms:ResourceAliases", names...)
	}
	attached, err := s.documents.Parse(k.Policy, policy.Resource)
	if err != nil {
		return Access{}, fmt.Errorf("kms: policy of %s: %w", k.ARN(), err) // it was valid when it was stored
	}
	wish := iam.Access{Action: a.Action, Resource: k.ARN(), Policy: attached, Context: full}
	verdict, err := iam.Decide(ctx, c.Principal, wish)
	if err != nil {
		return Access{}, denial(err)
	}
	own, resource, within := verdict.Own, verdict.Resource, verdict.Beyond == ""
	abroad := k.Account != c.Principal.Account && (resource == policy.NoMatch || resource == policy.Deny)
	switch {
	case within && allowed(own, resource, k.Account == c.Principal.Account):
		return Access{Key: k}, nil
	case abroad:
		if within && own != policy.Deny && resource != policy.Deny {
			if g, err := s.grantFor(ctx, c, a, k); err != nil || g != nil {
				return Access{k, g}, err
			}
		}
		return Access{}, c.deniedAbroad(a)
	case own == policy.Deny:
		return Access{}, c.denied(a.Action, k.ARN(), verdict.By.Denied(a.Action, own))
	case !within:
		return Access{}, c.denied(a.Action, k.ARN(), verdict.Beyond.Denied(a.Action, policy.NoMatch))
	case resource == policy.Deny:
		return Access{}, c.denied(a.Action, k.ARN(), "with an explicit deny in a resource-based policy")
	}
	if g, err := s.grantFor(ctx, c, a, k); err != nil || g != nil {
		return Access{k, g}, err
	}
	kind := iam.PolicyType("resource-based policy")
	if resource != policy.NoMatch {
		kind = verdict.By
	}
	return Access{}, c.denied(a.Action, k.ARN(), kind.Denied(a.Action, policy.NoMatch))
}

// allowed combines the decisions of the caller's policies and the key's. The key's
// policy must always allow the action; that alone is enough if it names a caller of
// its own account.
func allowed(own, key policy.Decision, sameAccount bool) bool {
	switch {
	case own == policy.Deny || key == policy.Deny || key == policy.NoMatch:
		return false
	case key == policy.Allow && sameAccount:
		return true
	}
	return own == policy.Allow
}

// grantFor returns a grant that allows the action, or nil.
func (s *Service) grantFor(ctx context.Context, c Caller, a Ask, k Key) (*Grant, error) {
	operation := strings.TrimPrefix(a.Action, "kms:")
	if !slices.Contains(grantable, operation) {
		return nil, nil
	}
	list, err := s.opts.Store.Grants(ctx, k.Ref)
	if err != nil {
		return nil, err
	}
	for _, g := range list {
		if c.Principal.Named(g.Grantee) && g.allows(operation, a.Context, reaches[a.Action].context) {
			return &g, nil
		}
	}
	return nil, nil
}

// May returns nil if the caller's own policies allow an action on a resource
// without a policy of its own: an alias, or all keys ("*").
func (c Caller) May(ctx context.Context, action, resource string, with policy.Context) error {
	full := maps.Clone(c.Context)
	if full == nil {
		full = policy.Context{}
	}
	maps.Copy(full, with)
	full.Set("kms:CallerAccount", c.Principal.Account)
	return denial(iam.Authorize(ctx, c.Principal, action, full, resource))
}

// denial turns a refusal into KMS's own error.
func denial(err error) error {
	if refused, ok := errors.AsType[*iam.DeniedError](err); ok {
		return &Error{ErrDenied, refused.Error()}
	}
	return err
}

func (c Caller) denied(action, resource, why string) error {
	who := c.Principal.ARN
	if who == "" {
		who = "anonymous"
	}
	return failed(ErrDenied, "User: %s is not authorized to perform: %s on resource: %s %s", who, action, resource, why)
}

// about returns the condition keys of a request about a key.
func (c Caller) about(k Key, alias string, with policy.Context) policy.Context {
	full := maps.Clone(c.Context)
	if full == nil {
		full = policy.Context{}
	}
	maps.Copy(full, with)
	full.Set("kms:CallerAccount", c.Principal.Account)
	kindKeys(full, k.Spec, k.Usage, k.Origin, k.MultiRegion)
	full.Set("aws:ResourceAccount", k.Account)
	if alias != "" {
		full.Set("kms:RequestAlias", alias)
	}
	for _, t := range k.Tags {
		full.Add("aws:ResourceTag/"+t.Key, t.Value)
	}
	return full
}

// kindKeys adds the condition keys that say what kind of key one is or shall be.
func kindKeys(c policy.Context, spec Spec, usage Usage, origin Origin, multiRegion bool) {
	c.Set("kms:KeySpec", string(spec))
	c.Set("kms:KeyUsage", string(usage))
	c.Set("kms:CustomerMasterKeySpec", string(spec)) // the older names
	c.Set("kms:CustomerMasterKeyUsage", string(usage))
	c.Set("kms:KeyOrigin", string(origin))
	c.Set("kms:MultiRegion", strconv.FormatBool(multiRegion))
}

// AddTo adds the condition keys of an encryption context to those of a request.
func (e EncryptionContext) AddTo(c policy.Context) {
	if len(e) == 0 {
		return
	}
	for key, value := range e {
		c.Add("kms:EncryptionContext:"+key, value)
	}
	c.Set("kms:EncryptionContextKeys", slices.Sorted(maps.Keys(e))...)
}

// tagKeys adds the condition keys of tags in a request.
func tagKeys(c policy.Context, tags []tag.Tag) {
	var keys []string
	for _, t := range tags {
		c.Add("aws:RequestTag/"+t.Key, t.Value)
		keys = append(keys, t.Key)
	}
	if len(keys) > 0 {
		c.Set("aws:TagKeys", keys...)
	}
}

// Tags returns the condition keys of tags that a request adds.
func Tags(tags []tag.Tag) policy.Context {
	c := policy.Context{}
	tagKeys(c, tags)
	return c
}
