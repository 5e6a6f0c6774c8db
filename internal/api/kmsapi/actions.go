package kmsapi

import (
	"context"
	"strconv"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

var actions = map[string]action{
	"CreateKey":                       on(createKey),
	"DescribeKey":                     onKey("kms:DescribeKey", describeKey),
	"ListKeys":                        on(listKeys),
	"EnableKey":                       onKey("kms:EnableKey", enableKey),
	"DisableKey":                      onKey("kms:DisableKey", disableKey),
	"ScheduleKeyDeletion":             onKey("kms:ScheduleKeyDeletion", scheduleKeyDeletion),
	"CancelKeyDeletion":               onKey("kms:CancelKeyDeletion", cancelKeyDeletion),
	"UpdateKeyDescription":            onKey("kms:UpdateKeyDescription", updateKeyDescription),
	"GetKeyRotationStatus":            onKey("kms:GetKeyRotationStatus", getKeyRotationStatus),
	"EnableKeyRotation":               onKey("kms:EnableKeyRotation", enableKeyRotation),
	"DisableKeyRotation":              onKey("kms:DisableKeyRotation", disableKeyRotation),
	"RotateKeyOnDemand":               onKey("kms:RotateKeyOnDemand", rotateKeyOnDemand),
	"ListKeyRotations":                onKey("kms:ListKeyRotations", listKeyRotations),
	"ListRetirableGrants":             on(listRetirableGrants),
	"GetKeyPolicy":                    onKey("kms:GetKeyPolicy", getKeyPolicy),
	"PutKeyPolicy":                    onKey("kms:PutKeyPolicy", putKeyPolicy),
	"ListKeyPolicies":                 onKey("kms:ListKeyPolicies", listKeyPolicies),
	"TagResource":                     onKey("kms:TagResource", tagResource),
	"UntagResource":                   onKey("kms:UntagResource", untagResource),
	"ListResourceTags":                onKey("kms:ListResourceTags", listResourceTags),
	"CreateAlias":                     on(createAlias),
	"UpdateAlias":                     on(updateAlias),
	"DeleteAlias":                     on(deleteAlias),
	"ListAliases":                     on(listAliases),
	"CreateGrant":                     onKey("kms:CreateGrant", createGrant),
	"ListGrants":                      onKey("kms:ListGrants", listGrants),
	"RevokeGrant":                     onKey("kms:RevokeGrant", revokeGrant),
	"RetireGrant":                     on(retireGrant),
	"Encrypt":                         onKey("kms:Encrypt", encrypt),
	"Decrypt":                         on(decrypt),
	"ReEncrypt":                       on(reEncrypt),
	"GenerateDataKey":                 onKey("kms:GenerateDataKey", generateDataKey),
	"GenerateDataKeyWithoutPlaintext": onKey("kms:GenerateDataKeyWithoutPlaintext", generateDataKeyWithoutPlaintext),
	"GenerateRandom":                  on(generateRandom),
}

type createKeyIn struct {
	BypassPolicyLockoutSafetyCheck bool
	CustomerMasterKeySpec          kms.Spec // the old name of KeySpec
	Description                    string
	KeySpec                        kms.Spec
	KeyUsage                       kms.Usage
	MultiRegion                    bool
	Origin                         kms.Origin
	Policy                         string
	Tags                           []tagJSON
}

func createKey(ctx context.Context, c call, r createKeyIn) (any, error) {
	if r.KeySpec == "" {
		r.KeySpec = r.CustomerMasterKeySpec
	}
	if r.CustomerMasterKeySpec != "" && r.CustomerMasterKeySpec != r.KeySpec {
		return nil, invalid("You cannot specify KeySpec and CustomerMasterKeySpec in the same request.")
	}
	k, err := c.opts.Service.CreateKey(ctx, c.who, kms.KeySpec{
		Spec: r.KeySpec, Usage: r.KeyUsage, Origin: r.Origin, MultiRegion: r.MultiRegion, Description: r.Description,
		Policy: r.Policy, Bypass: r.BypassPolicyLockoutSafetyCheck, Tags: tagsIn(r.Tags),
	})
	return struct{ KeyMetadata metadata }{metadataOf(k)}, err
}

// grantTokens holds the parameter that requests with grant tokens have in common.
type grantTokens struct{ GrantTokens []string }

func (g grantTokens) tokens() []string { return g.GrantTokens }

type describeKeyIn struct {
	keyIn
	grantTokens
}

func describeKey(_ context.Context, _ call, a kms.Access, _ describeKeyIn) (any, error) {
	return struct{ KeyMetadata metadata }{metadataOf(a.Key)}, nil
}

type listIn struct{ paging }

func listKeys(ctx context.Context, c call, r listIn) (any, error) {
	if err := c.who.May(ctx, "kms:ListKeys", "*", nil); err != nil {
		return nil, err
	}
	list, err := c.opts.Service.Keys(ctx, c.Principal.Account, c.Region)
	if err != nil {
		return nil, err
	}
	list, cut, err := page(r.paging, bounds{100, 1000}, list, func(k kms.Key) string { return k.ID })
	type item struct{ KeyArn, KeyId string }
	items := []item{}
	for _, k := range list {
		items = append(items, item{k.ARN(), k.ID})
	}
	return struct {
		Keys []item
		pageJSON
	}{items, cut}, err
}

func enableKey(ctx context.Context, c call, a kms.Access, _ keyIn) (any, error) {
	return nil, c.opts.Service.SetEnabled(ctx, a.Key.Ref, kms.Enable)
}

func disableKey(ctx context.Context, c call, a kms.Access, _ keyIn) (any, error) {
	return nil, c.opts.Service.SetEnabled(ctx, a.Key.Ref, kms.Disable)
}

type scheduleIn struct {
	keyIn
	PendingWindowInDays *int
}

func (r scheduleIn) days() int {
	switch {
	case r.PendingWindowInDays == nil:
		return 0
	case *r.PendingWindowInDays == 0:
		return -1 // 0 means AWS's default inside, but is invalid for clients
	}
	return *r.PendingWindowInDays
}

func (r scheduleIn) about() policy.Context {
	days := 30
	if r.PendingWindowInDays != nil {
		days = *r.PendingWindowInDays
	}
	c := policy.Context{}
	c.Set("kms:ScheduleKeyDeletionPendingWindowInDays", strconv.Itoa(days))
	return c
}

func scheduleKeyDeletion(ctx context.Context, c call, a kms.Access, r scheduleIn) (any, error) {
	k, err := c.opts.Service.ScheduleDeletion(ctx, a.Key.Ref, r.days())
	return struct {
		KeyId               string
		DeletionDate        stamp
		KeyState            kms.State
		PendingWindowInDays int
	}{k.ARN(), stamp(k.Deletion), k.State, k.Window}, err
}

func cancelKeyDeletion(ctx context.Context, c call, a kms.Access, _ keyIn) (any, error) {
	return struct{ KeyId string }{a.Key.ARN()}, c.opts.Service.CancelDeletion(ctx, a.Key.Ref)
}

type updateDescriptionIn struct {
	keyIn
	Description *string
}

func updateKeyDescription(ctx context.Context, c call, a kms.Access, r updateDescriptionIn) (any, error) {
	if r.Description == nil {
		return nil, required("description")
	}
	return nil, c.opts.Service.SetDescription(ctx, a.Key.Ref, *r.Description)
}

type tagIn struct {
	keyIn
	Tags []tagJSON
}

func (r tagIn) about() policy.Context { return kms.Tags(tagsIn(r.Tags)) }

func tagResource(ctx context.Context, c call, a kms.Access, r tagIn) (any, error) {
	if r.Tags == nil {
		return nil, required("tags")
	}
	return nil, c.opts.Service.Tag(ctx, a.Key.Ref, tagsIn(r.Tags))
}

type untagIn struct {
	keyIn
	TagKeys []string
}

func (r untagIn) about() policy.Context {
	c := policy.Context{}
	c.Set("aws:TagKeys", r.TagKeys...)
	return c
}

func untagResource(ctx context.Context, c call, a kms.Access, r untagIn) (any, error) {
	if r.TagKeys == nil {
		return nil, required("tagKeys")
	}
	return nil, c.opts.Service.Untag(ctx, a.Key.Ref, r.TagKeys)
}

type listOfKeyIn struct {
	keyIn
	paging
}

func listResourceTags(_ context.Context, _ call, a kms.Access, r listOfKeyIn) (any, error) {
	list, cut, err := page(r.paging, bounds{50, 50}, a.Key.Tags, func(t tag.Tag) string { return t.Key })
	return struct {
		Tags []tagJSON
		pageJSON
	}{tagsOut(list), cut}, err
}
