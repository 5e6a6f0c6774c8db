package iam

import (
	"cmp"
	"context"
	"strings"

	"github.com/diskport/diskport/internal/tag"
)

// UserSpec describes a user to create.
type UserSpec struct {
	Name string
	Path string // empty means "/"
	Tags []tag.Tag
	// Boundary is the ARN of a managed policy, or empty.
	Boundary string
}

// CreateUser creates a user, who may not do anything yet.
func (s *Service) CreateUser(ctx context.Context, account string, spec UserSpec) (UserInfo, error) {
	spec.Path = cmp.Or(spec.Path, "/")
	if err := cmp.Or(checkUser(spec.Name), checkPath(spec.Path), checkTags(spec.Tags)); err != nil {
		return UserInfo{}, err
	}
	tags, err := tag.Set(nil).Merge(spec.Tags)
	if err != nil {
		return UserInfo{}, err
	}
	if err := s.checkBoundary(ctx, account, spec.Boundary); err != nil {
		return UserInfo{}, err
	}
	u := UserInfo{
		Account: account, Name: spec.Name, Path: spec.Path, ID: s.newID("AIDA"), Created: s.stamp(), Tags: tags, Boundary: spec.Boundary,
	}
	return u, quota(scope(spec.Boundary, s.opts.Store.CreateUser(ctx, u, maxUsers)), maxUsers, "UsersPerAccount")
}

// GetUser returns a user.
func (s *Service) GetUser(ctx context.Context, account, name string) (UserInfo, error) {
	if err := checkUser(name); err != nil {
		return UserInfo{}, err
	}
	found, err := s.opts.Store.Users(ctx, account, name)
	return get(KindUser, name, found, err)
}

// ListUsers returns the users whose path begins with prefix, sorted by name.
func (s *Service) ListUsers(ctx context.Context, account, prefix string) ([]UserInfo, error) {
	all, err := s.opts.Store.Users(ctx, account)
	var list []UserInfo
	for _, u := range all {
		if strings.HasPrefix(u.Path, prefix) {
			list = append(list, u)
		}
	}
	return list, err
}

// UpdateUser changes a user's name or path; an empty string leaves it as it is.
func (s *Service) UpdateUser(ctx context.Context, account, name, newName, newPath string) error {
	if err := cmp.Or(checkUser(name), checkUser(cmp.Or(newName, name)), checkPath(cmp.Or(newPath, "/"))); err != nil {
		return err
	}
	return s.opts.Store.ChangeUser(ctx, account, name, func(u *UserInfo) error {
		u.Name, u.Path = cmp.Or(newName, u.Name), cmp.Or(newPath, u.Path)
		return nil
	})
}

// TagUser adds tags, and replaces the values of tags that the user has already.
func (s *Service) TagUser(ctx context.Context, account, name string, tags []tag.Tag) error {
	if err := cmp.Or(checkUser(name), checkTags(tags)); err != nil {
		return err
	}
	return s.opts.Store.ChangeUser(ctx, account, name, func(u *UserInfo) (err error) {
		u.Tags, err = merge(u.Tags, tags)
		return err
	})
}

// UntagUser removes tags. A key that the user has no tag for is not an error.
func (s *Service) UntagUser(ctx context.Context, account, name string, keys []string) error {
	if err := checkUser(name); err != nil {
		return err
	}
	return s.opts.Store.ChangeUser(ctx, account, name, func(u *UserInfo) error {
		u.Tags = without(u.Tags, keys)
		return nil
	})
}

// DeleteUser removes a user. It fails with ErrInUse while the user has keys or
// policies.
func (s *Service) DeleteUser(ctx context.Context, account, name string) error {
	if err := checkUser(name); err != nil {
		return err
	}
	return s.opts.Store.DeleteUser(ctx, account, name)
}
