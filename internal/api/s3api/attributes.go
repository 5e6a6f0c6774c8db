package s3api

import (
	"context"
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/diskport/diskport/internal/imports/objects"
)

type attributesOut struct {
	XMLName      xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ GetObjectAttributesResponse"`
	ETag         string   `xml:",omitempty"`
	Checksum     *checksumXML
	ObjectParts  *objectPartsXML
	StorageClass string `xml:",omitempty"`
	ObjectSize   *int64
}

type objectPartsXML struct {
	PartsCount           int
	PartNumberMarker     *int
	NextPartNumberMarker *int
	MaxParts             *int
	IsTruncated          *bool
	Part                 []partXML
}

func getObjectAttributes(ctx context.Context, c *call) error {
	if err := c.hidden(ctx); err != nil {
		return err
	}
	o := c.object
	h := c.w.Header()
	h.Set("Last-Modified", o.Modified.UTC().Format(http.TimeFormat))
	c.showVersion(o.Version)
	if failed := conditionalOf(c.header, "").check(o); failed != "" {
		return preconditionFailed(failed)
	}
	wanted := strings.Join(c.header.Values("X-Amz-Object-Attributes"), ",")
	if wanted == "" {
		return invalidArgument("x-amz-object-attributes header is not specified", "x-amz-object-attributes", "")
	}
	if strings.Contains(wanted, "Checksum") || strings.Contains(wanted, "ObjectParts") {
		if err := c.mayOpen(ctx, o.Encryption); err != nil {
			return err // checksums of an encrypted object are for those who may read it
		}
	}
	var out attributesOut
	for name := range strings.SplitSeq(wanted, ",") {
		switch strings.TrimSpace(name) {
		case "ETag":
			out.ETag = o.ETag // without its quotation marks, here alone
		case "Checksum":
			if o.Checksum.Algorithm != "" {
				sum := checksumElements(o.Checksum)
				sum.ChecksumType = string(o.Checksum.Type)
				out.Checksum = &sum
			}
		case "ObjectParts":
			parts, err := c.objectParts(ctx, o)
			if err != nil {
				return err
			}
			out.ObjectParts = parts
		case "StorageClass":
			out.StorageClass = "STANDARD"
		case "ObjectSize":
			size := o.Size
			out.ObjectSize = &size
		default:
			return invalidArgument("Invalid attribute name specified.", "x-amz-object-attributes", name)
		}
	}
	return c.answer(out)
}

// objectParts tells of the parts of an object that was uploaded in parts. As at AWS,
// they are listed only if the object's checksum is made of theirs.
func (c *call) objectParts(ctx context.Context, o objects.Object) (*objectPartsXML, error) {
	if o.Parts == 0 {
		return nil, nil //nolint:nilnil // the element is left out
	}
	limit, after := maxList, 0
	for name, n := range map[string]*int{"X-Amz-Max-Parts": &limit, "X-Amz-Part-Number-Marker": &after} {
		given, err := sizeHeader(c.header, name)
		if err != nil {
			return nil, err
		}
		if given >= 0 {
			*n = int(min(given, objects.MaxParts))
		}
	}
	limit = min(limit, maxList)
	out := &objectPartsXML{PartsCount: o.Parts}
	if o.Checksum.Type != objects.Composite {
		return out, nil
	}
	found, err := c.opts.Objects.ObjectParts(ctx, o, after, limit+1)
	if err != nil {
		return nil, err
	}
	truncated := len(found) > limit
	if truncated {
		found = found[:limit]
	}
	last := 0
	for _, p := range found {
		out.Part = append(out.Part, partXML{PartNumber: p.Number, Size: p.Size, checksumXML: checksumElements(p.Checksum)})
		last = p.Number
	}
	out.PartNumberMarker, out.NextPartNumberMarker, out.MaxParts, out.IsTruncated = &after, &last, &limit, &truncated
	return out, nil
}
