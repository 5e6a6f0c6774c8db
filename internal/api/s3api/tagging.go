package s3api

import (
	"cmp"
	"context"
	"encoding/xml"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/diskport/diskport/internal/tag"
)

// How many tags a resource may have, as at AWS.
const (
	maxObjectTags = 10
	maxBucketTags = 50
)

// tagSet is tags as S3 has them.
type tagSet tag.Set

type tagXML struct{ Key, Value string }

type taggingXML struct {
	XMLName xml.Name
	TagSet  struct{ Tag []tagXML }
}

func taggingOf(tags []tag.Tag) taggingXML {
	x := taggingXML{XMLName: xml.Name{Space: namespace, Local: "Tagging"}}
	for _, t := range tags {
		x.TagSet.Tag = append(x.TagSet.Tag, tagXML{t.Key, t.Value})
	}
	return x
}

// tagsIn reads the document of a request.
func tagsIn(document []byte, limit int) (tagSet, error) {
	in := struct {
		XMLName xml.Name `xml:"Tagging"`
		TagSet  *struct {
			Tag []struct{ Key, Value *string }
		}
	}{}
	if err := decodeXML(document, &in); err != nil {
		return nil, err
	}
	if in.TagSet == nil {
		return nil, malformedXML()
	}
	var tags tagSet
	for _, t := range in.TagSet.Tag {
		if t.Key == nil || t.Value == nil {
			return nil, malformedXML()
		}
		tags = append(tags, tag.Tag{Key: *t.Key, Value: *t.Value})
	}
	return tags, tags.check(limit)
}

// check refuses tags that AWS refuses.
func (s tagSet) check(limit int) error {
	invalid := func(message string, t tag.Tag) error {
		return fail(http.StatusBadRequest, "InvalidTag", message, element{"TagKey", t.Key}, element{"TagValue", t.Value})
	}
	if len(s) > limit {
		what := "Object"
		if limit == maxBucketTags {
			what = "Bucket"
		}
		return fail(http.StatusBadRequest, "BadRequest", what+" tags cannot be greater than "+strconv.Itoa(limit))
	}
	seen := map[string]bool{}
	for _, t := range s {
		switch {
		case t.Key == "" || units(t.Key) > tag.MaxKey || !tagText(t.Key):
			return invalid("The TagKey you have provided is invalid", t)
		case units(t.Value) > tag.MaxValue || !tagText(t.Value):
			return invalid("The TagValue you have provided is invalid", t)
		case tag.Reserved(t.Key):
			return invalid("System tags cannot be added/updated by requester", t)
		case seen[t.Key]:
			return invalid("Cannot provide multiple Tags with the same key", t)
		}
		seen[t.Key] = true
	}
	return nil
}

// sorted returns the tags in the order of their keys.
func (s tagSet) sorted() tag.Set {
	return slices.SortedFunc(slices.Values(tag.Set(s)), func(a, b tag.Tag) int { return cmp.Compare(a.Key, b.Key) })
}

func units(s string) int { return len(utf16.Encode([]rune(s))) }

// tagText reports whether a key or value has only what AWS lets it have.
func tagText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsNumber(r) && !unicode.IsSpace(r) && !strings.ContainsRune("+-=._:/@", r)
	})
}

func getObjectTagging(ctx context.Context, c *call) error {
	if err := c.hidden(ctx); err != nil {
		return err
	}
	c.showVersion(c.object.Version)
	return c.answer(taggingOf(c.object.Tags))
}

func putObjectTagging(ctx context.Context, c *call) error {
	if err := c.hidden(ctx); err != nil {
		return err
	}
	tags, err := tagsIn(c.document, maxObjectTags)
	if err != nil {
		return err
	}
	return c.setTags(ctx, tags.sorted(), http.StatusOK)
}

func deleteObjectTagging(ctx context.Context, c *call) error {
	if err := c.hidden(ctx); err != nil {
		return err
	}
	return c.setTags(ctx, nil, http.StatusNoContent)
}

func (c *call) setTags(ctx context.Context, tags tag.Set, status int) error {
	o, err := c.opts.Objects.SetTags(ctx, c.bucket.Name, c.key, c.query.Get("versionId"), tags)
	if err != nil {
		c.missing = err
		if isMissing(err) {
			return c.missingObject(ctx)
		}
		return err
	}
	c.showVersion(o.Version)
	return c.done(status)
}
