package iamtest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/diskport/diskport/internal/identity/iam"
)

// Memory is an iam.Store that keeps everything in memory. The zero value is empty.
type Memory struct {
	mu      sync.Mutex // guards the maps
	keys    map[string]iam.AccessKey
	owners  map[name]*owner
	managed map[name]*iam.Managed
	removed map[string]bool // accounts

	profiles map[name]*iam.InstanceProfile

	changes int64 // that were tried
}

// name identifies an entity. kind is empty for managed policies.
type name struct{ account, kind, lower string }

func nameOf(account, kind, text string) name { return name{account, kind, strings.ToLower(text)} }

// owner is a user or a role with its policies.
type owner struct {
	user     iam.UserInfo
	role     iam.Role
	inline   map[string]string
	attached map[string]string // ARN to name of the policy, or empty
}

func (h *owner) name() string { return h.user.Name + h.role.Name }

func (h *owner) boundary() string { return h.user.Boundary + h.role.Boundary }

var _ iam.Store = (*Memory)(nil)

func fail(kind, name string, err error) error {
	return &iam.EntityError{Kind: kind, Name: name, Err: err}
}

// lock makes the maps if they are missing, and returns the function that unlocks
// them.
func (m *Memory) lock() func() {
	m.mu.Lock()
	if m.keys == nil {
		m.keys, m.owners, m.managed, m.removed = map[string]iam.AccessKey{}, map[name]*owner{}, map[name]*iam.Managed{}, map[string]bool{}
		m.profiles = map[name]*iam.InstanceProfile{}
	}
	return m.mu.Unlock
}

// change is lock for what changes something.
func (m *Memory) change() func() {
	unlock := m.lock()
	m.changes++
	return unlock
}

// Generation implements iam.KeyStore.
func (m *Memory) Generation(context.Context) (int64, error) {
	defer m.lock()()
	return m.changes + 1, nil
}

// find returns an owner. Its name must match in case too.
func (m *Memory) find(o iam.Owner) (*owner, error) {
	h := m.owners[nameOf(o.Account, o.Kind, o.Name)]
	if h == nil || h.name() != o.Name {
		return nil, fail(o.Kind, o.Name, iam.ErrNotFound)
	}
	return h, nil
}

func (m *Memory) add(o iam.Owner, h *owner, most int) error {
	key := nameOf(o.Account, o.Kind, o.Name)
	if m.owners[key] != nil {
		return fail(o.Kind, o.Name, iam.ErrExists)
	}
	if len(m.list(o.Account, o.Kind, nil)) >= most {
		return fail(o.Kind, o.Name, iam.ErrTooMany)
	}
	if err := m.checkBoundary(o.Account, h.boundary()); err != nil {
		return err
	}
	h.inline, h.attached = map[string]string{}, map[string]string{}
	m.owners[key] = h
	return nil
}

func (m *Memory) remove(o iam.Owner) error {
	h, err := m.find(o)
	if err != nil {
		return err
	}
	key := func(k iam.AccessKey) bool {
		return k.Account == o.Account && o.Kind == iam.KindUser && k.User == o.Name
	}
	if len(h.inline)+len(h.attached) > 0 || len(m.keysOf(key)) > 0 {
		return fail(o.Kind, o.Name, iam.ErrInUse)
	}
	for key, p := range m.profiles {
		if o.Kind == iam.KindRole && key.account == o.Account && p.Role == o.Name {
			return fail(o.Kind, o.Name, iam.ErrInProfile)
		}
	}
	delete(m.owners, nameOf(o.Account, o.Kind, o.Name))
	return nil
}

// SetRootKey implements iam.AccountStore.
func (m *Memory) SetRootKey(_ context.Context, k iam.AccessKey) error {
	defer m.change()()
	if m.removed[k.Account] {
		return fail(iam.KindAccount, k.Account, iam.ErrRemoved)
	}
	if old, ok := m.keys[k.ID]; ok {
		if old.Account != k.Account || old.User != "" {
			return fail(iam.KindKey, k.ID, iam.ErrExists)
		}
		k.Created = old.Created
	}
	maps.DeleteFunc(m.keys, func(_ string, old iam.AccessKey) bool { return old.Account == k.Account && old.User == "" })
	k.Wrapped = bytes.Clone(k.Wrapped)
	m.keys[k.ID] = k
	return nil
}

// AddAccount implements iam.AccountStore.
func (m *Memory) AddAccount(_ context.Context, k iam.AccessKey) error {
	defer m.change()()
	if m.removed[k.Account] {
		return fail(iam.KindAccount, k.Account, iam.ErrRemoved)
	}
	if len(m.keysOf(func(old iam.AccessKey) bool { return old.Account == k.Account && old.User == "" })) > 0 {
		return fail(iam.KindAccount, k.Account, iam.ErrExists)
	}
	return m.addKey(k)
}

func (m *Memory) addKey(k iam.AccessKey) error {
	if _, taken := m.keys[k.ID]; taken {
		return fail(iam.KindKey, k.ID, iam.ErrExists)
	}
	k.Wrapped = bytes.Clone(k.Wrapped)
	m.keys[k.ID] = k
	return nil
}

// keysOf returns the keys that match, sorted by id.
func (m *Memory) keysOf(match func(iam.AccessKey) bool) []iam.AccessKey {
	var list []iam.AccessKey
	for _, k := range m.keys {
		if match(k) {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(a, b iam.AccessKey) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// RootKeys implements iam.AccountStore.
func (m *Memory) RootKeys(context.Context) ([]iam.AccessKey, error) {
	defer m.lock()()
	list := m.keysOf(func(k iam.AccessKey) bool { return k.User == "" })
	slices.SortFunc(list, func(a, b iam.AccessKey) int { return strings.Compare(a.Account, b.Account) })
	return list, nil
}

// RemoveAccount implements iam.AccountStore.
func (m *Memory) RemoveAccount(_ context.Context, account string) error {
	defer m.change()()
	if len(m.keysOf(func(k iam.AccessKey) bool { return k.Account == account && k.User == "" })) == 0 {
		return fail(iam.KindAccount, account, iam.ErrNotFound)
	}
	maps.DeleteFunc(m.keys, func(_ string, k iam.AccessKey) bool { return k.Account == account })
	maps.DeleteFunc(m.owners, func(n name, _ *owner) bool { return n.account == account })
	maps.DeleteFunc(m.managed, func(n name, _ *iam.Managed) bool { return n.account == account })
	maps.DeleteFunc(m.profiles, func(n name, _ *iam.InstanceProfile) bool { return n.account == account })
	m.removed[account] = true
	return nil
}

// AccessKey implements iam.KeyStore.
func (m *Memory) AccessKey(_ context.Context, id string) (iam.AccessKey, error) {
	defer m.lock()()
	k, ok := m.keys[id]
	if !ok {
		return k, iam.ErrUnknownKey
	}
	return k, nil
}

// ChangeKey implements iam.KeyStore.
func (m *Memory) ChangeKey(_ context.Context, account, id string, change func(*iam.AccessKey) error) error {
	defer m.lock()()
	k, ok := m.keys[id]
	if !ok || k.Account != account {
		return fail(iam.KindKey, id, iam.ErrNotFound)
	}
	was := k.Inactive
	if err := change(&k); err != nil {
		return err
	}
	if k.Inactive != was {
		m.changes++
	}
	m.keys[id] = k
	return nil
}

// AddKey implements iam.UserKeyStore.
func (m *Memory) AddKey(_ context.Context, k iam.AccessKey, most int) error {
	defer m.change()()
	if _, err := m.find(iam.UserOwner(k.Account, k.User)); err != nil {
		return err
	}
	if len(m.keysOf(func(old iam.AccessKey) bool { return old.Account == k.Account && old.User == k.User })) >= most {
		return fail(iam.KindUser, k.User, iam.ErrTooMany)
	}
	return m.addKey(k)
}

// Keys implements iam.UserKeyStore.
func (m *Memory) Keys(_ context.Context, account, user string) ([]iam.AccessKey, error) {
	defer m.lock()()
	if _, err := m.find(iam.UserOwner(account, user)); err != nil {
		return nil, err
	}
	return m.keysOf(func(k iam.AccessKey) bool { return k.Account == account && k.User == user }), nil
}

// DeleteKey implements iam.UserKeyStore.
func (m *Memory) DeleteKey(_ context.Context, account, user, id string) error {
	defer m.change()()
	if _, err := m.find(iam.UserOwner(account, user)); err != nil {
		return err
	}
	if k, ok := m.keys[id]; !ok || k.Account != account || k.User != user {
		return fail(iam.KindKey, id, iam.ErrNotFound)
	}
	delete(m.keys, id)
	return nil
}
