package iamapi

import (
	"context"
	"fmt"
	"strings"

	"github.com/diskport/diskport/internal/identity/iam"
)

type versionXML struct {
	Document         string `xml:",omitempty"` // only if a single version is asked for
	VersionId        string
	IsDefaultVersion bool
	CreateDate       stamp
}

func newVersionXML(v iam.Version, inForce bool) versionXML {
	return versionXML{VersionId: versionID(v.Number), IsDefaultVersion: inForce, CreateDate: stamp(v.Created)}
}

type versionOut struct{ PolicyVersion versionXML }

type createVersionIn struct {
	onPolicy
	PolicyDocument string
	SetAsDefault   bool
}

func createPolicyVersion(ctx context.Context, c call, r createVersionIn) (any, error) {
	v, err := c.opts.Service.CreatePolicyVersion(ctx, c.account(), r.PolicyArn, iam.VersionSpec{Document: r.PolicyDocument, Default: r.SetAsDefault})
	return versionOut{newVersionXML(v, r.SetAsDefault)}, err
}

type versionIn struct {
	onPolicy
	VersionId string
}

func getPolicyVersion(ctx context.Context, c call, r versionIn) (any, error) {
	m, err := c.opts.Service.GetPolicy(ctx, c.account(), r.PolicyArn)
	if err != nil {
		return nil, err
	}
	v, err := m.Version(r.VersionId)
	x := newVersionXML(v, v.Number == m.Default)
	x.Document = escaped(v.Document)
	return versionOut{x}, err
}

func listPolicyVersions(ctx context.Context, c call, r policyList) (any, error) {
	m, err := c.opts.Service.GetPolicy(ctx, c.account(), r.PolicyArn)
	if err != nil {
		return nil, err
	}
	list, cut, err := page(r.paging, m.Versions, func(v iam.Version) string { return fmt.Sprintf("%09d", v.Number) })
	return struct {
		Versions members[versionXML]
		pageXML
	}{convert(list, func(v iam.Version) versionXML { return newVersionXML(v, v.Number == m.Default) }), cut}, err
}

func deletePolicyVersion(ctx context.Context, c call, r versionIn) (any, error) {
	return nil, c.opts.Service.DeletePolicyVersion(ctx, c.account(), r.PolicyArn, r.VersionId)
}

func setDefaultPolicyVersion(ctx context.Context, c call, r versionIn) (any, error) {
	return nil, c.opts.Service.SetDefaultPolicyVersion(ctx, c.account(), r.PolicyArn, r.VersionId)
}

type listEntitiesIn struct {
	policyList
	EntityFilter      string
	PathPrefix        string
	PolicyUsageFilter string
}

// wants reports whether the list is to include o, which has a path.
func (r listEntitiesIn) wants(o iam.Owner, path string) bool {
	kinds := map[string]string{"": o.Kind, "User": iam.KindUser, "Role": iam.KindRole}
	return kinds[r.EntityFilter] == o.Kind && strings.HasPrefix(path, r.PathPrefix)
}

type (
	policyUserXML  struct{ UserName, UserId string }
	policyRoleXML  struct{ RoleName, RoleId string }
	policyGroupXML struct{} // there are no groups
	entitiesXML    struct {
		PolicyGroups members[policyGroupXML]
		PolicyUsers  members[policyUserXML]
		PolicyRoles  members[policyRoleXML]
		pageXML
	}
)

func listEntities(ctx context.Context, c call, r listEntitiesIn) (any, error) {
	if err := oneOf("entityFilter", r.EntityFilter, "", "User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"); err != nil {
		return nil, err
	}
	if err := checkUsage(r.PolicyUsageFilter); err != nil {
		return nil, err
	}
	owners, err := c.opts.Service.OwnersOf(ctx, c.account(), r.PolicyArn, iam.Use(r.PolicyUsageFilter))
	if err != nil {
		return nil, err
	}
	var out entitiesXML
	// Users come before roles, as they sort.
	owners, out.pageXML, err = page(r.paging, owners, func(o iam.Owner) string {
		return map[string]string{iam.KindUser: "1", iam.KindRole: "2"}[o.Kind] + o.Name
	})
	if err != nil {
		return nil, err
	}
	for _, o := range owners {
		if err := c.addEntity(ctx, &out, r, o); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c call) addEntity(ctx context.Context, out *entitiesXML, r listEntitiesIn, o iam.Owner) error {
	if o.Kind == iam.KindUser {
		u, err := c.opts.Service.GetUser(ctx, o.Account, o.Name)
		if err == nil && r.wants(o, u.Path) {
			out.PolicyUsers = append(out.PolicyUsers, policyUserXML{u.Name, u.ID})
		}
		return err
	}
	role, err := c.opts.Service.GetRole(ctx, o.Account, o.Name)
	if err == nil && r.wants(o, role.Path) {
		out.PolicyRoles = append(out.PolicyRoles, policyRoleXML{role.Name, role.ID})
	}
	return err
}
