package ec2api

import (
	"context"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// The attributes of a snapshot.
const (
	permission   = "createVolumePermission"
	productCodes = "productCodes"
)

// maxChanges is how many permissions one request may change.
const maxChanges = 500

// attributeRule is the validation row of Attribute.
func attributeRule[R any](value func(R) string, known ...string) rule[R] {
	return rule[R]{
		field: "Attribute", code: "InvalidParameterValue", message: "Value (%s) for parameter attribute is invalid. Unknown attribute.",
		broken: func(_ call, r R) (string, bool) { return value(r), !slices.Contains(known, value(r)) },
	}
}

type describeAttributeRequest struct {
	snapshotRequest
	Attribute string
}

func (r describeAttributeRequest) attribute() string { return r.Attribute }

func (r describeAttributeRequest) keys(with policy.Context) { attributeKeys(with, r.Attribute) }

// attributeKeys tells policies which attribute is meant: AWS's pages spell it in two
// ways, and values are compared by case.
func attributeKeys(with policy.Context, name string) {
	if name == "" {
		return
	}
	with.Set("ec2:Attribute", name, strings.ToUpper(name[:1])+name[1:])
}

var describeAttributeRules = append(
	oneSnapshotRules[describeAttributeRequest](),
	needed("Attribute", describeAttributeRequest.attribute),
	attributeRule(describeAttributeRequest.attribute, permission, productCodes),
)

type attributeAnswer struct {
	ID          string                          `xml:"snapshotId"`
	Permissions *ec2query.List[permissionEntry] `xml:"createVolumePermission"`
	Products    *ec2query.List[string]          `xml:"productCodes"`
}

// permissionEntry is either an account or a group.
type permissionEntry struct {
	UserID string `xml:"userId,omitempty"`
	Group  string `xml:"group,omitempty"`
}

func describeAttribute(ctx context.Context, c call, r describeAttributeRequest) (any, error) {
	record, err := c.ownSnapshot(ctx, r.SnapshotId)
	if err != nil {
		return nil, err
	}
	if r.Attribute == productCodes {
		return attributeAnswer{ID: record.ID, Products: &ec2query.List[string]{}}, nil
	}
	shares := showPermissions(record.SharedWith)
	return attributeAnswer{ID: record.ID, Permissions: &shares}, nil
}

type resetAttributeRequest struct{ describeAttributeRequest }

var resetAttributeRules = append(
	oneSnapshotRules[resetAttributeRequest](),
	needed("Attribute", func(r resetAttributeRequest) string { return r.Attribute }),
	attributeRule(func(r resetAttributeRequest) string { return r.Attribute }, permission),
)

func resetAttribute(ctx context.Context, c call, r resetAttributeRequest) (any, error) {
	if err := c.Changes.Unshare(ctx, c.Home(), r.SnapshotId); err != nil {
		return nil, about(r.SnapshotId, err)
	}
	return ec2query.Done{Return: true}, nil
}

// modifyAttributeRequest comes in three shapes (contract, Decision 10): additions
// and removals in CreateVolumePermission, with or without Attribute, or an
// OperationType for UserId.N and UserGroup.N.
type modifyAttributeRequest struct {
	snapshotRequest
	Attribute              string
	CreateVolumePermission struct{ Add, Remove []permissionChange }
	OperationType          string
	UserId                 []string
	UserGroup              []string
}

type permissionChange struct{ Group, UserId string }

// listed returns the accounts and groups of the second shape.
func (r modifyAttributeRequest) listed() []string { return slices.Concat(r.UserId, r.UserGroup) }

// repeats reports whether the second shape comes without an operation beside the first.
// Packer names everybody twice in this way, and AWS goes by the first shape.
func (r modifyAttributeRequest) repeats() bool { return r.OperationType == "" && len(r.shaped()) > 0 }

// changes returns the accounts, or Everybody, to share with, and those to share
// with no longer.
func (r modifyAttributeRequest) changes() (add, remove []string) {
	for _, p := range r.CreateVolumePermission.Add {
		add = append(add, orDefault(p.UserId, p.Group))
	}
	for _, p := range r.CreateVolumePermission.Remove {
		remove = append(remove, orDefault(p.UserId, p.Group))
	}
	if r.OperationType == "add" {
		add = append(add, r.listed()...)
	}
	if r.OperationType == "remove" {
		remove = append(remove, r.listed()...)
	}
	return add, remove
}

// keys tells policies who is to get a permission, and who to lose it: in all shapes,
// and with both for an operation that is neither.
func (r modifyAttributeRequest) keys(with policy.Context) {
	attributeKeys(with, orDefault(r.Attribute, permission))
	change := r.CreateVolumePermission
	for _, side := range []struct {
		name, other string
		changes     []permissionChange
	}{{"Add", "remove", change.Add}, {"Remove", "add", change.Remove}} {
		var users, groups []string
		if r.OperationType != side.other && !r.repeats() {
			users, groups = r.UserId, r.UserGroup
		}
		with.Set("ec2:"+side.name+"/userId", named(users, side.changes, permissionChange.user)...)
		with.Set("ec2:"+side.name+"/group", named(groups, side.changes, permissionChange.group)...)
	}
}

// users and groups return all that are named, in any of the shapes.
func (r modifyAttributeRequest) users() []string {
	return named(r.UserId, r.shaped(), permissionChange.user)
}

func (r modifyAttributeRequest) groups() []string {
	return named(r.UserGroup, r.shaped(), permissionChange.group)
}

// shaped returns all changes that are asked for by CreateVolumePermission.
func (r modifyAttributeRequest) shaped() []permissionChange {
	return slices.Concat(r.CreateVolumePermission.Add, r.CreateVolumePermission.Remove)
}

func (p permissionChange) user() string  { return p.UserId }
func (p permissionChange) group() string { return p.Group }

// named returns those who are listed, and then those whom the changes name.
func named(listed []string, changes []permissionChange, who func(permissionChange) string) []string {
	all := slices.Clone(listed)
	for _, p := range changes {
		if name := who(p); name != "" {
			all = append(all, name)
		}
	}
	return all
}

var modifyAttributeRules = slices.Concat(
	oneSnapshotRules[modifyAttributeRequest](),
	[]rule[modifyAttributeRequest]{
		attributeRule(func(r modifyAttributeRequest) string { return orDefault(r.Attribute, permission) }, permission),
	},
	permissionRules(func(r modifyAttributeRequest) (modifyAttributeRequest, bool) { return r, true }, "createVolumePermissions"),
)

// permissionRules are the validation rows of a change of permissions, if the request is
// about them; parameter is what AWS calls them.
func permissionRules[R any](of func(R) (m modifyAttributeRequest, ok bool), parameter string) []rule[R] {
	row := func(field, code, message string, broken func(m modifyAttributeRequest, add, remove []string) (string, bool)) rule[R] {
		return rule[R]{field: field, code: code, message: message, broken: func(_ call, r R) (string, bool) {
			m, ok := of(r)
			if !ok {
				return "", false
			}
			add, remove := m.changes()
			return broken(m, add, remove)
		}}
	}
	return []rule[R]{
		row("OperationType", "InvalidParameterValue", "Value (%s) for parameter operationType is invalid. Unknown operation.",
			func(m modifyAttributeRequest, _, _ []string) (string, bool) {
				return m.OperationType, m.OperationType != "" && m.OperationType != "add" && m.OperationType != "remove"
			}),
		row("OperationType", "MissingParameter", "The request must contain the parameter operationType",
			func(m modifyAttributeRequest, _, _ []string) (string, bool) {
				return "", m.OperationType == "" && len(m.listed()) > 0 && !m.repeats()
			}),
		accountRule("UserId.N", nil, func(r R) []string {
			m, _ := of(r)
			return m.users()
		}),
		row("UserGroup.N", "InvalidAMIAttributeItemValue", "Invalid attribute item value \"%s\" for userGroup item type.",
			func(m modifyAttributeRequest, _, _ []string) (string, bool) {
				i := slices.IndexFunc(m.groups(), func(g string) bool { return g != snapshot.Everybody })
				return append(m.groups(), "")[max(0, i)], i >= 0
			}),
		row("Permission", "InvalidParameterCombination", "One and only one operation type may be specified for "+parameter,
			func(_ modifyAttributeRequest, add, remove []string) (string, bool) {
				return "", len(add) > 0 && len(remove) > 0
			}),
		row("Permission", "InvalidParameterCombination", "No attributes specified.",
			func(_ modifyAttributeRequest, add, remove []string) (string, bool) {
				return "", len(add) == 0 && len(remove) == 0
			}),
		row("Permission", "InvalidParameterValue", "Modification size must not be greater than 500.",
			func(_ modifyAttributeRequest, add, remove []string) (string, bool) {
				return "", len(add)+len(remove) > maxChanges
			}),
	}
}

func modifyAttribute(ctx context.Context, c call, r modifyAttributeRequest) (any, error) {
	record, err := c.ownSnapshot(ctx, r.SnapshotId)
	if err != nil {
		return nil, err
	}
	add, remove := r.changes()
	if len(add) > 0 {
		if err := c.mayShare(ctx, record, add); err != nil {
			return nil, err
		}
	}
	if err := c.Changes.Share(ctx, c.Home(), record.ID, add, remove); err != nil {
		return nil, about(record.ID, err)
	}
	return ec2query.Done{Return: true}, nil
}

// mayShare refuses to share a snapshot that others could not decrypt.
func (c call) mayShare(ctx context.Context, r snapshot.Record, with []string) error {
	if r.KMSKey == "" {
		return nil
	}
	if slices.Contains(with, snapshot.Everybody) {
		return refused("OperationNotPermitted", "Encrypted snapshots cannot be shared publicly.")
	}
	ours, err := c.Keys.IsManaged(ctx, r.KMSKey)
	if err == nil && ours {
		err = refused("OperationNotPermitted", "Encrypted snapshots with EBS default key cannot be shared")
	}
	return err
}
