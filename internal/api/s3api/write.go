package s3api

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/tag"
)

func putObject(ctx context.Context, c *call) error {
	p, err := c.toPut(ctx)
	if err != nil {
		return err
	}
	b, err := c.contentOf()
	if err != nil {
		return err
	}
	if err := c.early(ctx, p.If); err != nil {
		return err
	}
	return c.store(ctx, p, b)
}

// toPut reads what the header says about an object that is to be stored.
func (c *call) toPut(ctx context.Context) (p objects.Put, err error) {
	p.Bucket, p.Key = c.bucket.Name, c.key
	if p.Metadata, err = c.metadata(); err != nil {
		return p, err
	}
	if p.If, err = writeConditions(c.header); err != nil {
		return p, err
	}
	if p.Tags, err = headerTags(c.header); err != nil {
		return p, err
	}
	p.Encryption, err = c.encryption(ctx)
	return p, err
}

// early refuses a request whose conditions fail already, before its body is sent.
// They are decided once more when the object is stored.
func (c *call) early(ctx context.Context, cond objects.Conditions) error {
	if cond == (objects.Conditions{}) {
		return nil
	}
	o, err := c.opts.Objects.Object(ctx, c.bucket.Name, c.key, "")
	switch {
	case errors.Is(err, objects.ErrNoSuchObject) && cond.Match != "":
		return noSuchKey(c.key)
	case errors.Is(err, objects.ErrNoSuchObject):
		return nil
	case err != nil:
		return err
	case cond.NoneMatch == "*":
		return preconditionFailed("If-None-Match")
	case cond.Match != "" && !matches(cond.Match, o.ETag):
		return preconditionFailed("If-Match")
	}
	return nil
}

// store writes a body and makes it an object.
func (c *call) store(ctx context.Context, p objects.Put, b *content) (err error) {
	also := b.algorithm()
	if p.Piece, err = c.write(ctx, b, p.Encryption, also); err != nil {
		return err
	}
	if p.Checksum, err = b.check(p.Piece, also); err != nil {
		c.opts.Objects.Drop(p.Piece)
		return err
	}
	o, err := c.opts.Objects.Put(ctx, p)
	if err != nil {
		return c.unmet(err)
	}
	h := c.w.Header()
	h.Set("Etag", quoted(o.ETag))
	c.showMadeEncryption(o.Encryption)
	showChecksum(h, o.Checksum)
	c.showMade(o)
	return c.done(http.StatusOK)
}

// write makes a piece of a body. also is a checksum that is to be computed whatever
// the request has.
func (c *call) write(ctx context.Context, b *content, e objects.Encryption, also objects.Algorithm) (objects.Piece, error) {
	o := objects.PieceOptions{Account: c.bucket.Account, Size: b.size, Checksums: b.algorithms(also), MD5: b.md5 != nil, Encryption: e}
	w, err := c.opts.Objects.NewPiece(ctx, o)
	if err != nil {
		return objects.Piece{}, err
	}
	defer w.Abort()
	if _, err := io.Copy(w, b); err != nil {
		return objects.Piece{}, err
	}
	return w.Finish(ctx)
}

// unmet turns the failure of a condition on what is written into S3's.
func (c *call) unmet(err error) error {
	switch {
	case errors.Is(err, objects.ErrPrecondition) && c.header.Get("If-None-Match") != "":
		return preconditionFailed("If-None-Match")
	case errors.Is(err, objects.ErrPrecondition):
		return preconditionFailed("If-Match")
	case errors.Is(err, objects.ErrNoSuchObject):
		return noSuchKey(c.key)
	}
	return err
}

func deleteObject(ctx context.Context, c *call) error {
	d := objects.Deletion{Key: c.key, Version: c.query.Get("versionId")}
	var err error
	if d.If, err = deleteConditions(c.header.Get("If-Match"), c.header.Get("X-Amz-If-Match-Last-Modified-Time"), c.header.Get("X-Amz-If-Match-Size")); err != nil {
		return err
	}
	done, err := c.opts.Objects.Delete(ctx, c.bucket.Name, d)
	switch {
	case errors.Is(err, objects.ErrNoSuchVersion):
		return noSuchVersion(c.key, d.Version)
	case err != nil:
		return c.unmet(err)
	}
	c.showDeletion(done)
	return c.done(http.StatusNoContent)
}

func (c *call) showDeletion(d objects.Deleted) {
	if d.Marker {
		c.w.Header().Set("X-Amz-Delete-Marker", "true")
	}
	c.showVersion(d.Version)
}

// deleteConditions reads what must be true of an object that is to be deleted.
func deleteConditions(etag, modified, size string) (cond objects.Conditions, err error) {
	cond.Match = trimETag(etag)
	if modified != "" {
		if cond.Modified, err = parseTime(modified); err != nil {
			return cond, invalidArgument("The provided last modified time is not valid", "x-amz-if-match-last-modified-time", modified)
		}
	}
	if size != "" {
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil {
			return cond, invalidArgument("The provided size is not valid", "x-amz-if-match-size", size)
		}
		cond.Size = &n
	}
	return cond, nil
}

type deleteIn struct {
	XMLName xml.Name `xml:"Delete"`
	Quiet   bool
	Object  []struct {
		Key, VersionId, ETag, LastModifiedTime, Size string
	}
}

type deletedXML struct {
	Key                   string
	VersionId             string `xml:",omitempty"`
	DeleteMarker          bool   `xml:",omitempty"`
	DeleteMarkerVersionId string `xml:",omitempty"`
}

type deleteErrorXML struct {
	Key           string
	VersionId     string `xml:",omitempty"`
	Code, Message string
}

type deleteOut struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ DeleteResult"`
	Deleted []deletedXML
	Error   []deleteErrorXML
}

// maxDeletions is how many keys one request may delete, as at AWS.
const maxDeletions = 1000

// deleteObjects deletes each key by itself, if the caller may.
func deleteObjects(ctx context.Context, c *call) error {
	var in deleteIn
	if err := c.decode(&in); err != nil {
		return err
	}
	if len(in.Object) == 0 || len(in.Object) > maxDeletions {
		return malformedXML()
	}
	var out deleteOut
	var asked []objects.Deletion
	with := c.keys()
	for _, o := range in.Object {
		d := objects.Deletion{Key: o.Key, Version: o.VersionId}
		err := checkKey(o.Key)
		if o.Key == "" {
			return fail(http.StatusBadRequest, "UserKeyMustBeSpecified", "The specified object key is empty.")
		}
		if err == nil {
			d.If, err = deleteConditions(o.ETag, o.LastModifiedTime, o.Size)
		}
		if err == nil {
			err = c.allowDeletion(ctx, d, with)
		}
		if err != nil {
			f := c.failureOf(ctx, err)
			out.Error = append(out.Error, deleteErrorXML{o.Key, o.VersionId, f.code, f.message})
			continue
		}
		asked = append(asked, d)
	}
	if len(asked) > 0 {
		all, err := c.opts.Objects.DeleteMany(ctx, c.bucket.Name, asked)
		if err != nil {
			return err
		}
		for i, d := range all {
			out.add(ctx, c, asked[i], d)
		}
	}
	if in.Quiet {
		out.Deleted = nil
	}
	return c.answer(out)
}

// add tells what became of one key.
func (out *deleteOut) add(ctx context.Context, c *call, asked objects.Deletion, d objects.Deleted) {
	if d.Err != nil {
		f := c.failureOf(ctx, c.unmet(d.Err))
		if errors.Is(d.Err, objects.ErrPrecondition) {
			f = preconditionFailed("If-Match")
		}
		out.Error = append(out.Error, deleteErrorXML{asked.Key, asked.Version, f.code, f.message})
		return
	}
	x := deletedXML{Key: asked.Key, VersionId: asked.Version, DeleteMarker: d.Marker}
	if d.Marker {
		x.DeleteMarkerVersionId = d.Version
	}
	out.Deleted = append(out.Deleted, x)
}

type copyOut struct {
	XMLName      xml.Name
	LastModified stamp
	ETag         string
	checksumXML
}

func copyObject(ctx context.Context, c *call) error {
	src, err := c.source(ctx)
	if err != nil {
		return err
	}
	p := objects.Copy{Source: src, Bucket: c.bucket.Name, Key: c.key, Checksum: src.Checksum, Metadata: src.Metadata, Tags: src.Tags}
	given, err := c.toPut(ctx)
	if err != nil {
		return err
	}
	replace, err := c.directive("X-Amz-Metadata-Directive")
	if err != nil {
		return err
	}
	if replace {
		p.Metadata = given.Metadata
	} else if c.sameObject(src) && c.header.Get(sseHeader) == "" && given.Encryption.Key == src.Encryption.Key && c.query.Get("versionId") == "" && !c.sourceNamesVersion() {
		return invalidRequest("This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	if replace, err = c.directive("X-Amz-Tagging-Directive"); err != nil {
		return err
	}
	if replace {
		p.Tags = given.Tags
	} else if err := c.mayCopyTags(ctx, src); err != nil {
		return err
	}
	p.If = given.If
	algorithm, err := chosenAlgorithm(c.header, "X-Amz-Checksum-Algorithm")
	if err != nil {
		return err
	}
	o, err := c.copied(ctx, p, given.Encryption, algorithm)
	if err != nil {
		return c.unmet(err)
	}
	c.showMadeEncryption(o.Encryption)
	c.showMade(o)
	if c.sourceVersioned {
		c.w.Header().Set("X-Amz-Copy-Source-Version-Id", src.Version)
	}
	sum := checksumElements(o.Checksum)
	sum.ChecksumType = string(o.Checksum.Type)
	return c.answer(copyOut{xml.Name{Space: namespace, Local: "CopyObjectResult"}, stamp(o.Modified), quoted(o.ETag), sum})
}

func (c *call) sameObject(src objects.Object) bool {
	return src.Bucket == c.bucket.Name && src.Key == c.key
}

// directive reads whether something of the source is to be replaced.
func (c *call) directive(name string) (replace bool, err error) {
	switch value := c.header.Get(name); value {
	case "", "COPY":
		return false, nil
	case "REPLACE":
		return true, nil
	default:
		return false, invalidArgument("Unknown "+name+".", name, value)
	}
}

// copied makes a copy: by reference, unless it is to be encrypted in another way.
func (c *call) copied(ctx context.Context, p objects.Copy, e objects.Encryption, algorithm objects.Algorithm) (objects.Object, error) {
	src := p.Source
	if err := c.mayOpen(ctx, src.Encryption); err != nil {
		return objects.Object{}, err
	}
	if algorithm != "" && (src.Checksum.Algorithm != algorithm || src.Checksum.Type != objects.FullObject) {
		hashed, err := c.opts.Objects.Hash(ctx, src, 0, src.Size, algorithm, src.Checksum.Algorithm)
		if err == nil {
			err = src.Proves(hashed)
		}
		if err != nil {
			return objects.Object{}, err
		}
		p.Checksum = hashed.Checksum(algorithm)
	}
	if !e.Encrypted() && !src.Encryption.Encrypted() {
		return c.opts.Objects.Copy(ctx, p)
	}
	piece, err := c.rewrite(ctx, src, span{0, src.Size}, e, src.Checksum.Algorithm)
	if err != nil {
		return objects.Object{}, err
	}
	if err := src.Proves(piece); err != nil {
		c.opts.Objects.Drop(piece)
		return objects.Object{}, err
	}
	return c.opts.Objects.Put(ctx, objects.Put{
		Bucket: p.Bucket, Key: p.Key, Piece: piece, Checksum: p.Checksum, Metadata: p.Metadata, Tags: p.Tags, Encryption: e, If: p.If,
	})
}

// rewrite stores a range of an object anew, encrypted as e says. That the caller may open
// both has been checked.
func (c *call) rewrite(ctx context.Context, src objects.Object, s span, e objects.Encryption, sums ...objects.Algorithm) (objects.Piece, error) {
	r, err := c.opts.Objects.Open(ctx, src)
	if err != nil {
		return objects.Piece{}, err
	}
	defer func() { _ = r.Close() }() // it was only read
	w, err := c.opts.Objects.NewPiece(ctx, objects.PieceOptions{Account: c.bucket.Account, Size: s.n, Checksums: sums, Encryption: e})
	if err != nil {
		return objects.Piece{}, err
	}
	defer w.Abort()
	if _, err := io.Copy(w, io.NewSectionReader(r, s.off, s.n)); err != nil {
		return objects.Piece{}, err
	}
	return w.Finish(ctx)
}

// headerTags reads the tags that an object is put with.
func headerTags(h http.Header) (tag.Set, error) {
	tags, err := parseTagging(h.Get("X-Amz-Tagging"))
	if err == nil {
		err = tags.check(maxObjectTags)
	}
	return tags.sorted(), err
}
