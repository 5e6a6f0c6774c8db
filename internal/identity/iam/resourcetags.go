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
