package iamtest

import (
	"context"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/identity/iam"
)

// CreateProfile implements iam.ProfileStore.
func (m *Memory) CreateProfile(_ context.Context, p iam.InstanceProfile, most int) error {
	defer m.change()()
	key := nameOf(p.Account, "", p.Name)
	if m.profiles[key] != nil {
		return fail(iam.KindProfile, p.Name, iam.ErrExists)
	}
	if count(m.profiles, p.Account) >= most {
		return fail(iam.KindProfile, p.Name, iam.ErrTooMany)
	}
	m.profiles[key] = &p
	return nil
}

// count returns how many entities are an account's.
func count[T any](all map[name]T, account string) (n int) {
	for key := range all {
		if key.account == account {
			n++
		}
	}
	return n
}

// Profiles implements iam.ProfileStore.
func (m *Memory) Profiles(_ context.Context, account string, names ...string) (list []iam.InstanceProfile, _ error) {
	defer m.lock()()
	for key, p := range m.profiles {
		if key.account == account && (len(names) == 0 || slices.Contains(names, p.Name)) {
			list = append(list, *p)
		}
	}
	slices.SortFunc(list, func(a, b iam.InstanceProfile) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (m *Memory) findProfile(account, name string) (*iam.InstanceProfile, error) {
	p := m.profiles[nameOf(account, "", name)]
	if p == nil || p.Name != name {
		return nil, fail(iam.KindProfile, name, iam.ErrNotFound)
	}
	return p, nil
}

// ChangeProfile implements iam.ProfileStore.
func (m *Memory) ChangeProfile(_ context.Context, account, name string, change func(*iam.InstanceProfile) error) error {
	defer m.change()()
	p, err := m.findProfile(account, name)
	if err != nil {
		return err
	}
	changed := *p
	if err := change(&changed); err != nil {
		return err
	}
	if changed.Role != "" {
		if _, err := m.find(iam.RoleOwner(account, changed.Role)); err != nil {
			return err
		}
	}
	*p = changed
	return nil
}

// DeleteProfile implements iam.ProfileStore.
func (m *Memory) DeleteProfile(_ context.Context, account, name string) error {
	defer m.change()()
	p, err := m.findProfile(account, name)
	switch {
	case err != nil:
		return err
	case p.Role != "":
		return fail(iam.KindProfile, name, iam.ErrInUse)
	}
	delete(m.profiles, nameOf(account, "", name))
	return nil
}
