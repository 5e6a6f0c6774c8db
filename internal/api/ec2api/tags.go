package ec2api

import (
	"context"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

type tagAnswer struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

func showTags(tags tag.Set) []tagAnswer {
	out := make([]tagAnswer, len(tags))
	for i, t := range tags {
		out[i] = tagAnswer(t)
	}
	return out
}

// optionalTags leaves the element out of a list where there are no tags, as AWS does.
func optionalTags(tags tag.Set) *ec2query.List[tagAnswer] {
	if len(tags) == 0 {
		return nil
	}
	shown := ec2query.List[tagAnswer](showTags(tags))
	return &shown
}

func tagKeys(tags tag.Set) []string {
	keys := make([]string, len(tags))
	for i, t := range tags {
		keys[i] = t.Key
	}
	return keys
}

// tagContext is what policies can ask about the tags of a request.
func tagContext(tags []tag.Tag) policy.Context {
	with := policy.Context{}
	with.Set("aws:TagKeys", tagKeys(tags)...)
	for _, t := range tags {
		with.Add("aws:RequestTag/"+t.Key, t.Value)
	}
	return with
}

type createTagsRequest struct {
	common
	ResourceId []string
	Tag        []requestTag
}

type deleteTagsRequest createTagsRequest

func createTagsGrants(c call, r createTagsRequest) []grant {
	return tagGrants(c, "ec2:CreateTags", r.ResourceId, plainTags(r.Tag))
}

func deleteTagsGrants(c call, r deleteTagsRequest) []grant {
	return tagGrants(c, "ec2:DeleteTags", r.ResourceId, plainTags(r.Tag))
}

func tagGrants(c call, action string, ids []string, tags []tag.Tag) []grant {
	g := grant{action, tagContext(tags), []string{"*"}}
	if len(ids) > 0 {
		g.resources = nil
	}
	for _, id := range ids {
		g.resources = append(g.resources, c.resourceARN(id))
	}
	return []grant{g}
}

// resourceARN returns the ARN of a resource. For an id of no known form it is "*":
// only a caller with permission for everything is told that the id is wrong.
func (c call) resourceARN(id string) string {
	switch {
	case awsid.IsSnapshot(id):
		return awsid.SnapshotARN(c.Region, id)
	case awsid.IsTask(id):
		return awsid.TaskARN(c.Home(), id)
	case awsid.IsImageTask(id):
		return awsid.ImageTaskARN(c.Home(), id)
	case awsid.IsImage(id):
		return awsid.ImageARN(c.Region, id)
	case awsid.IsVolume(id):
		return awsid.VolumeARN(c.Home(), id)
	}
	return "*"
}

var createTagsRules = slices.Concat(
	resourceRules(func(r createTagsRequest) []string { return r.ResourceId }),
	[]rule[createTagsRequest]{
		{
			field: "Tag.N", code: "MissingParameter", message: "The request must contain the parameter tagSet",
			broken: func(_ call, r createTagsRequest) (string, bool) { return "", len(r.Tag) == 0 },
		},
		{field: "Tag.N", check: func(r createTagsRequest) error { return tag.Validate(plainTags(r.Tag)) }},
	},
)

var deleteTagsRules = slices.Concat(
	resourceRules(func(r deleteTagsRequest) []string { return r.ResourceId }),
	[]rule[deleteTagsRequest]{
		few("tagSet", func(r deleteTagsRequest) int { return len(r.Tag) }),
		{
			field: "Tag.N.Key", code: "InvalidTagKey.Malformed", message: "Tag key cannot be null or empty.",
			broken: func(_ call, r deleteTagsRequest) (string, bool) {
				return "", slices.ContainsFunc(r.Tag, func(t requestTag) bool { return t.Key == "" })
			},
		},
		{
			field: "Tag.N.Key", code: "InvalidParameterValue", message: "Tag keys starting with 'aws:' are reserved for internal use",
			broken: func(_ call, r deleteTagsRequest) (string, bool) {
				return "", slices.ContainsFunc(r.Tag, func(t requestTag) bool { return tag.Reserved(t.Key) })
			},
		},
	},
)

// resourceRules are the validation rows of ResourceId.N.
func resourceRules[R any](ids func(R) []string) []rule[R] {
	return []rule[R]{
		{
			field: "ResourceId.N", code: "MissingParameter", message: "The request must contain the parameter resourceIdSet",
			broken: func(_ call, r R) (string, bool) { return "", len(ids(r)) == 0 },
		},
		few("resourceIdSet", func(r R) int { return len(ids(r)) }),
		{
			field: "ResourceId.N", code: "InvalidID", message: "The ID '%s' is not valid",
			broken: func(_ call, r R) (string, bool) {
				for _, id := range ids(r) {
					if !awsid.IsSnapshot(id) && !awsid.IsTask(id) && !awsid.IsImageTask(id) && !awsid.IsImage(id) && !awsid.IsVolume(id) {
						return id, true
					}
				}
				return "", false
			},
		},
	}
}

func createTags(ctx context.Context, c call, r createTagsRequest) (any, error) {
	if err := c.Tags.Add(ctx, c.Home(), r.ResourceId, plainTags(r.Tag)); err != nil {
		return nil, err
	}
	return ec2query.Done{Return: true}, nil
}

func deleteTags(ctx context.Context, c call, r deleteTagsRequest) (any, error) {
	del := make([]tag.Deletion, len(r.Tag))
	for i, t := range r.Tag {
		del[i] = tag.Deletion(t)
	}
	if err := c.Tags.Remove(ctx, c.Home(), r.ResourceId, del); err != nil {
		return nil, err
	}
	return ec2query.Done{Return: true}, nil
}

type describeTagsRequest struct {
	common
	paged
	filtered
}

type taggedAnswer struct {
	ResourceID   string `xml:"resourceId"`
	ResourceType string `xml:"resourceType"`
	Key          string `xml:"key"`
	Value        string `xml:"value"`
}

var tagFields = fields[taggedAnswer]{
	named: map[string]func(taggedAnswer) []string{
		"key":           func(t taggedAnswer) []string { return []string{t.Key} },
		"value":         func(t taggedAnswer) []string { return []string{t.Value} },
		"resource-id":   func(t taggedAnswer) []string { return []string{t.ResourceID} },
		"resource-type": func(t taggedAnswer) []string { return []string{t.ResourceType} },
	},
	tags: func(t taggedAnswer) tag.Set { return tag.Set{{Key: t.Key, Value: t.Value}} },
}

var describeTagsRules = append(
	[]rule[describeTagsRequest]{pageRule[describeTagsRequest](5, maxPage)},
	filterRules[taggedAnswer, describeTagsRequest](tagFields)...,
)

type describeTagsAnswer struct {
	Tags      ec2query.List[taggedAnswer] `xml:"tagSet"`
	NextToken string                      `xml:"nextToken,omitempty"`
}

func describeTags(ctx context.Context, c call, r describeTagsRequest) (any, error) {
	f := tagFilter(r.filtered)
	shown, next, err := page(ctx, c, r.paged, list[taggedAnswer]{
		next: func(ctx context.Context, place string, n int) ([]taggedAnswer, error) {
			resource, key, ok := strings.Cut(place, " ") // no id has a space
			if !ok && place != "" {
				return nil, errPlace
			}
			tags, err := c.Tags.List(ctx, c.Home(), f, tag.Place{Resource: resource, Key: key}, n)
			shown := make([]taggedAnswer, len(tags))
			for i, t := range tags {
				shown[i] = taggedAnswer{t.Resource.ID, t.Resource.Type, t.Tag.Key, t.Tag.Value}
			}
			return shown, err
		},
		place: func(t taggedAnswer) string { return t.ResourceID + " " + t.Key },
		match: tagFields.matching(r.Filter),
	})
	if err != nil {
		return nil, err
	}
	return describeTagsAnswer{Tags: shown, NextToken: next}, nil
}

// tagFilter narrows what the store reads for a request: to the resources that it
// names, and to the tag that it looks for if that is only one.
func tagFilter(r filtered) (f tag.Filter) {
	f.Resources, _ = r.exact("resource-id")
	keys, _ := r.exact("key")
	values, _ := r.exact("value")
	for _, w := range r.Filter {
		if key, ok := strings.CutPrefix(w.Name, "tag:"); ok && w.literal() {
			keys, values = []string{key}, w.Value
		}
	}
	if len(keys) == 1 && len(values) == 1 {
		f.Tag = &tag.Tag{Key: keys[0], Value: values[0]}
	}
	return f
}
