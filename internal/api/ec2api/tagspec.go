package ec2api

import (
	"maps"
	"slices"

	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

// tagged is embedded in requests that create something with tags.
type tagged struct {
	TagSpecification []tagSpecification
}

type tagSpecification struct {
	ResourceType string
	Tag          []requestTag
}

type requestTag struct {
	Key   string
	Value *string `ec2:"Value,empty"`
}

func (t tagged) specifications() []tagSpecification { return t.TagSpecification }

// tagsFor returns the tags for one type of resource.
func (t tagged) tagsFor(kind string) []tag.Tag {
	var all []tag.Tag
	for _, spec := range t.TagSpecification {
		if spec.ResourceType == kind {
			all = append(all, plainTags(spec.Tag)...)
		}
	}
	return all
}

// tags returns all tags.
func (t tagged) tags() []tag.Tag {
	var all []tag.Tag
	for _, spec := range t.TagSpecification {
		all = append(all, plainTags(spec.Tag)...)
	}
	return all
}

// plainTags reads a missing value as an empty one.
func plainTags(given []requestTag) []tag.Tag {
	out := make([]tag.Tag, len(given))
	for i, t := range given {
		out[i].Key = t.Key
		if t.Value != nil {
			out[i].Value = *t.Value
		}
	}
	return out
}

// tagOnCreate are the grants that an action needs for tags on what it creates, in
// addition to its own.
func tagOnCreate(action string, tags []tag.Tag, with policy.Context, resources ...string) []grant {
	if len(tags) == 0 {
		return nil
	}
	with = maps.Clone(with)
	with.Set("ec2:CreateAction", action)
	return []grant{{"ec2:CreateTags", with, resources}}
}

// specificationRules are the validation rows of TagSpecification.N; kinds are the
// types of resources that the action can tag.
func specificationRules[R interface {
	specifications() []tagSpecification
}](kinds func(c call) []string) []rule[R] {
	each := func(bad func(c call, s tagSpecification) (string, bool)) func(call, R) (string, bool) {
		return func(c call, r R) (string, bool) {
			for _, s := range r.specifications() {
				if what, bad := bad(c, s); bad {
					return what, true
				}
			}
			return "", false
		}
	}
	return []rule[R]{
		{
			field: "TagSpecification.N.ResourceType", code: "InvalidParameter", message: "Tag specification resource type must have a value",
			broken: each(func(_ call, s tagSpecification) (string, bool) { return "", s.ResourceType == "" }),
		},
		{
			field: "TagSpecification.N.ResourceType", code: "InvalidParameterValue", message: "'%s' is not a valid taggable resource type for this operation.",
			broken: each(func(c call, s tagSpecification) (string, bool) {
				return s.ResourceType, !slices.Contains(kinds(c), s.ResourceType)
			}),
		},
		{
			field: "TagSpecification.N.Tag", code: "InvalidParameter", message: "Tag specification must have at least one tag",
			broken: each(func(_ call, s tagSpecification) (string, bool) { return "", len(s.Tag) == 0 }),
		},
		{
			field: "TagSpecification", code: "InvalidParameterValue", message: "Duplicate tag specification.",
			broken: func(_ call, r R) (string, bool) {
				seen := map[string]bool{}
				for _, s := range r.specifications() {
					if seen[s.ResourceType] {
						return "", true
					}
					seen[s.ResourceType] = true
				}
				return "", false
			},
		},
		{
			field: "TagSpecification.N.Tag.M.Value", code: "InvalidParameterValue", message: "Tag value cannot be null. Use empty string instead.",
			broken: each(func(_ call, s tagSpecification) (string, bool) {
				return "", slices.ContainsFunc(s.Tag, func(t requestTag) bool { return t.Value == nil && t.Key != "" })
			}),
		},
		{field: "TagSpecification.N.Tag", check: func(r R) error {
			for _, s := range r.specifications() {
				if err := tag.Validate(plainTags(s.Tag)); err != nil {
					return err
				}
			}
			return nil
		}},
	}
}

// only returns the kinds of an action that always can tag the same types.
func only(kinds ...string) func(call) []string { return func(call) []string { return kinds } }
