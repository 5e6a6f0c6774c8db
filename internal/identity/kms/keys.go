package kms

import (
	"context"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/policy"
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
	return checkTags(n.Tags)
}

// tooLong refuses a text that has too many characters.
func tooLong(field, text string, most int) error {
	return failed(ErrValidation, "1 validation error detected: Value '%.256s' at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", text, field, most)
}

// between refuses a number outside of two others.
func between(field string, n, least, most int) error {
	const text = "1 validation error detected: Value '%d' at '%s' failed to satisfy constraint: Member must have value %s than or equal to %d"
	switch {
	case n < least:
		return failed(ErrValidation, text, n, field, "greater", least)
	case n > most:
		return failed(ErrValidation, text, n, field, "less", most)
	}
	return nil
}

// checkTags refuses tags that a key can't have. KMS has texts of its own for their
// lengths.
func checkTags(tags []tag.Tag) error {
	for i, t := range tags {
		switch field := fmt.Sprintf("tags.%d.member.", i+1); {
		case t.Key == "":
			return failed(ErrValidation, "1 validation error detected: Value '' at '%stagKey' failed to satisfy constraint: Member must have length greater than or equal to 1", field)
		case utf8.RuneCountInString(t.Key) > tag.MaxKey:
			return tooLong(field+"tagKey", t.Key, tag.MaxKey)
		case utf8.RuneCountInString(t.Value) > tag.MaxValue:
			return tooLong(field+"tagValue", t.Value, tag.MaxValue)
		}
	}
	return tag.Validate(tags)
}

func checkDescription(text string) error {
	if utf8.RuneCountInString(text) > maxDescription {
		return tooLong("description", text, maxDescription)
	}
	return nil
}

// CreateKey creates a key in the caller's account, if the caller may do so. ErrUnsupported for
// all specs but Symmetric; earlier versions have made such keys.
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
	if n.Spec != Symmetric {
		return Key{}, failed(ErrUnsupported, "KeySpec %s is not supported.", n.Spec) // no action here could use the key
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
	if n.Origin == External {
		k.State = PendingImport
	} else {
		k.Wrapped = s.newMaterial(r, 1)
	}
	return k
}

// purpose returns the associated data of wrapped material. Under another key or
// version the material does not open.
func (r Ref) purpose(version int) []byte {
	return []byte("diskport:kms-key:" + r.ARN() + ":" + strconv.Itoa(version))
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
		return Key{}, failed(ErrValidation, "PendingWindowInDays must be between %d and %d", minWindow, maxWindow)
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
	if err := checkTags(tags); err != nil {
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
