package s3api

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/imports/objects"
)

type createUploadOut struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ InitiateMultipartUploadResult"`
	Bucket, Key, UploadId string
}

func createMultipartUpload(ctx context.Context, c *call) error {
	p, err := c.toPut(ctx)
	if err != nil {
		return err
	}
	u := objects.Upload{Bucket: c.bucket.Name, Key: c.key, Initiator: c.Principal.ARN, Metadata: p.Metadata, Tags: p.Tags, Encryption: p.Encryption}
	if u.Algorithm, err = chosenAlgorithm(c.header, "X-Amz-Checksum-Algorithm"); err != nil {
		return err
	}
	if u.ChecksumType, err = checksumType(c.header, u.Algorithm); err != nil {
		return err
	}
	if u, err = c.opts.Objects.CreateUpload(ctx, u); err != nil {
		return err
	}
	h := c.w.Header()
	c.showMadeEncryption(u.Encryption)
	if u.Algorithm != "" {
		h.Set("X-Amz-Checksum-Algorithm", string(u.Algorithm))
		h.Set("X-Amz-Checksum-Type", string(u.ChecksumType))
	}
	return c.answer(createUploadOut{Bucket: c.bucket.Name, Key: c.key, UploadId: u.ID})
}

// upload returns the upload that is addressed, and the number of the part. Who may not
// open its data key may not add to it either, as at AWS.
func (c *call) upload(ctx context.Context) (objects.Upload, int, error) {
	number, err := partNumber(c.query.Get("partNumber"))
	if err != nil {
		return objects.Upload{}, 0, err
	}
	u, err := c.opts.Objects.Upload(ctx, c.bucket.Name, c.key, c.query.Get("uploadId"))
	if err == nil {
		err = c.mayOpen(ctx, u.Encryption)
	}
	return u, number, err
}

func uploadPart(ctx context.Context, c *call) error {
	u, number, err := c.upload(ctx)
	if err != nil {
		return err
	}
	b, err := c.contentOf()
	if err != nil {
		return err
	}
	if b.sum.Algorithm != "" && u.Algorithm != "" && b.sum.Algorithm != u.Algorithm {
		return invalidRequest("Checksum Type mismatch occurred, expected checksum Type: " + lower(u.Algorithm) + ", actual checksum Type: " + lower(b.sum.Algorithm))
	}
	also := cmp.Or(u.Algorithm, b.algorithm())
	put := objects.PartPut{Bucket: c.bucket.Name, Key: c.key, Upload: u.ID, Number: number}
	if put.Piece, err = c.write(ctx, b, u.Encryption, also); err != nil {
		return err
	}
	if put.Checksum, err = b.check(put.Piece, also); err != nil {
		c.opts.Objects.Drop(put.Piece)
		return err
	}
	part, err := c.opts.Objects.PutPart(ctx, put)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Etag", quoted(part.ETag))
	showEncryption(h, u.Encryption)
	showPartChecksum(h, part.Checksum)
	return c.done(http.StatusOK)
}

// showPartChecksum is showChecksum for a part, which does not say its type.
func showPartChecksum(h http.Header, sum objects.Checksum) {
	showChecksum(h, sum)
	h.Del("X-Amz-Checksum-Type")
}

func uploadPartCopy(ctx context.Context, c *call) error {
	u, number, err := c.upload(ctx)
	if err != nil {
		return err
	}
	src, err := c.source(ctx)
	if err != nil {
		return err
	}
	s := span{0, src.Size}
	if text := c.header.Get("X-Amz-Copy-Source-Range"); text != "" {
		if s, err = parseCopyRange(text, src.Size); err != nil {
			return err
		}
	}
	if s.n > maxPut {
		return invalidRequest("The specified copy source is larger than the maximum allowable size for a copy source: " + strconv.Itoa(maxPut))
	}
	part, err := c.copyPart(ctx, u, number, src, s)
	if err != nil {
		return err
	}
	h := c.w.Header()
	showEncryption(h, u.Encryption)
	if c.sourceVersioned {
		h.Set("X-Amz-Copy-Source-Version-Id", src.Version)
	}
	return c.answer(copyOut{xml.Name{Space: namespace, Local: "CopyPartResult"}, stamp(part.Modified), quoted(part.ETag), checksumElements(part.Checksum)})
}

// copyPart makes a part: by reference, unless it is to be encrypted in another way.
func (c *call) copyPart(ctx context.Context, u objects.Upload, number int, src objects.Object, s span) (objects.Part, error) {
	if !u.Encryption.Encrypted() && !src.Encryption.Encrypted() {
		return c.opts.Objects.CopyPart(ctx, objects.PartCopy{
			Bucket: u.Bucket, Key: u.Key, Upload: u.ID, Number: number, Source: src, Off: s.off, Len: s.n,
		})
	}
	if err := c.mayOpen(ctx, src.Encryption); err != nil {
		return objects.Part{}, err
	}
	piece, err := c.rewrite(ctx, src, s, u.Encryption, u.PartAlgorithm())
	if err != nil {
		return objects.Part{}, err
	}
	return c.opts.Objects.PutPart(ctx, objects.PartPut{
		Bucket: u.Bucket, Key: u.Key, Upload: u.ID, Number: number, Piece: piece, Checksum: piece.Checksum(u.PartAlgorithm()),
	})
}

type completeIn struct {
	XMLName xml.Name `xml:"CompleteMultipartUpload"`
	Part    []struct {
		PartNumber int
		ETag       string
		checksumXML
	}
}

type completeOut struct {
	XMLName     xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUploadResult"`
	Location    string
	Bucket, Key string
	ETag        string
	checksumXML
}

func completeMultipartUpload(ctx context.Context, c *call) error {
	var in completeIn
	if err := c.decode(&in); err != nil {
		return err
	}
	if len(in.Part) == 0 || len(in.Part) > objects.MaxParts {
		return malformedXML()
	}
	done := objects.Completion{Bucket: c.bucket.Name, Key: c.key, Upload: c.query.Get("uploadId")}
	for _, p := range in.Part {
		done.Parts = append(done.Parts, objects.CompletedPart{Number: p.PartNumber, ETag: trimETag(p.ETag), Checksum: p.given()})
	}
	var err error
	if done.If, err = writeConditions(c.header); err != nil {
		return err
	}
	if done.Size, err = sizeHeader(c.header, "X-Amz-Mp-Object-Size"); err != nil {
		return err
	}
	if done.Checksum, err = completeChecksum(c.header); err != nil {
		return err
	}
	if err := c.mayComplete(ctx, done.Upload); err != nil {
		return err
	}
	o, err := c.opts.Objects.CompleteUpload(ctx, done)
	if err != nil {
		return c.unmet(err)
	}
	showEncryption(c.w.Header(), o.Encryption)
	c.showMade(o)
	sum := checksumElements(o.Checksum)
	sum.ChecksumType = string(o.Checksum.Type)
	return c.answer(completeOut{Location: c.location(), Bucket: o.Bucket, Key: o.Key, ETag: quoted(o.ETag), checksumXML: sum})
}

// mayComplete returns an error unless the caller may open the data key of an upload, and it can
// be opened: nothing is read, but a key that is disabled makes no objects. An upload
// that is complete already is answered as before.
func (c *call) mayComplete(ctx context.Context, id string) error {
	u, err := c.opts.Objects.Upload(ctx, c.bucket.Name, c.key, id)
	if errors.Is(err, objects.ErrNoSuchUpload) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.mayOpen(ctx, u.Encryption); err != nil {
		return err
	}
	return c.opts.Objects.Usable(ctx, c.bucket.Account, u.Encryption)
}

// completeChecksum reads the checksum that the whole object must have: that of an
// object of parts is a digest, or a digest of digests with the number of parts behind
// it. What is neither matches no object.
func completeChecksum(h http.Header) (sum objects.Checksum, err error) {
	switch sum.Type = objects.ChecksumType(strings.ToUpper(h.Get("X-Amz-Checksum-Type"))); sum.Type {
	case "", objects.Composite, objects.FullObject:
	default:
		return sum, invalidRequest(unknownValue("x-amz-checksum-type"))
	}
	for _, a := range algorithms {
		value := h.Get(a.header)
		if value == "" {
			continue
		}
		if sum.Algorithm != "" {
			return sum, severalChecksums()
		}
		sum.Algorithm, sum.Value = a.name, value
	}
	return sum, nil
}

// location is the address of the object that is addressed.
func (c *call) location() string {
	scheme := "http://"
	if c.r.TLS != nil {
		scheme = "https://"
	}
	path := "/" + c.key
	if !c.virtual {
		path = "/" + c.bucket.Name + path
	}
	return scheme + c.r.Host + escapePath(path)
}

func abortMultipartUpload(ctx context.Context, c *call) error {
	if err := c.opts.Objects.AbortUpload(ctx, c.bucket.Name, c.key, c.query.Get("uploadId")); err != nil {
		return err
	}
	return c.done(http.StatusNoContent)
}

type partXML struct {
	PartNumber   int
	LastModified *stamp
	ETag         string `xml:",omitempty"`
	Size         int64
	checksumXML
}

type listPartsOut struct {
	XMLName              xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListPartsResult"`
	Bucket, Key          string
	UploadId             string
	Initiator, Owner     owner
	StorageClass         string
	PartNumberMarker     int
	NextPartNumberMarker int
	MaxParts             int
	IsTruncated          bool
	ChecksumAlgorithm    string `xml:",omitempty"`
	ChecksumType         string `xml:",omitempty"`
	Part                 []partXML
}

func listParts(ctx context.Context, c *call) error {
	enc, err := c.readEncoding()
	if err != nil {
		return err
	}
	limit, err := c.count("max-parts", maxList)
	if err != nil {
		return err
	}
	after, err := c.marker("part-number-marker")
	if err != nil {
		return err
	}
	u, err := c.opts.Objects.Upload(ctx, c.bucket.Name, c.key, c.query.Get("uploadId"))
	if err != nil {
		return err
	}
	if err := c.mayOpen(ctx, u.Encryption); err != nil {
		return err
	}
	found, err := c.opts.Objects.UploadParts(ctx, c.bucket.Name, c.key, u.ID, after, limit+1)
	if err != nil {
		return err
	}
	out := listPartsOut{
		Bucket: c.bucket.Name, Key: enc.text(c.key), UploadId: u.ID, Initiator: initiator(u), Owner: ownerOf(u.Account), StorageClass: "STANDARD",
		PartNumberMarker: after, MaxParts: limit, ChecksumAlgorithm: string(u.Algorithm), ChecksumType: string(u.ChecksumType),
	}
	if len(found) > limit {
		found, out.IsTruncated = found[:limit], limit > 0
	}
	for _, p := range found {
		modified := stamp(p.Modified)
		out.Part = append(out.Part, partXML{p.Number, &modified, quoted(p.ETag), p.Size, checksumElements(p.Checksum)})
		out.NextPartNumberMarker = p.Number
	}
	return c.answer(out)
}

func initiator(u objects.Upload) owner { return owner{ID: u.Initiator, DisplayName: u.Initiator} }

// marker reads the number of a part behind which a list begins.
func (c *call) marker(name string) (int, error) {
	text := c.query.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, invalidArgument("Provided "+name+" not an integer or within integer range", name, text)
	}
	return int(n), nil
}

type uploadXML struct {
	Key               string
	UploadId          string
	Initiator, Owner  owner
	StorageClass      string
	Initiated         stamp
	ChecksumAlgorithm string `xml:",omitempty"`
	ChecksumType      string `xml:",omitempty"`
}

type uploadsOut struct {
	XMLName            xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListMultipartUploadsResult"`
	Bucket             string
	KeyMarker          string
	UploadIdMarker     string
	NextKeyMarker      string
	NextUploadIdMarker string
	Prefix             string   `xml:",omitempty"`
	Delimiter          string   `xml:",omitempty"`
	EncodingType       encoding `xml:",omitempty"`
	MaxUploads         int
	IsTruncated        bool
	Upload             []uploadXML
	CommonPrefixes     []prefixXML
}

func listMultipartUploads(ctx context.Context, c *call) error {
	enc, err := c.readEncoding()
	if err != nil {
		return err
	}
	limit, err := c.count("max-uploads", maxList)
	if err != nil {
		return err
	}
	q := objects.UploadQuery{
		Bucket: c.bucket.Name, Prefix: c.query.Get("prefix"), Delimiter: c.query.Get("delimiter"), After: c.query.Get("key-marker"), Limit: limit,
	}
	if q.After != "" {
		q.AfterUpload = c.query.Get("upload-id-marker") // without a key, AWS ignores it
	}
	var p objects.UploadPage
	if limit > 0 {
		if p, err = c.opts.Objects.Uploads(ctx, q); err != nil {
			return err
		}
	}
	out := uploadsOut{
		Bucket: c.bucket.Name, KeyMarker: enc.text(q.After), UploadIdMarker: q.AfterUpload, Prefix: enc.text(q.Prefix), Delimiter: enc.text(q.Delimiter),
		EncodingType: enc, MaxUploads: limit, IsTruncated: p.Truncated, CommonPrefixes: enc.prefixes(p.Prefixes),
	}
	if p.Truncated {
		out.NextKeyMarker, out.NextUploadIdMarker = enc.text(p.Last), p.LastUpload
	}
	for _, u := range p.Uploads {
		out.Upload = append(out.Upload, uploadXML{
			Key: enc.text(u.Key), UploadId: u.ID, Initiator: initiator(u), Owner: ownerOf(u.Account), StorageClass: "STANDARD", Initiated: stamp(u.Created),
			ChecksumAlgorithm: string(u.Algorithm), ChecksumType: string(u.ChecksumType),
		})
	}
	return c.answer(out)
}

// escapePath writes a path as a URL has it.
func escapePath(path string) string { return (&url.URL{Path: path}).EscapedPath() }
