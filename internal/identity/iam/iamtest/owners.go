package iamtest

import (
	"context"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/identity/iam"
)

// CreateUser implements iam.UserStore.
func (m *Memory) CreateUser(_ context.Context, u iam.UserInfo, most int) error {
	defer m.change()()
	return m.add(iam.UserOwner(u.Account, u.Name), &owner{user: u}, most)
}

// CreateRole implements iam.RoleStore.
func (m *Memory) CreateRole(_ context.Context, r iam.Role, most int) error {
	defer m.change()()
	return m.add(iam.RoleOwner(r.Account, r.Name), &owner{role: r}, most)
}

// list returns the owners of a kind, by names or all, sorted by name.
func (m *Memory) list(account, kind string, names []string) []*owner {
	var list []*owner
	for key, h := range m.owners {
		if key.account == account && key.kind == kind && (len(names) == 0 || slices.Contains(names, h.name())) {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b *owner) int { return strings.Compare(a.name(), b.name()) })
	return list
}

// Users implements iam.UserStore.
func (m *Memory) Users(_ context.Context, account string, names ...string) (list []iam.UserInfo, _ error) {
	defer m.lock()()
	for _, h := range m.list(account, iam.KindUser, names) {
		list = append(list, h.user)
	}
	return list, nil
}

// Roles implements iam.RoleStore.
func (m *Memory) Roles(_ context.Context, account string, names ...string) (list []iam.Role, _ error) {
	defer m.lock()()
	for _, h := range m.list(account, iam.KindRole, names) {
		list = append(list, h.role)
	}
	return list, nil
}

// ChangeUser implements iam.UserStore.
func (m *Memory) ChangeUser(_ context.Context, account, name string, change func(*iam.UserInfo) error) error {
	defer m.change()()
	h, err := m.find(iam.UserOwner(account, name))
	if err != nil {
		return err
	}
	u := h.user
	if err := change(&u); err != nil {
		return err
	}
	to := nameOf(account, iam.KindUser, u.Name)
	if other := m.owners[to]; other != nil && other != h {
		return fail(iam.KindUser, u.Name, iam.ErrExists)
	}
	if u.Boundary != h.user.Boundary {
		if err := m.checkBoundary(account, u.Boundary); err != nil {
			return err
		}
	}
	delete(m.owners, nameOf(account, iam.KindUser, name))
	m.owners[to] = h
	h.user = u
	for id, k := range m.keys {
		if k.Account == account && k.User == name {
			k.User = u.Name
			m.keys[id] = k
		}
	}
	return nil
}

// ChangeRole implements iam.RoleStore.
func (m *Memory) ChangeRole(_ context.Context, account, name string, change func(*iam.Role) error) error {
	defer m.change()()
	h, err := m.find(iam.RoleOwner(account, name))
	if err != nil {
		return err
	}
	r := h.role
	if err := change(&r); err != nil {
		return err
	}
	if r.Boundary != h.role.Boundary {
		if err := m.checkBoundary(account, r.Boundary); err != nil {
			return err
		}
	}
	h.role = r
	return nil
}

// DeleteUser implements iam.UserStore.
func (m *Memory) DeleteUser(_ context.Context, account, name string) error {
	defer m.change()()
	return m.remove(iam.UserOwner(account, name))
}

// DeleteRole implements iam.RoleStore.
func (m *Memory) DeleteRole(_ context.Context, account, name string) error {
	defer m.change()()
	return m.remove(iam.RoleOwner(account, name))
}

// Entities implements iam.EntityStore.
func (m *Memory) Entities(_ context.Context, ids ...string) (list []iam.Entity, _ error) {
	defer m.lock()()
	for key, h := range m.owners {
		e := iam.Entity{Owner: iam.Owner{Account: key.account, Kind: key.kind, Name: h.name()}, Path: h.user.Path + h.role.Path, ID: h.user.ID + h.role.ID}
		if slices.Contains(ids, e.ID) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b iam.Entity) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}
