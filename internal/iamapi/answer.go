package iamapi

import (
	"encoding/base64"
	"encoding/xml"
	"net/url"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/awshttp"
	"github.com/diskport/diskport/internal/iam"
)

// answer is the envelope of a success: ActionResponse with an ActionResult,
// unless result is nil, and the request id.
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

// stamp is a time as IAM writes it: whole seconds.
type stamp time.Time

// MarshalText implements encoding.TextMarshaler.
func (s stamp) MarshalText() ([]byte, error) {
	return []byte(time.Time(s).UTC().Format("2006-01-02T15:04:05Z")), nil
}

type tagXML struct{ Key, Value string }

// roleXML is a role on the wire.
type roleXML struct {
	Path                     string
	RoleName                 string
	RoleId                   string
	Arn                      string
	CreateDate               stamp
	AssumeRolePolicyDocument string
	Description              string           `xml:",omitempty"`
	MaxSessionDuration       int64            // seconds
	Tags                     *members[tagXML] // absent in lists of roles
}

func (c call) roleXML(r iam.Role) roleXML {
	return roleXML{
		Path: r.Path, RoleName: r.Name, RoleId: r.ID, Arn: c.opts.Service.ARN(r), CreateDate: stamp(r.Created),
		AssumeRolePolicyDocument: escaped(r.Trust), Description: r.Description,
		MaxSessionDuration: int64(r.MaxSession / time.Second),
	}
}

// taggedXML is roleXML with the tags.
func (c call) taggedXML(r iam.Role) roleXML {
	x := c.roleXML(r)
	x.Tags = tagsXML(r)
	return x
}

func tagsXML(r iam.Role) *members[tagXML] {
	list := members[tagXML]{}
	for _, t := range r.Tags {
		list = append(list, tagXML(t))
	}
	return &list
}

// escaped is how answers hold policy documents: URL-encoded by RFC 3986.
func escaped(document string) string {
	return strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
}

// paging is what requests for lists have in common.
type paging struct {
	Marker   string
	MaxItems *int
}

// pageXML is what answers with lists have in common.
type pageXML struct {
	IsTruncated bool
	Marker      string `xml:",omitempty"`
}

// page cuts a list, which name sorts, down to the page that is asked for.
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
