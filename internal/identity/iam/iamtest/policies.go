package iamtest

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/identity/iam"
)

// Policies implements iam.InlineStore.
func (m *Memory) Policies(_ context.Context, o iam.Owner) (p iam.Policies, err error) {
	defer m.lock()()
	h, err := m.find(o)
	if err != nil {
		return p, err
	}
	for _, name := range slices.Sorted(maps.Keys(h.inline)) {
		p.Inline = append(p.Inline, iam.Policy{Name: name, Document: h.inline[name]})
	}
	for _, arn := range slices.Sorted(maps.Keys(h.attached)) {
		p.Attached = append(p.Attached, iam.Attached{ARN: arn, Document: m.document(o.Account, h.attached[arn])})
	}
	if arn := h.boundary(); arn != "" {
		p.Boundary = &iam.Attached{ARN: arn, Document: m.document(o.Account, iam.PolicyName(arn))}
	}
	return p, nil
}

// document returns the default version of a managed policy.
func (m *Memory) document(account, policy string) string {
	if of := m.managed[nameOf(account, "", policy)]; of != nil {
		for _, v := range of.Versions {
			if v.Number == of.Default {
				return v.Document
			}
		}
	}
	return ""
}

func (m *Memory) checkBoundary(account, arn string) error {
	policy := iam.PolicyName(arn)
	if policy == "" {
		return nil
	}
	_, err := m.findManaged(account, policy)
	return err
}

// PutInline implements iam.InlineStore.
func (m *Memory) PutInline(_ context.Context, o iam.Owner, p iam.Policy, fits func([]iam.Policy) error) error {
	defer m.change()()
	h, err := m.find(o)
	if err != nil {
		return err
	}
	var others []iam.Policy
	for name, document := range h.inline {
		if name != p.Name {
			others = append(others, iam.Policy{Name: name, Document: document})
		}
	}
	if err := fits(others); err != nil {
		return err
	}
	h.inline[p.Name] = p.Document
	return nil
}

// DeleteInline implements iam.InlineStore.
func (m *Memory) DeleteInline(_ context.Context, o iam.Owner, name string) error {
	defer m.change()()
	h, err := m.find(o)
	if err != nil {
		return err
	}
	if _, ok := h.inline[name]; !ok {
		return fail(o.PolicyKind(), name, iam.ErrNotFound)
	}
	delete(h.inline, name)
	return nil
}

// Attach implements iam.AttachmentStore.
func (m *Memory) Attach(_ context.Context, o iam.Owner, arn, policy string, most int) error {
	defer m.change()()
	h, err := m.find(o)
	if err == nil && policy != "" {
		_, err = m.findManaged(o.Account, policy)
	}
	if err != nil {
		return err
	}
	if _, again := h.attached[arn]; !again && len(h.attached) >= most {
		return fail(o.Kind, o.Name, iam.ErrTooMany)
	}
	h.attached[arn] = policy
	return nil
}

// Detach implements iam.AttachmentStore.
func (m *Memory) Detach(_ context.Context, o iam.Owner, arn string) error {
	defer m.change()()
	h, err := m.find(o)
	if err != nil {
		return err
	}
	if _, ok := h.attached[arn]; !ok {
		return fail(iam.KindAttachment, arn, iam.ErrNotFound)
	}
	delete(h.attached, arn)
	return nil
}

// Owners implements iam.AttachmentStore.
func (m *Memory) Owners(_ context.Context, account, arn string) (list []iam.Owner, _ error) {
	defer m.lock()()
	for _, kind := range []string{iam.KindUser, iam.KindRole} {
		for _, h := range m.list(account, kind, nil) {
			if _, ok := h.attached[arn]; ok {
				list = append(list, iam.Owner{Account: account, Kind: kind, Name: h.name()})
			}
		}
	}
	return list, nil
}

// Bounded implements iam.AttachmentStore.
func (m *Memory) Bounded(_ context.Context, account, arn string) (list []iam.Owner, _ error) {
	defer m.lock()()
	for _, kind := range []string{iam.KindUser, iam.KindRole} {
		for _, h := range m.list(account, kind, nil) {
			if h.boundary() == arn {
				list = append(list, iam.Owner{Account: account, Kind: kind, Name: h.name()})
			}
		}
	}
	return list, nil
}

func (m *Memory) findManaged(account, name string) (*iam.Managed, error) {
	p := m.managed[nameOf(account, "", name)]
	if p == nil || p.Name != name {
		return nil, fail(iam.KindManaged, name, iam.ErrNotFound)
	}
	return p, nil
}

// attachments counts the owners of a policy.
func (m *Memory) attachments(account, name string) (n int) {
	for key, h := range m.owners {
		if key.account == account && slices.Contains(slices.Collect(maps.Values(h.attached)), name) {
			n++
		}
	}
	return n
}

// boundaries counts the owners whose boundary a policy is.
func (m *Memory) boundaries(account, name string) (n int) {
	for key, h := range m.owners {
		if key.account == account && iam.PolicyName(h.boundary()) == name {
			n++
		}
	}
	return n
}

// CreatePolicy implements iam.ManagedStore.
func (m *Memory) CreatePolicy(_ context.Context, p iam.Managed, most int) error {
	defer m.change()()
	key := nameOf(p.Account, "", p.Name)
	if m.managed[key] != nil {
		return fail(iam.KindManaged, p.Name, iam.ErrExists)
	}
	if count(m.managed, p.Account) >= most {
		return fail(iam.KindManaged, p.Name, iam.ErrTooMany)
	}
	m.managed[key] = &p
	return nil
}

// ManagedPolicies implements iam.ManagedStore.
func (m *Memory) ManagedPolicies(_ context.Context, account string, names ...string) ([]iam.Managed, error) {
	defer m.lock()()
	var list []iam.Managed
	for key, p := range m.managed {
		if key.account == account && (len(names) == 0 || slices.Contains(names, p.Name)) {
			found := *p
			found.Versions = slices.Clone(p.Versions)
			found.Attachments, found.Boundaries = m.attachments(account, p.Name), m.boundaries(account, p.Name)
			list = append(list, found)
		}
	}
	slices.SortFunc(list, func(a, b iam.Managed) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// ChangePolicy implements iam.ManagedStore.
func (m *Memory) ChangePolicy(_ context.Context, account, name string, change func(*iam.Managed) error) error {
	defer m.change()()
	p, err := m.findManaged(account, name)
	if err != nil {
		return err
	}
	changed := *p
	changed.Versions = slices.Clone(p.Versions)
	changed.Attachments, changed.Boundaries = m.attachments(account, name), m.boundaries(account, name)
	if err := change(&changed); err != nil {
		return err
	}
	*p = changed
	return nil
}

// DeletePolicy implements iam.ManagedStore.
func (m *Memory) DeletePolicy(_ context.Context, account, name string) error {
	defer m.change()()
	if _, err := m.findManaged(account, name); err != nil {
		return err
	}
	if m.attachments(account, name)+m.boundaries(account, name) > 0 {
		return fail(iam.KindManaged, name, iam.ErrInUse)
	}
	delete(m.managed, nameOf(account, "", name))
	return nil
}
