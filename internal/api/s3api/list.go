package s3api

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"slices"

	"github.com/diskport/diskport/internal/imports/objects"
)

const maxList = 1000 // entries of a page, as at AWS

type prefixXML struct{ Prefix string }

type objectXML struct {
	Key               string
	LastModified      stamp
	ETag              string
	ChecksumAlgorithm string `xml:",omitempty"`
	ChecksumType      string `xml:",omitempty"`
	Size              int64
	Owner             *owner
	StorageClass      string
}

type listOut struct {
	XMLName        xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name           string
	Prefix         string
	Marker         *string
	NextMarker     string `xml:",omitempty"`
	StartAfter     string `xml:",omitempty"`
	Token          string `xml:"ContinuationToken,omitempty"`
	NextToken      string `xml:"NextContinuationToken,omitempty"`
	KeyCount       *int
	MaxKeys        int
	Delimiter      string   `xml:",omitempty"`
	EncodingType   encoding `xml:",omitempty"`
	IsTruncated    bool
	Contents       []objectXML
	CommonPrefixes []prefixXML
}

// list is what both versions of listing have in common.
type list struct {
	query objects.ListQuery
	enc   encoding
	max   int
}

func (c *call) readList() (l list, err error) {
	l.query = objects.ListQuery{Bucket: c.bucket.Name, Prefix: c.query.Get("prefix"), Delimiter: c.query.Get("delimiter")}
	if l.enc, err = c.readEncoding(); err != nil {
		return l, err
	}
	l.max, err = c.count("max-keys", maxList)
	return l, err
}

// page asks for the page; none is asked for if it is to be empty.
func (c *call) page(ctx context.Context, l list) (objects.ListPage, error) {
	if l.max == 0 {
		return objects.ListPage{}, nil
	}
	l.query.Limit = l.max
	return c.opts.Objects.List(ctx, l.query)
}

// out returns the document of a page. Owners are named if owners is set.
func (l list) out(p objects.ListPage, owners ownership) listOut {
	out := listOut{
		Name: l.query.Bucket, Prefix: l.enc.text(l.query.Prefix), MaxKeys: l.max, Delimiter: l.enc.text(l.query.Delimiter), EncodingType: l.enc,
		IsTruncated: p.Truncated, CommonPrefixes: l.enc.prefixes(p.Prefixes),
	}
	for _, o := range p.Objects {
		x := objectXML{
			Key: l.enc.text(o.Key), LastModified: stamp(o.Modified), ETag: quoted(o.ETag), ChecksumAlgorithm: string(o.Checksum.Algorithm),
			ChecksumType: string(o.Checksum.Type), Size: o.Size, StorageClass: "STANDARD",
		}
		if owners == named {
			who := ownerOf(o.Account)
			x.Owner = &who
		}
		out.Contents = append(out.Contents, x)
	}
	return out
}

// ownership says whether a list names the owners of objects.
type ownership uint8

const (
	unnamed ownership = iota
	named
)

func (e encoding) prefixes(list []string) []prefixXML {
	var out []prefixXML
	for _, p := range list {
		out = append(out, prefixXML{e.text(p)})
	}
	return out
}

func listObjects(ctx context.Context, c *call) error {
	l, err := c.readList()
	if err != nil {
		return err
	}
	marker := c.query.Get("marker")
	l.query.After = marker
	p, err := c.page(ctx, l)
	if err != nil {
		return err
	}
	out := l.out(p, named)
	shown := l.enc.text(marker)
	out.Marker = &shown
	if p.Truncated && l.query.Delimiter != "" {
		out.NextMarker = l.enc.text(p.Last) // without a delimiter, clients take the last key
	}
	c.w.Header().Set("X-Amz-Bucket-Region", c.bucket.Region)
	return c.answer(out)
}

func listObjectsV2(ctx context.Context, c *call) error {
	l, err := c.readList()
	if err != nil {
		return err
	}
	after, token := c.query.Get("start-after"), c.query.Get("continuation-token")
	l.query.After = after
	if c.query.Has("continuation-token") {
		last, err := base64.StdEncoding.DecodeString(token)
		if err != nil || token == "" {
			return invalidArgument("The continuation token provided is incorrect", "continuation-token", token)
		}
		l.query.After = string(last)
	}
	p, err := c.page(ctx, l)
	if err != nil {
		return err
	}
	owners := unnamed
	if c.query.Get("fetch-owner") == "true" {
		owners = named
	}
	out := l.out(p, owners)
	count := len(p.Objects) + len(p.Prefixes)
	out.KeyCount, out.StartAfter, out.Token = &count, l.enc.text(after), token
	if p.Truncated {
		out.NextToken = base64.StdEncoding.EncodeToString([]byte(p.Last))
	}
	c.w.Header().Set("X-Amz-Bucket-Region", c.bucket.Region)
	return c.answer(out)
}

type versionXML struct {
	XMLName           xml.Name
	Key               string
	VersionId         string
	IsLatest          bool
	LastModified      stamp
	ETag              string `xml:",omitempty"`
	ChecksumAlgorithm string `xml:",omitempty"`
	ChecksumType      string `xml:",omitempty"`
	Size              *int64
	StorageClass      string `xml:",omitempty"`
	Owner             owner
}

type versionsOut struct {
	XMLName             xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListVersionsResult"`
	Name                string
	Prefix              string
	KeyMarker           string
	VersionIdMarker     string
	NextKeyMarker       string `xml:",omitempty"`
	NextVersionIdMarker string `xml:",omitempty"`
	MaxKeys             int
	Delimiter           string   `xml:",omitempty"`
	EncodingType        encoding `xml:",omitempty"`
	IsTruncated         bool
	Versions            []versionXML
	CommonPrefixes      []prefixXML
}

func listObjectVersions(ctx context.Context, c *call) error {
	l, err := c.readList()
	if err != nil {
		return err
	}
	q := objects.VersionQuery{
		Bucket: c.bucket.Name, Prefix: l.query.Prefix, Delimiter: l.query.Delimiter, After: c.query.Get("key-marker"), AfterVersion: c.query.Get("version-id-marker"), Limit: l.max,
	}
	if q.AfterVersion != "" && q.After == "" {
		return invalidArgument("A version-id marker cannot be specified without a key marker.", "version-id-marker", q.AfterVersion)
	}
	var p objects.VersionPage
	if l.max > 0 {
		if p, err = c.opts.Objects.Versions(ctx, q); err != nil {
			return err
		}
	}
	out := versionsOut{
		Name: c.bucket.Name, Prefix: l.enc.text(q.Prefix), KeyMarker: l.enc.text(q.After), VersionIdMarker: q.AfterVersion, MaxKeys: l.max,
		Delimiter: l.enc.text(q.Delimiter), EncodingType: l.enc, IsTruncated: p.Truncated, CommonPrefixes: l.enc.prefixes(p.Prefixes),
	}
	if p.Truncated {
		out.NextKeyMarker, out.NextVersionIdMarker = l.enc.text(p.Last), p.LastVersion
	}
	for _, o := range p.Versions {
		x := versionXML{
			XMLName: xml.Name{Local: "Version"}, Key: l.enc.text(o.Key), VersionId: o.Version, IsLatest: o.Latest, LastModified: stamp(o.Modified), Owner: ownerOf(o.Account),
		}
		if o.Marker {
			x.XMLName.Local = "DeleteMarker"
		} else {
			size := o.Size
			x.ETag, x.Size, x.StorageClass = quoted(o.ETag), &size, "STANDARD"
			x.ChecksumAlgorithm, x.ChecksumType = string(o.Checksum.Algorithm), string(o.Checksum.Type)
		}
		out.Versions = append(out.Versions, x)
	}
	return c.answer(out)
}

type bucketXML struct {
	Name         string
	CreationDate stamp
	BucketRegion string `xml:",omitempty"`
}

type bucketsOut struct {
	XMLName           xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListAllMyBucketsResult"`
	Owner             owner
	Buckets           struct{ Bucket []bucketXML }
	ContinuationToken string `xml:",omitempty"`
	Prefix            string `xml:",omitempty"`
}

const maxBuckets = 10_000 // buckets of a page, as at AWS

func listBuckets(ctx context.Context, c *call) error {
	limit, err := c.count("max-buckets", maxBuckets)
	if err != nil || limit == 0 {
		return invalidArgument("Argument max-buckets must be an integer between 1 and 10000", "max-buckets", c.query.Get("max-buckets"))
	}
	q := objects.BucketQuery{Account: c.Principal.Account, Region: c.query.Get("bucket-region"), Prefix: c.query.Get("prefix"), Limit: limit + 1}
	if c.query.Has("continuation-token") {
		last, err := base64.StdEncoding.DecodeString(c.query.Get("continuation-token"))
		if err != nil {
			return invalidArgument("The continuation token provided is incorrect", "continuation-token", c.query.Get("continuation-token"))
		}
		q.After = string(last)
	}
	found, err := c.opts.Objects.Buckets(ctx, q)
	if err != nil {
		return err
	}
	out := bucketsOut{Owner: ownerOf(c.Principal.Account), Prefix: q.Prefix}
	if len(found) > limit {
		found = slices.Clip(found[:limit])
		out.ContinuationToken = base64.StdEncoding.EncodeToString([]byte(found[limit-1].Name))
	}
	for _, b := range found {
		out.Buckets.Bucket = append(out.Buckets.Bucket, bucketXML{b.Name, stamp(b.Created), b.Region})
	}
	return c.answer(out)
}
