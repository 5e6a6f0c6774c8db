package iamapi

import (
	"context"

	"github.com/diskport/diskport/internal/identity/iam"
)

type keyXML struct {
	UserName        string `xml:",omitempty"` // absent for root
	AccessKeyId     string
	Status          iam.KeyStatus
	SecretAccessKey string `xml:",omitempty"` // on creation
	CreateDate      stamp
}

func newKeyXML(k iam.AccessKey) keyXML {
	x := keyXML{UserName: k.User, AccessKeyId: k.ID, Status: iam.KeyActive, CreateDate: stamp(k.Created)}
	if k.Inactive {
		x.Status = iam.KeyInactive
	}
	return x
}

// someone returns the user whose keys are to be changed; it may not be root.
func (r onSelf) someone(c call) (string, error) {
	name, err := r.name(c)
	if err == nil && name == "" {
		err = errNoName
	}
	return name, err
}

type createKeyIn struct{ onSelf }

func createAccessKey(ctx context.Context, c call, r createKeyIn) (any, error) {
	name, err := r.someone(c)
	if err != nil {
		return nil, err
	}
	k, secret, err := c.opts.Service.CreateAccessKey(ctx, c.account(), name)
	x := newKeyXML(k)
	x.SecretAccessKey = secret.Reveal()
	return struct{ AccessKey keyXML }{x}, err
}

type listKeysIn struct {
	onSelf
	paging
}

func listAccessKeys(ctx context.Context, c call, r listKeysIn) (any, error) {
	name, err := r.name(c)
	if err != nil {
		return nil, err
	}
	list, err := c.opts.Service.ListAccessKeys(ctx, c.account(), name)
	if err != nil {
		return nil, err
	}
	list, cut, err := page(r.paging, list, func(k iam.AccessKey) string { return k.ID })
	return struct {
		UserName          string `xml:",omitempty"`
		AccessKeyMetadata members[keyXML]
		pageXML
	}{name, convert(list, newKeyXML), cut}, err
}

type updateKeyIn struct {
	onSelf
	AccessKeyId string
	Status      string
}

func updateAccessKey(ctx context.Context, c call, r updateKeyIn) (any, error) {
	name, err := r.someone(c)
	if err != nil {
		return nil, err
	}
	return nil, c.opts.Service.UpdateAccessKey(ctx, c.account(), name, r.AccessKeyId, iam.KeyStatus(r.Status))
}

type deleteKeyIn struct {
	onSelf
	AccessKeyId string
}

func deleteAccessKey(ctx context.Context, c call, r deleteKeyIn) (any, error) {
	name, err := r.someone(c)
	if err != nil {
		return nil, err
	}
	return nil, c.opts.Service.DeleteAccessKey(ctx, c.account(), name, r.AccessKeyId)
}

type keyIn struct{ AccessKeyId string }

// keyOwner returns the user whose key it is. If it is no user's, or does not exist,
// it returns the subject of every entity, since callers without the permission must
// not learn which keys exist.
func keyOwner(ctx context.Context, c call, r keyIn) (subject, error) {
	k, err := c.opts.Service.GetAccessKey(ctx, c.account(), r.AccessKeyId)
	if err != nil || k.User == "" {
		return anything(ctx, c, r)
	}
	return theUser(ctx, c, onUser{k.User})
}

// getAccessKeyLastUsed returns the last use to within a quarter of an hour.
func getAccessKeyLastUsed(ctx context.Context, c call, r keyIn) (any, error) {
	k, err := c.opts.Service.GetAccessKey(ctx, c.account(), r.AccessKeyId)
	type useXML struct {
		LastUsedDate        *stamp
		ServiceName, Region string
	}
	use := useXML{ServiceName: "N/A", Region: "N/A"}
	if !k.Used.Time.IsZero() {
		use = useXML{(*stamp)(&k.Used.Time), k.Used.Service, k.Used.Region}
	}
	return struct {
		UserName          string `xml:",omitempty"`
		AccessKeyLastUsed useXML
	}{k.User, use}, err
}
