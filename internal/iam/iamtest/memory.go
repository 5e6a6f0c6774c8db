package iamtest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/diskport/diskport/internal/iam"
)

// Memory is an iam.Store that forgets. The zero value is empty.
type Memory struct {
	mu    sync.Mutex // guards the maps
	keys  map[string]iam.AccessKey
	roles map[[2]string]*held // by account and lower-case name
}

type held struct {
	role     iam.Role
	policies map[string]string
}

var _ iam.Store = (*Memory)(nil)

// SetRootKey is iam.KeyStore's.
func (m *Memory) SetRootKey(_ context.Context, k iam.AccessKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.keys[k.ID]; ok {
		if old.Account != k.Account {
			return iam.ErrExists
		}
		k.Created = old.Created
	}
	maps.DeleteFunc(m.keys, func(_ string, old iam.AccessKey) bool { return old.Account == k.Account })
	if m.keys == nil {
		m.keys = map[string]iam.AccessKey{}
	}
	k.Sealed = bytes.Clone(k.Sealed)
	m.keys[k.ID] = k
	return nil
}

// AccessKey is iam.KeyStore's.
func (m *Memory) AccessKey(_ context.Context, id string) (iam.AccessKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.keys[id]
	if !ok {
		return k, iam.ErrUnknownKey
	}
	return k, nil
}

// find returns a role, whose name must match in case too.
func (m *Memory) find(account, name string) (*held, error) {
	h := m.roles[[2]string{account, strings.ToLower(name)}]
	if h == nil || h.role.Name != name {
		return nil, iam.RoleError(name, iam.ErrNotFound)
	}
	return h, nil
}

// CreateRole is iam.RoleStore's.
func (m *Memory) CreateRole(_ context.Context, r iam.Role) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := [2]string{r.Account, strings.ToLower(r.Name)}
	if m.roles[key] != nil {
		return iam.RoleError(r.Name, iam.ErrExists)
	}
	if m.roles == nil {
		m.roles = map[[2]string]*held{}
	}
	m.roles[key] = &held{r, map[string]string{}}
	return nil
}

// Roles is iam.RoleStore's.
func (m *Memory) Roles(_ context.Context, account string, names ...string) ([]iam.Role, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []iam.Role
	for _, h := range m.roles {
		if h.role.Account == account && (len(names) == 0 || slices.Contains(names, h.role.Name)) {
			list = append(list, h.role)
		}
	}
	slices.SortFunc(list, func(a, b iam.Role) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// ChangeRole is iam.RoleStore's.
func (m *Memory) ChangeRole(_ context.Context, account, name string, change func(*iam.Role) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, err := m.find(account, name)
	if err != nil {
		return err
	}
	r := h.role
	if err := change(&r); err != nil {
		return err
	}
	h.role = r
	return nil
}

// DeleteRole is iam.RoleStore's.
func (m *Memory) DeleteRole(_ context.Context, account, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, err := m.find(account, name)
	switch {
	case err != nil:
		return err
	case len(h.policies) > 0:
		return iam.RoleError(name, iam.ErrInUse)
	}
	delete(m.roles, [2]string{account, strings.ToLower(name)})
	return nil
}

// PutRolePolicy is iam.PolicyStore's.
func (m *Memory) PutRolePolicy(_ context.Context, account, role string, p iam.Policy) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, err := m.find(account, role)
	if err == nil {
		h.policies[p.Name] = p.Document
	}
	return err
}

// RolePolicies is iam.PolicyStore's.
func (m *Memory) RolePolicies(_ context.Context, account, role string) ([]iam.Policy, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, err := m.find(account, role)
	if err != nil {
		return nil, err
	}
	var list []iam.Policy
	for _, name := range slices.Sorted(maps.Keys(h.policies)) {
		list = append(list, iam.Policy{Name: name, Document: h.policies[name]})
	}
	return list, nil
}

// DeleteRolePolicy is iam.PolicyStore's.
func (m *Memory) DeleteRolePolicy(_ context.Context, account, role, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, err := m.find(account, role)
	if err != nil {
		return err
	}
	if _, ok := h.policies[name]; !ok {
		return iam.PolicyError(name, iam.ErrNotFound)
	}
	delete(h.policies, name)
	return nil
}
