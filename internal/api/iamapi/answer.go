package iamapi

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"net/url"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/tag"
)

// answer is the envelope of a successful response: ActionResponse with the request
// id and, unless result is nil, an ActionResult.
type answer struct {
	call   *awshttp.Call
	result any
}

// MarshalXML implements xml.Marshaler.
func (a answer) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	start := element(a.call.Action + "Response")
	start.Attr = []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: protocols[a.call.Service].space}}
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	if a.result != nil {
		if err := e.EncodeElement(a.result, element(a.call.Action+"Result")); err != nil {
			return err
		}
	}
	meta := struct{ RequestId string }{a.call.RequestID}
	if err := e.EncodeElement(meta, element("ResponseMetadata")); err != nil {
		return err
	}
	return e.EncodeToken(start.End())
}

func element(name string) xml.StartElement { return xml.StartElement{Name: xml.Name{Local: name}} }

// members is a list of the Query protocol: present even when empty.
type members[T any] []T

// MarshalXML implements xml.Marshaler.
func (m members[T]) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	return e.EncodeElement(struct {
		Member []T `xml:"member"`
	}{m}, start)
}

// stamp is a time in IAM's form: whole seconds.
type stamp time.Time

// MarshalText implements encoding.TextMarshaler.
func (s stamp) MarshalText() ([]byte, error) {
	return []byte(time.Time(s).UTC().Format("2006-01-02T15:04:05Z")), nil
}

type tagXML struct{ Key, Value string }

func tagsXML(tags tag.Set) *members[tagXML] {
	list := members[tagXML]{}
	for _, t := range tags {
		list = append(list, tagXML(t))
	}
	return &list
}

// someTags is the tags of an entity, which AWS leaves out if it has none.
func someTags(tags tag.Set) *members[tagXML] {
	if len(tags) == 0 {
		return nil
	}
	return tagsXML(tags)
}

// tagPage is a response with tags.
func tagPage(p paging, tags tag.Set) (any, error) {
	list, cut, err := page(p, *tagsXML(tags), func(t tagXML) string { return t.Key })
	return struct {
		Tags members[tagXML]
		pageXML
	}{list, cut}, err
}

// convert converts the elements of a list to the form that is sent.
func convert[T, X any](list []T, wire func(T) X) members[X] {
	var out members[X]
	for _, v := range list {
		out = append(out, wire(v))
	}
	return out
}

// emptyList is a response with a list of something that this service never has,
// such as groups. Clients that destroy a user or a role ask for them first.
type emptyList string

// MarshalXML implements xml.Marshaler.
func (field emptyList) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	if err := e.EncodeElement(struct{}{}, element(string(field))); err != nil {
		return err
	}
	if err := e.EncodeElement(false, element("IsTruncated")); err != nil {
		return err
	}
	return e.EncodeToken(start.End())
}

// none answers with an empty list if the owner exists.
func none[R interface{ pages() paging }](field string) func(context.Context, call, R) (any, error) {
	return func(ctx context.Context, c call, r R) (any, error) {
		if self, ok := any(r).(interface{ name(c call) (string, error) }); ok {
			name, err := self.name(c)
			if err == nil && name != "" {
				_, err = c.opts.Service.GetUser(ctx, c.account(), name)
			}
			if err != nil {
				return nil, err
			}
		} else if r, ok := any(r).(owned); ok {
			if _, err := c.opts.Service.PoliciesOf(ctx, r.owner(c)); err != nil {
				return nil, err
			}
		}
		_, _, err := page(r.pages(), []string(nil), nil)
		return emptyList(field), err
	}
}

type aliasesIn struct{ paging }

// anything is the subject of actions whose permission can't be limited to entities.
func anything[R any](context.Context, call, R) (subject, error) { return subject{arn: "*"}, nil }

// escaped is a policy document as responses contain it: URL-encoded by RFC 3986.
func escaped(document string) string {
	return strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
}

// paging holds the parameters that requests for lists have in common.
type paging struct {
	Marker   string
	MaxItems *int
}

func (p paging) pages() paging { return p }

// pageXML holds the elements that responses with lists have in common.
type pageXML struct {
	IsTruncated bool
	Marker      string `xml:",omitempty"`
}

// page returns the requested page of a list, which is sorted by name.
func page[T any](p paging, list []T, name func(T) string) ([]T, pageXML, error) {
	size := 100
	if p.MaxItems != nil {
		size = *p.MaxItems
	}
	after, err := base64.URLEncoding.DecodeString(p.Marker)
	switch {
	case err != nil:
		return nil, pageXML{}, &iam.ValidationError{Message: "The specified marker is invalid."}
	case size < 1 || size > 1000:
		return nil, pageXML{}, &iam.ValidationError{Message: "Value at 'maxItems' failed to satisfy constraint: Member must be between 1 and 1000"}
	}
	for len(list) > 0 && len(after) > 0 && name(list[0]) <= string(after) {
		list = list[1:]
	}
	if len(list) <= size {
		return list, pageXML{}, nil
	}
	next := base64.URLEncoding.EncodeToString([]byte(name(list[size-1])))
	return list[:size], pageXML{IsTruncated: true, Marker: next}, nil
}
