package iam

import (
	"maps"

	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

// WithResourceTags returns c with a resource's tags, as aws:ResourceTag/key. If the
// service has a prefix of its own for them ("ec2:ResourceTag/"), they are set under
// that as well.
func WithResourceTags(c policy.Context, prefix string, tags tag.Set) policy.Context {
	if len(tags) == 0 {
		return c
	}
	c = maps.Clone(c)
	if c == nil {
		c = policy.Context{}
	}
	Details{ResourceTags: tags}.AddTo(c)
	for _, t := range tags {
		if prefix != "" {
			c.Add(prefix+t.Key, t.Value)
		}
	}
	return c
}

// checkTags checks the tags that a request gives an entity. As at AWS, keys that differ only
// by case are one.
func checkTags(tags []tag.Tag) error {
	for i, t := range tags {
		if hasKey(tags[:i], t.Key) {
			return &tag.Error{Code: "InvalidInput", Message: sameTagKeys}
		}
	}
	return tag.Validate(tags)
}

// merge returns tags with more added; each replaces the one whose key differs by case at most.
func merge(tags tag.Set, more []tag.Tag) (tag.Set, error) {
	var keys []string
	for _, t := range more {
		keys = append(keys, t.Key)
	}
	return without(tags, keys).Merge(more)
}

// without returns tags without those that have one of the keys, in any case.
func without(tags tag.Set, keys []string) tag.Set {
	gone := map[string]bool{}
	for _, key := range keys {
		gone[folded(key)] = true
	}
	var left tag.Set
	for _, t := range tags {
		if !gone[folded(t.Key)] {
			left = append(left, t)
		}
	}
	return left
}
