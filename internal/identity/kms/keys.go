package kms

import (
	"context"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/tag"
)

// AWS's limits.
const (
	maxDescription = 8192 // characters
	minWindow      = 7    // days until deletion
	maxWindow      = 30
)

// KeySpec describes a key to create. Empty fields get AWS's defaults.
type KeySpec struct {
	Spec        Spec
	Usage       Usage
	Origin      Origin
	MultiRegion bool
	Description string
	Policy      string
	Bypass      bool // allow a policy that locks the caller out
	Tags        []tag.Tag
}

func (n *KeySpec) validate() (err error) {
	if n.Origin == "" {
		n.Origin = FromKMS
	}
	if n.Spec, n.Usage, err = checkSpec(n.Spec, n.Usage); err != nil {
		return err
	}
	if n.Origin != FromKMS && n.Origin != External {
		return failed(ErrUnsupported, "Origin %.64s is not supported.", n.Origin)
	}
	if err := checkDescription(n.Description); err != nil {
		return err
	}
	return tag.Validate(n.Tags)
}

func checkDescription(text string) error {
	if utf8.RuneCountInString(text) > maxDescription {
		return failed(ErrValidation, "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to %d", maxDescription)
	}
	return nil
}

// CreateKey creates a key in the caller's account, if the caller may do so.
func (s *Service) CreateKey(ctx context.Context, c Caller, n KeySpec) (Key, error) {
	if err := n.validate(); err != nil {
		return Key{}, err
	}
	with := policy.Context{}
	kindKeys(with, n.Spec, n.Usage, n.Origin, n.MultiRegion)
	with.Set("kms:BypassPolicyLockoutSafetyCheck", strconv.FormatBool(n.Bypass))
	tagKeys(with, n.Tags)
	if err := c.May(ctx, "kms:CreateKey", "*", with); err != nil {
		return Key{}, err
	}
	if len(n.Tags) > 0 {
		if err := c.May(ctx, "kms:TagResource", "*", with); err != nil {
			return Key{}, err
		}
	}
	if !awsid.IsRegion(c.Region) {
		return Key{}, fmt.Errorf("kms: %q is no region", c.Region)
	}
	k := s.newKey(Ref{c.Principal.Account, c.Region, s.newID(n.MultiRegion)}, n)
	if n.Policy != "" {
		bound, err := s.bind(ctx, c, k, KeyPolicy{n.Policy, n.Bypass})
		if err != nil {
			return Key{}, err
		}
		k.Policy = bound
	}
	return k, s.opts.Store.CreateKey(ctx, k, Alias{})
}

// newKey makes a key without storing it.
func (s *Service) newKey(r Ref, n KeySpec) Key {
	k := Key{
		Ref: r, Spec: n.Spec, Usage: n.Usage, Origin: n.Origin, Manager: Customer, State: Enabled,
		MultiRegion: n.MultiRegion, Description: n.Description, Policy: defaultPolicy(r), Created: s.now(),
	}
	k.Tags, _ = tag.Set(nil).Merge(n.Tags) // validated
	switch {
	case n.Origin == External:
		k.State = PendingImport
	case n.Spec == Symmetric:
		material := s.random(secret.KeySize)
		k.Wrapped = s.opts.Wrapper.Wrap(material, k.purpose())
		clear(material)
	}
	return k
}

// purpose returns the associated data of wrapped material. Under another key or
// version the material does not open.
func (r Ref) purpose() []byte {
	return []byte("diskport:kms-key:" + r.ARN() + ":" + strconv.Itoa(materialVersion))
}

// Owned counts an account's own keys in all regions, without those whose deletion
// date has passed.
func (s *Service) Owned(ctx context.Context, account string) (int, error) {
	return s.opts.Store.Owned(ctx, account, s.aged())
}

// Keys returns the keys of an account and region, sorted by id, without those whose
// deletion date has passed.
func (s *Service) Keys(ctx context.Context, account, region string) ([]Key, error) {
	all, err := s.opts.Store.Keys(ctx, account, region)
	var list []Key
	for _, k := range all {
		if !k.gone(s.aged()) {
			list = append(list, k)
		}
	}
	return list, err
}

// SetEnabled enables or disables a key. The event is Enable or Disable.
func (s *Service) SetEnabled(ctx context.Context, r Ref, e Event) error {
	return s.change(ctx, r, func(k *Key) (err error) {
		k.State, err = k.after(e)
		return err
	})
}

// ScheduleDeletion schedules a key to be deleted after a number of days; 0 means
// 30. It returns the changed key.
func (s *Service) ScheduleDeletion(ctx context.Context, r Ref, days int) (Key, error) {
	if days == 0 {
		days = maxWindow
	}
	if days < minWindow || days > maxWindow {
		return Key{}, failed(ErrValidation, "1 validation error detected: Value '%d' at 'pendingWindowInDays' failed to satisfy constraint: Member must be between %d and %d", days, minWindow, maxWindow)
	}
	var after Key
	err := s.change(ctx, r, func(k *Key) (err error) {
		if k.State, err = k.after(Schedule); err != nil {
			return err
		}
		k.Window = days
		k.Deletion = s.now().Add(time.Duration(days) * 24 * time.Hour)
		after = *k
		return nil
	})
	return after, err
}

// CancelDeletion cancels a scheduled deletion. The key is disabled then.
func (s *Service) CancelDeletion(ctx context.Context, r Ref) error {
	return s.change(ctx, r, func(k *Key) (err error) {
		if k.State, err = k.after(Cancel); err != nil {
			return err
		}
		k.Window, k.Deletion = 0, time.Time{}
		return nil
	})
}

// SetDescription replaces a key's description.
func (s *Service) SetDescription(ctx context.Context, r Ref, text string) error {
	if err := checkDescription(text); err != nil {
		return err
	}
	return s.change(ctx, r, func(k *Key) error {
		k.Description = text
		return k.alive()
	})
}

// Tag adds tags, and replaces the values of tags that the key has already.
func (s *Service) Tag(ctx context.Context, r Ref, tags []tag.Tag) error {
	if err := tag.Validate(tags); err != nil {
		return err
	}
	return s.change(ctx, r, func(k *Key) (err error) {
		if err = k.alive(); err == nil {
			k.Tags, err = k.Tags.Merge(tags)
		}
		return err
	})
}

// Untag removes the tags with the given tag keys. A tag that is not there is not an
// error.
func (s *Service) Untag(ctx context.Context, r Ref, keys []string) error {
	gone := map[string]bool{}
	for _, key := range keys {
		gone[key] = true
	}
	return s.change(ctx, r, func(k *Key) error {
		var left tag.Set
		for _, t := range k.Tags {
			if !gone[t.Key] {
				left = append(left, t)
			}
		}
		k.Tags = left
		return k.alive()
	})
}
