package iam

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/diskport/diskport/internal/policy"
	"github.com/diskport/diskport/internal/tag"
)

// Quotas, as IAM has them by default.
const (
	maxRoles       = 1000
	maxTrust       = 2048  // characters without white space
	maxInline      = 10240 // the same, all inline policies of a role together
	maxDescription = 1000
	minSession     = time.Hour
	maxSession     = 12 * time.Hour
	maxNameLen     = 64
	maxPolicyName  = 128
	maxPathLen     = 512
)

var (
	nameForm = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]+$`)
	pathForm = regexp.MustCompile(`^(/|/[\x21-\x7e]+/)$`)
	textForm = regexp.MustCompile(`^[\t\n\r\x20-\x7e\x{a1}-\x{ff}]*$`)
)

// RoleSpec is what a new role is to be.
type RoleSpec struct {
	Name        string
	Path        string // empty means "/"
	Trust       string
	Description string
	MaxSession  time.Duration // 0 means an hour
	Tags        []tag.Tag
}

func (r RoleSpec) validate() error {
	if err := checkRole(r.Name); err != nil {
		return err
	}
	switch {
	case len(r.Path) > maxPathLen || !pathForm.MatchString(r.Path):
		return &ValidationError{"The specified value for path is invalid. It must begin and end with / and contain only ASCII characters."}
	case utf8.RuneCountInString(r.Description) > maxDescription || !textForm.MatchString(r.Description):
		return &ValidationError{fmt.Sprintf("Value at 'description' failed to satisfy constraint: Member must have at most %d Latin characters", maxDescription)}
	case r.MaxSession < minSession || r.MaxSession > maxSession:
		return &ValidationError{"Value at 'maxSessionDuration' failed to satisfy constraint: Member must be between 3600 and 43200"}
	}
	if err := checkTrust(r.Trust); err != nil {
		return err
	}
	return tag.Validate(r.Tags)
}

func checkName(field, name string, most int) error {
	if len(name) < 1 || len(name) > most || !nameForm.MatchString(name) {
		return &ValidationError{fmt.Sprintf("The specified value for %s is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_- and have 1 to %d of them", field, most)}
	}
	return nil
}

// checkRole is checkName for the name of a role.
func checkRole(name string) error { return checkName("roleName", name, maxNameLen) }

// checkTrust accepts a trust policy, or says why not: *policy.SyntaxError or
// *LimitError.
func checkTrust(document string) error {
	if _, err := policy.Parse(document, policy.Trust); err != nil {
		return err
	}
	if weight(document) > maxTrust {
		return &LimitError{fmt.Sprintf("Cannot exceed quota for ACLSizePerRole: %d", maxTrust)}
	}
	return nil
}

// weight is how IAM measures policies: characters but white space.
func weight(document string) int {
	n := 0
	for _, r := range document {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}

// CreateRole makes a role.
func (s *Service) CreateRole(ctx context.Context, account string, spec RoleSpec) (Role, error) {
	if spec.Path == "" {
		spec.Path = "/"
	}
	if spec.MaxSession == 0 {
		spec.MaxSession = minSession
	}
	if err := spec.validate(); err != nil {
		return Role{}, err
	}
	tags, err := tag.Set(nil).Merge(spec.Tags)
	if err != nil {
		return Role{}, err
	}
	present, err := s.opts.Store.Roles(ctx, account)
	if err != nil {
		return Role{}, err
	}
	if len(present) >= maxRoles {
		return Role{}, &LimitError{fmt.Sprintf("Cannot exceed quota for RolesPerAccount: %d", maxRoles)}
	}
	r := Role{
		Account: account, Name: spec.Name, Path: spec.Path, ID: s.newID("AROA"), Trust: spec.Trust,
		Description: spec.Description, MaxSession: spec.MaxSession, Tags: tags,
		Created: s.opts.Now().UTC().Truncate(time.Second), // all that the wire tells
	}
	return r, s.opts.Store.CreateRole(ctx, r)
}

// GetRole returns a role.
func (s *Service) GetRole(ctx context.Context, account, name string) (Role, error) {
	if err := checkRole(name); err != nil {
		return Role{}, err
	}
	found, err := s.opts.Store.Roles(ctx, account, name)
	if err == nil && len(found) == 0 {
		err = RoleError(name, ErrNotFound)
	}
	if err != nil {
		return Role{}, err
	}
	return found[0], nil
}

// ListRoles returns the roles whose path begins with prefix, sorted by name.
func (s *Service) ListRoles(ctx context.Context, account, prefix string) ([]Role, error) {
	all, err := s.opts.Store.Roles(ctx, account)
	var list []Role
	for _, r := range all {
		if strings.HasPrefix(r.Path, prefix) {
			list = append(list, r)
		}
	}
	return list, err
}

// DeleteRole removes a role. It fails with ErrInUse while it has policies.
func (s *Service) DeleteRole(ctx context.Context, account, name string) error {
	if err := checkRole(name); err != nil {
		return err
	}
	return s.opts.Store.DeleteRole(ctx, account, name)
}

func (s *Service) change(ctx context.Context, account, name string, change func(*Role) error) error {
	if err := checkRole(name); err != nil {
		return err
	}
	return s.opts.Store.ChangeRole(ctx, account, name, change)
}

// UpdateAssumeRolePolicy replaces a role's trust policy.
func (s *Service) UpdateAssumeRolePolicy(ctx context.Context, account, name, trust string) error {
	if err := checkTrust(trust); err != nil {
		return err
	}
	return s.change(ctx, account, name, func(r *Role) error {
		r.Trust = trust
		return nil
	})
}

// RoleUpdate is what UpdateRole changes: what is not nil.
type RoleUpdate struct {
	Description *string
	MaxSession  *time.Duration
}

// UpdateRole changes a role's description and longest session.
func (s *Service) UpdateRole(ctx context.Context, account, name string, u RoleUpdate) error {
	return s.change(ctx, account, name, func(r *Role) error {
		if u.Description != nil {
			r.Description = *u.Description
		}
		if u.MaxSession != nil {
			r.MaxSession = *u.MaxSession
		}
		return RoleSpec{r.Name, r.Path, r.Trust, r.Description, r.MaxSession, nil}.validate()
	})
}

// TagRole adds tags, or gives present ones another value.
func (s *Service) TagRole(ctx context.Context, account, name string, tags []tag.Tag) error {
	if err := tag.Validate(tags); err != nil {
		return err
	}
	return s.change(ctx, account, name, func(r *Role) (err error) {
		r.Tags, err = r.Tags.Merge(tags)
		return err
	})
}

// UntagRole removes tags. A key without a tag is no error.
func (s *Service) UntagRole(ctx context.Context, account, name string, keys []string) error {
	gone := map[string]bool{}
	for _, key := range keys {
		gone[key] = true
	}
	return s.change(ctx, account, name, func(r *Role) error {
		var left tag.Set
		for _, t := range r.Tags {
			if !gone[t.Key] {
				left = append(left, t)
			}
		}
		r.Tags = left
		return nil
	})
}
