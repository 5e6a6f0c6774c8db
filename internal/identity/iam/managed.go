package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/tag"
)

// PolicySpec describes a managed policy to create.
type PolicySpec struct {
	Name        string
	Path        string // empty means "/"
	Document    string
	Description string
	Tags        []tag.Tag
}

// CreatePolicy creates a managed policy with one version.
func (s *Service) CreatePolicy(ctx context.Context, account string, spec PolicySpec) (Managed, error) {
	spec.Path = cmp.Or(spec.Path, "/")
	document, err := acceptManaged(spec.Document)
	err = cmp.Or(checkPolicy(spec.Name), checkPath(spec.Path), checkDescription(spec.Description), err, checkTags(spec.Tags))
	if err != nil {
		return Managed{}, err
	}
	tags, err := tag.Set(nil).Merge(spec.Tags)
	if err != nil {
		return Managed{}, err
	}
	now := s.stamp()
	m := Managed{
		Account: account, Name: spec.Name, Path: spec.Path, ID: s.newID("ANPA"), Description: spec.Description,
		Created: now, Updated: now, Tags: tags, Versions: []Version{{1, document, now}}, Default: 1, Last: 1,
	}
	return m, quota(s.opts.Store.CreatePolicy(ctx, m, maxManaged), maxManaged, "PoliciesPerAccount")
}

// GetPolicy returns a managed policy of the account, or one of AWS's.
func (s *Service) GetPolicy(ctx context.Context, account, arn string) (Managed, error) {
	if own, ok := s.awsPolicy(arn); ok {
		owners, err := s.opts.Store.Owners(ctx, account, arn)
		bounded, errBounded := s.opts.Store.Bounded(ctx, account, arn)
		own.Attachments, own.Boundaries = len(owners), len(bounded)
		return own, cmp.Or(err, errBounded)
	}
	of, path, name, ok := s.splitARN(arn, "policy")
	if !ok {
		return Managed{}, &ARNError{shorten(arn)}
	}
	missing := &EntityError{KindManaged, shorten(arn), ErrNotFound}
	if of != account || checkPolicy(name) != nil {
		return Managed{}, missing
	}
	found, err := s.opts.Store.ManagedPolicies(ctx, account, name)
	switch {
	case err != nil:
		return Managed{}, err
	case len(found) == 0 || found[0].Path != path:
		return Managed{}, missing
	}
	return found[0], nil
}

// shorten cuts a client's text, so that it can't fill an answer.
func shorten(text string) string { return text[:min(len(text), 256)] }

// PolicyQuery selects the managed policies to list.
type PolicyQuery struct {
	AWS, Local   bool // which to include: AWS's own, the account's
	OnlyAttached bool
	Use          Use // only those that are used so; empty: any
	PathPrefix   string
}

// Use is what a managed policy does for an owner, in AWS's words.
type Use string

// The uses.
const (
	AsPermissions Use = "PermissionsPolicy"   // attached
	AsBoundary    Use = "PermissionsBoundary" // a boundary
)

// wants reports whether the query is for m, besides its path. A use without
// OnlyAttached selects those that have it, too.
func (q PolicyQuery) wants(m Managed) bool {
	switch {
	case q.Use == AsPermissions:
		return m.Attachments > 0
	case q.Use == AsBoundary:
		return m.Boundaries > 0
	}
	return !q.OnlyAttached || m.Attachments+m.Boundaries > 0
}

// ListPolicies returns managed policies: AWS's first, each part sorted by name.
func (s *Service) ListPolicies(ctx context.Context, account string, q PolicyQuery) ([]Managed, error) {
	var list []Managed
	if q.AWS {
		for _, name := range awsPolicyNames() {
			m, err := s.GetPolicy(ctx, account, s.arn(awsAccount, "policy/"+name))
			if err != nil {
				return nil, err
			}
			list = append(list, m)
		}
	}
	if q.Local {
		local, err := s.opts.Store.ManagedPolicies(ctx, account)
		if err != nil {
			return nil, err
		}
		list = append(list, local...)
	}
	return slices.DeleteFunc(list, func(m Managed) bool {
		return !q.wants(m) || !strings.HasPrefix(m.Path, q.PathPrefix)
	}), nil
}

// changeable returns a policy if the account may change it.
func (s *Service) changeable(ctx context.Context, account, arn string) (Managed, error) {
	m, err := s.GetPolicy(ctx, account, arn)
	if err == nil && m.Account != account {
		err = &ValidationError{"Policy " + arn + " is AWS's own and can't be changed."}
	}
	return m, err
}

func (s *Service) changePolicy(ctx context.Context, account, arn string, change func(*Managed) error) error {
	m, err := s.changeable(ctx, account, arn)
	if err != nil {
		return err
	}
	return s.opts.Store.ChangePolicy(ctx, account, m.Name, change)
}

// DeletePolicy removes a managed policy. It fails with ErrInUse while the policy is
// attached, and with ErrVersions while it has versions besides the default one.
func (s *Service) DeletePolicy(ctx context.Context, account, arn string) error {
	m, err := s.changeable(ctx, account, arn)
	switch {
	case err != nil:
		return err
	case len(m.Versions) > 1:
		return &EntityError{KindManaged, arn, ErrVersions}
	}
	return s.opts.Store.DeletePolicy(ctx, account, m.Name)
}

// VersionSpec describes a version to add to a managed policy.
type VersionSpec struct {
	Document string
	Default  bool // becomes the default version
}

// CreatePolicyVersion adds a version.
func (s *Service) CreatePolicyVersion(ctx context.Context, account, arn string, spec VersionSpec) (v Version, err error) {
	document, err := acceptManaged(spec.Document)
	if err != nil {
		return v, err
	}
	err = s.changePolicy(ctx, account, arn, func(m *Managed) error {
		if len(m.Versions) >= maxVersions {
			return &LimitError{fmt.Sprintf("A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxVersions)}
		}
		m.Last++
		v = Version{m.Last, document, s.stamp()}
		m.Versions = append(m.Versions, v)
		m.Updated = v.Created
		if spec.Default {
			m.Default = v.Number
		}
		return nil
	})
	return v, err
}

// version returns the index of a version ("v3") in m.Versions.
func (m *Managed) version(id string) (int, error) {
	text, ok := strings.CutPrefix(id, "v")
	number, err := strconv.Atoi(text)
	if !ok || err != nil {
		return 0, &ValidationError{"The specified value for versionId is invalid. It must be v and a number"}
	}
	at := slices.IndexFunc(m.Versions, func(v Version) bool { return v.Number == number })
	if at < 0 {
		return 0, &EntityError{KindVersion, id, ErrNotFound}
	}
	return at, nil
}

// Version returns one version ("v3") of m.
func (m Managed) Version(id string) (Version, error) {
	at, err := m.version(id)
	if err != nil {
		return Version{}, err
	}
	return m.Versions[at], nil
}

// DeletePolicyVersion removes a version that is not the default.
func (s *Service) DeletePolicyVersion(ctx context.Context, account, arn, id string) error {
	return s.changePolicy(ctx, account, arn, func(m *Managed) error {
		at, err := m.version(id)
		switch {
		case err != nil:
			return err
		case m.Versions[at].Number == m.Default:
			return &EntityError{KindVersion, id, ErrInUse}
		}
		m.Versions = slices.Delete(m.Versions, at, at+1)
		m.Updated = s.stamp()
		return nil
	})
}

// SetDefaultPolicyVersion makes a version the default, which is the one that
// applies.
func (s *Service) SetDefaultPolicyVersion(ctx context.Context, account, arn, id string) error {
	return s.changePolicy(ctx, account, arn, func(m *Managed) error {
		at, err := m.version(id)
		if err == nil {
			m.Default, m.Updated = m.Versions[at].Number, s.stamp()
		}
		return err
	})
}

// TagPolicy adds tags, and replaces the values of tags that the policy has already.
func (s *Service) TagPolicy(ctx context.Context, account, arn string, tags []tag.Tag) error {
	if err := checkTags(tags); err != nil {
		return err
	}
	return s.changePolicy(ctx, account, arn, func(m *Managed) (err error) {
		m.Tags, err = merge(m.Tags, tags)
		return err
	})
}

// UntagPolicy removes tags. A key that the policy has no tag for is not an error.
func (s *Service) UntagPolicy(ctx context.Context, account, arn string, keys []string) error {
	return s.changePolicy(ctx, account, arn, func(m *Managed) error {
		m.Tags = without(m.Tags, keys)
		return nil
	})
}

// AttachPolicy attaches a managed policy to an owner.
func (s *Service) AttachPolicy(ctx context.Context, o Owner, arn string) error {
	if err := o.check(); err != nil {
		return err
	}
	m, err := s.GetPolicy(ctx, o.Account, arn)
	if errors.Is(err, ErrNotFound) {
		err = &EntityError{KindAttachment, shorten(arn), ErrNotFound}
	}
	if err != nil {
		return err
	}
	name := m.Name
	if m.Account == awsAccount {
		name = ""
	}
	what := "PoliciesPerRole"
	if o.Kind == KindUser {
		what = "PoliciesPerUser"
	}
	return quota(s.opts.Store.Attach(ctx, o, arn, name, maxAttached), maxAttached, what)
}

// DetachPolicy detaches a managed policy from an owner.
func (s *Service) DetachPolicy(ctx context.Context, o Owner, arn string) error {
	if err := o.check(); err != nil {
		return err
	}
	if _, _, name, ok := s.splitARN(arn, "policy"); !ok || checkPolicy(name) != nil {
		return &ARNError{shorten(arn)}
	}
	return s.opts.Store.Detach(ctx, o, arn)
}

// OwnersOf returns the owners that use a managed policy, in one way or, if use is empty,
// in any: users, then roles, sorted by name.
func (s *Service) OwnersOf(ctx context.Context, account, arn string, use Use) ([]Owner, error) {
	if _, err := s.GetPolicy(ctx, account, arn); err != nil {
		return nil, err
	}
	var list []Owner
	for _, from := range []struct {
		use    Use
		owners func(ctx context.Context, account, arn string) ([]Owner, error)
	}{{AsPermissions, s.opts.Store.Owners}, {AsBoundary, s.opts.Store.Bounded}} {
		if use != "" && use != from.use {
			continue
		}
		owners, err := from.owners(ctx, account, arn)
		if err != nil {
			return nil, err
		}
		list = append(list, owners...)
	}
	slices.SortFunc(list, func(a, b Owner) int {
		return cmp.Or(-cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) // "user" before "role"
	})
	return slices.Compact(list), nil
}
