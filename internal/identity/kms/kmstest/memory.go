package kmstest

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/diskport/diskport/internal/identity/kms"
)

// Memory is a kms.Store that keeps everything in memory. The zero value is empty.
type Memory struct {
	mu      sync.Mutex // guards the maps
	keys    map[kms.Ref]kms.Key
	aliases map[kms.Ref]kms.Alias // by account, region and name
	grants  map[string]kms.Grant  // by id
}

var _ kms.Store = (*Memory)(nil)

// lock makes the maps if they are missing, and returns the function that unlocks
// them.
func (m *Memory) lock() (unlock func()) {
	m.mu.Lock()
	if m.keys == nil {
		m.keys, m.aliases, m.grants = map[kms.Ref]kms.Key{}, map[kms.Ref]kms.Alias{}, map[string]kms.Grant{}
	}
	return m.mu.Unlock
}

func named(a kms.Alias) kms.Ref { return kms.Ref{Account: a.Account, Region: a.Region, ID: a.Name} }

func clone(k kms.Key) kms.Key {
	k.Wrapped, k.Tags, k.Rotations = bytes.Clone(k.Wrapped), slices.Clone(k.Tags), slices.Clone(k.Rotations)
	return k
}

// CreateKey implements kms.KeyStore.
func (m *Memory) CreateKey(_ context.Context, k kms.Key, a kms.Alias) error {
	defer m.lock()()
	if a.Name != "" {
		if _, ok := m.aliases[named(a)]; ok {
			return kms.AliasExists(a)
		}
		m.aliases[named(a)] = a
	}
	m.keys[k.Ref] = clone(k)
	return nil
}

// Key implements kms.KeyStore.
func (m *Memory) Key(_ context.Context, r kms.Ref) (kms.Key, error) {
	defer m.lock()()
	return m.key(r)
}

func (m *Memory) key(r kms.Ref) (kms.Key, error) {
	k, ok := m.keys[r]
	if !ok {
		return kms.Key{}, kms.NoKey(r)
	}
	return clone(k), nil
}

// Keys implements kms.KeyStore.
func (m *Memory) Keys(_ context.Context, account, region string) (list []kms.Key, err error) {
	defer m.lock()()
	for _, k := range m.keys {
		if k.Account == account && k.Region == region {
			list = append(list, clone(k))
		}
	}
	slices.SortFunc(list, func(a, b kms.Key) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// Owned implements kms.KeyStore.
func (m *Memory) Owned(_ context.Context, account string, now time.Time) (n int, err error) {
	defer m.lock()()
	for _, k := range m.keys {
		over := k.State == kms.PendingDeletion && !k.Deletion.After(now)
		if k.Account == account && k.Manager == kms.Customer && !over {
			n++
		}
	}
	return n, nil
}

// ChangeKey implements kms.KeyStore.
func (m *Memory) ChangeKey(_ context.Context, r kms.Ref, change func(*kms.Key) error) error {
	defer m.lock()()
	k, err := m.key(r)
	if err != nil {
		return err
	}
	if err := change(&k); err != nil {
		return err
	}
	m.keys[r] = clone(k)
	return nil
}

// CreateAlias implements kms.AliasStore.
func (m *Memory) CreateAlias(_ context.Context, a kms.Alias, most int) error {
	defer m.lock()()
	if _, err := m.key(a.Key()); err != nil {
		return err
	}
	if _, ok := m.aliases[named(a)]; ok {
		return kms.AliasExists(a)
	}
	if m.aliasesOf(a) >= most {
		return kms.TooManyAliases(most)
	}
	m.aliases[named(a)] = a
	return nil
}

// aliasesOf counts the aliases of what an alias is for.
func (m *Memory) aliasesOf(a kms.Alias) (n int) {
	for _, other := range m.aliases {
		if other.Key() == a.Key() {
			n++
		}
	}
	return n
}

// MoveAlias implements kms.AliasStore.
func (m *Memory) MoveAlias(_ context.Context, a kms.Alias, most int) error {
	defer m.lock()()
	old, ok := m.aliases[named(a)]
	if !ok {
		return kms.NoAlias(a)
	}
	if _, err := m.key(a.Key()); err != nil {
		return err
	}
	if old.Target != a.Target && m.aliasesOf(a) >= most {
		return kms.TooManyAliases(most)
	}
	old.Target, old.Updated = a.Target, a.Updated
	m.aliases[named(a)] = old
	return nil
}

// DeleteAlias implements kms.AliasStore.
func (m *Memory) DeleteAlias(_ context.Context, a kms.Alias) error {
	defer m.lock()()
	if _, ok := m.aliases[named(a)]; !ok {
		return kms.NoAlias(a)
	}
	delete(m.aliases, named(a))
	return nil
}

// Aliases implements kms.AliasStore.
func (m *Memory) Aliases(_ context.Context, account, region string, names ...string) (list []kms.Alias, err error) {
	defer m.lock()()
	for _, a := range m.aliases {
		if a.Account == account && a.Region == region && (len(names) == 0 || slices.Contains(names, a.Name)) {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b kms.Alias) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// AddGrant implements kms.GrantStore.
func (m *Memory) AddGrant(_ context.Context, g kms.Grant) (kms.Grant, error) {
	defer m.lock()()
	if _, err := m.key(g.Key); err != nil {
		return kms.Grant{}, err
	}
	for _, have := range m.grants {
		if g.Name != "" && have.Same(g) {
			return have, nil
		}
	}
	m.grants[g.ID] = g
	return g, nil
}

// Grants implements kms.GrantStore.
func (m *Memory) Grants(_ context.Context, r kms.Ref) (list []kms.Grant, err error) {
	defer m.lock()()
	for _, g := range m.grants {
		if g.Key == r {
			list = append(list, g)
		}
	}
	slices.SortFunc(list, func(a, b kms.Grant) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// Retirable implements kms.GrantStore.
func (m *Memory) Retirable(_ context.Context, q kms.RetirableQuery) (list []kms.Grant, err error) {
	defer m.lock()()
	for _, g := range m.grants {
		if g.Key.Account == q.Account && g.Key.Region == q.Region && g.Retiring == q.Retiring && g.ID > q.After {
			list = append(list, g)
		}
	}
	slices.SortFunc(list, func(a, b kms.Grant) int { return cmp.Compare(a.ID, b.ID) })
	return list[:min(len(list), q.Limit)], nil
}

// Overdue implements kms.RotationStore.
func (m *Memory) Overdue(_ context.Context, now time.Time, limit int) (list []kms.Ref, err error) {
	defer m.lock()()
	var due []kms.Key
	for _, k := range m.keys {
		if k.State == kms.Enabled && !k.NextRotation.IsZero() && !k.NextRotation.After(now) {
			due = append(due, k)
		}
	}
	slices.SortFunc(due, func(a, b kms.Key) int { return a.NextRotation.Compare(b.NextRotation) })
	for _, k := range due[:min(len(due), limit)] {
		list = append(list, k.Ref)
	}
	return list, nil
}

// DeleteGrant implements kms.GrantStore.
func (m *Memory) DeleteGrant(_ context.Context, r kms.Ref, id string) error {
	defer m.lock()()
	if m.grants[id].Key != r {
		return kms.NoGrant(id)
	}
	delete(m.grants, id)
	return nil
}

// Purge implements kms.Purger.
func (m *Memory) Purge(_ context.Context, now time.Time) (n int, err error) {
	defer m.lock()()
	for r, k := range m.keys {
		if k.State != kms.PendingDeletion || k.Deletion.After(now) {
			continue
		}
		delete(m.keys, r)
		maps.DeleteFunc(m.aliases, func(_ kms.Ref, a kms.Alias) bool { return a.Key() == r })
		maps.DeleteFunc(m.grants, func(_ string, g kms.Grant) bool { return g.Key == r })
		n++
	}
	return n, nil
}
