package iam

import (
	"cmp"
	"context"
	"strings"

	"github.com/diskport/diskport/internal/tag"
)

// ProfileSpec describes an instance profile to create.
type ProfileSpec struct {
	Name string
	Path string // empty means "/"
	Tags []tag.Tag
}

// CreateProfile creates an instance profile without a role.
func (s *Service) CreateProfile(ctx context.Context, account string, spec ProfileSpec) (InstanceProfile, error) {
	spec.Path = cmp.Or(spec.Path, "/")
	if err := cmp.Or(checkProfile(spec.Name), checkPath(spec.Path), checkTags(spec.Tags)); err != nil {
		return InstanceProfile{}, err
	}
	tags, err := tag.Set(nil).Merge(spec.Tags)
	if err != nil {
		return InstanceProfile{}, err
	}
	p := InstanceProfile{Account: account, Name: spec.Name, Path: spec.Path, ID: s.newID("AIPA"), Created: s.stamp(), Tags: tags}
	return p, quota(s.opts.Store.CreateProfile(ctx, p, maxProfiles), maxProfiles, "InstanceProfilesPerAccount")
}

// GetProfile returns an instance profile.
func (s *Service) GetProfile(ctx context.Context, account, name string) (InstanceProfile, error) {
	if err := checkProfile(name); err != nil {
		return InstanceProfile{}, err
	}
	found, err := s.opts.Store.Profiles(ctx, account, name)
	return get(KindProfile, name, found, err)
}

// ListProfiles returns the instance profiles whose path begins with prefix, sorted by
// name.
func (s *Service) ListProfiles(ctx context.Context, account, prefix string) ([]InstanceProfile, error) {
	all, err := s.opts.Store.Profiles(ctx, account)
	var list []InstanceProfile
	for _, p := range all {
		if strings.HasPrefix(p.Path, prefix) {
			list = append(list, p)
		}
	}
	return list, err
}

// ProfilesOf returns the instance profiles that a role is in, sorted by name.
func (s *Service) ProfilesOf(ctx context.Context, account, role string) ([]InstanceProfile, error) {
	if _, err := s.role(ctx, account, role); err != nil {
		return nil, err
	}
	all, err := s.opts.Store.Profiles(ctx, account)
	var list []InstanceProfile
	for _, p := range all {
		if p.Role == role {
			list = append(list, p)
		}
	}
	return list, err
}

func (s *Service) changeProfile(ctx context.Context, account, name string, change func(*InstanceProfile) error) error {
	if err := checkProfile(name); err != nil {
		return err
	}
	return s.opts.Store.ChangeProfile(ctx, account, name, change)
}

// AddRole puts a role into an instance profile, which holds no more than one.
func (s *Service) AddRole(ctx context.Context, account, profile, role string) error {
	if _, err := s.role(ctx, account, role); err != nil {
		return err
	}
	return s.changeProfile(ctx, account, profile, func(p *InstanceProfile) error {
		if p.Role != "" {
			return checkQuota(1, 1, "InstanceSessionsPerInstanceProfile")
		}
		p.Role = role
		return nil
	})
}

// RemoveRole takes a role out of an instance profile. It fails with ErrNotFound about
// the role if it is not in there.
func (s *Service) RemoveRole(ctx context.Context, account, profile, role string) error {
	if err := checkRole(role); err != nil {
		return err
	}
	return s.changeProfile(ctx, account, profile, func(p *InstanceProfile) error {
		if p.Role != role {
			return &EntityError{KindRole, role, ErrNotFound}
		}
		p.Role = ""
		return nil
	})
}

// TagProfile adds tags, and replaces the values of tags that the profile has already.
func (s *Service) TagProfile(ctx context.Context, account, name string, tags []tag.Tag) error {
	if err := checkTags(tags); err != nil {
		return err
	}
	return s.changeProfile(ctx, account, name, func(p *InstanceProfile) (err error) {
		p.Tags, err = merge(p.Tags, tags)
		return err
	})
}

// UntagProfile removes tags. A key that the profile has no tag for is not an error.
func (s *Service) UntagProfile(ctx context.Context, account, name string, keys []string) error {
	return s.changeProfile(ctx, account, name, func(p *InstanceProfile) error {
		p.Tags = without(p.Tags, keys)
		return nil
	})
}

// DeleteProfile removes an instance profile. It fails with ErrInUse while it has a role.
func (s *Service) DeleteProfile(ctx context.Context, account, name string) error {
	if err := checkProfile(name); err != nil {
		return err
	}
	return s.opts.Store.DeleteProfile(ctx, account, name)
}

// ARNOfProfile returns the ARN of p.
func (s *Service) ARNOfProfile(p InstanceProfile) string {
	return s.EntityARN(p.Account, "instance-profile", p.Path, p.Name)
}
