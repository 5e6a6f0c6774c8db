package kmsapi

import (
	"context"
	"fmt"
	"strconv"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
)

func getKeyRotationStatus(_ context.Context, _ call, a kms.Access, _ keyIn) (any, error) {
	on, err := a.Key.Rotates()
	if err != nil {
		return nil, err
	}
	out := struct {
		KeyId                string
		KeyRotationEnabled   bool
		NextRotationDate     *stamp `json:",omitempty"`
		RotationPeriodInDays int    `json:",omitempty"`
	}{KeyId: a.Key.ARN(), KeyRotationEnabled: on}
	if on {
		out.NextRotationDate, out.RotationPeriodInDays = (*stamp)(&a.Key.NextRotation), a.Key.RotationPeriod
	}
	return out, nil
}

type enableRotationIn struct {
	keyIn
	RotationPeriodInDays *int
}

func (r enableRotationIn) about() policy.Context {
	c := policy.Context{}
	if r.RotationPeriodInDays != nil {
		c.Set("kms:RotationPeriodInDays", strconv.Itoa(*r.RotationPeriodInDays))
	}
	return c
}

func enableKeyRotation(ctx context.Context, c call, a kms.Access, r enableRotationIn) (any, error) {
	days := 0 // AWS's default
	if r.RotationPeriodInDays != nil {
		if days = *r.RotationPeriodInDays; days == 0 {
			days = -1
		}
	}
	return nil, c.opts.Service.EnableRotation(ctx, a.Key.Ref, days)
}

func disableKeyRotation(ctx context.Context, c call, a kms.Access, _ keyIn) (any, error) {
	return nil, c.opts.Service.DisableRotation(ctx, a.Key.Ref)
}

func rotateKeyOnDemand(ctx context.Context, c call, a kms.Access, _ keyIn) (any, error) {
	return struct{ KeyId string }{a.Key.ARN()}, c.opts.Service.RotateNow(ctx, a.Key.Ref)
}

type listRotationsIn struct {
	keyIn
	paging
	IncludeKeyMaterial string
}

// rotationJSON is a version of a key's material in a list.
type rotationJSON struct {
	KeyId            string
	KeyMaterialId    string
	KeyMaterialState string
	RotationDate     *stamp           `json:",omitempty"` // absent for the first version
	RotationType     kms.RotationType `json:",omitempty"`

	version int
}

// listKeyRotations lists the rotations and, if the request says so, the material that
// the key began with.
func listKeyRotations(_ context.Context, _ call, a kms.Access, r listRotationsIn) (any, error) {
	if _, err := a.Key.Rotates(); err != nil {
		return nil, err
	}
	k, list := a.Key, []rotationJSON{}
	state := func(version int) string {
		if version == k.Version() {
			return "CURRENT"
		}
		return "NON_CURRENT"
	}
	switch r.IncludeKeyMaterial {
	case "", "ROTATIONS_ONLY":
	case "ALL_KEY_MATERIAL":
		list = append(list, rotationJSON{KeyId: k.ARN(), KeyMaterialId: k.MaterialID(1), KeyMaterialState: state(1), version: 1})
	default:
		return nil, invalid("1 validation error detected: Value '" + shorten(r.IncludeKeyMaterial) + "' at 'includeKeyMaterial' failed to satisfy constraint: " +
			"Member must satisfy enum value set: [ALL_KEY_MATERIAL, ROTATIONS_ONLY]")
	}
	for i, each := range k.Rotations {
		list = append(list, rotationJSON{k.ARN(), k.MaterialID(i + 2), state(i + 2), (*stamp)(&each.At), each.Type, i + 2})
	}
	list, cut, err := page(r.paging, bounds{100, 1000}, list, func(r rotationJSON) string { return fmt.Sprintf("%09d", r.version) })
	return struct {
		Rotations []rotationJSON
		pageJSON
	}{list, cut}, err
}
