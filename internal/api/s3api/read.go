package s3api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/imports/objects"
)

func getObject(ctx context.Context, c *call) error {
	s, err := c.present(ctx)
	if err != nil {
		return err
	}
	if err := c.mayOpen(ctx, c.object.Encryption); err != nil {
		return err
	}
	r, err := c.opts.Objects.Open(ctx, c.object)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was only read
	c.begin(s)
	if s.n == 0 {
		return nil
	}
	if n, err := r.CopyRange(c.w, s.off, s.n); err != nil || n != s.n {
		// The header has gone out. Half an object must not look like a whole one.
		c.opts.Log.DebugContext(ctx, "an object was not sent to its end", "bytes", n, "of", s.n, "cause", fmt.Sprint(err))
		panic(http.ErrAbortHandler)
	}
	return nil
}

func headObject(ctx context.Context, c *call) error {
	s, err := c.present(ctx)
	if err == nil && c.wantsChecksum() {
		err = c.mayOpen(ctx, c.object.Encryption) // that of an encrypted object is for those who may read it
	}
	if err != nil {
		return err
	}
	c.begin(s)
	return nil
}

func (c *call) wantsChecksum() bool {
	return strings.EqualFold(c.header.Get("X-Amz-Checksum-Mode"), "ENABLED")
}

// present decides what of an object is to be sent, and sets the headers that say
// what it is.
func (c *call) present(ctx context.Context) (span, error) {
	o := c.object
	if err := c.hidden(ctx); err != nil {
		return span{}, err
	}
	h := c.w.Header()
	h.Set("Etag", quoted(o.ETag))
	h.Set("Last-Modified", o.Modified.UTC().Format(http.TimeFormat))
	c.showVersion(o.Version)
	switch failed := conditionalOf(c.header, "").check(o); failed {
	case "":
	case "If-None-Match", "If-Modified-Since":
		return span{}, fail(http.StatusNotModified, "NotModified", "")
	default:
		return span{}, preconditionFailed(failed)
	}
	s, part, err := c.part(ctx)
	if err != nil {
		return s, err
	}
	h.Set("Accept-Ranges", "bytes")
	showMetadata(h, o.Metadata)
	showEncryption(h, o.Encryption)
	if n := len(o.Tags); n > 0 {
		h.Set("X-Amz-Tagging-Count", strconv.Itoa(n))
	}
	if c.wantsChecksum() && s.n == o.Size && (!part || o.Parts <= 1) { // of what is sent
		showChecksum(h, o.Checksum)
	}
	return s, c.override(h)
}

// hidden returns why there is no object to send: none is there, or a delete marker
// is.
func (c *call) hidden(ctx context.Context) error {
	if c.missing != nil {
		err := c.missingObject(ctx)
		if f, ok := err.(*failure); ok && c.object.Marker && f.code == "NoSuchKey" { //nolint:errorlint // it was just made
			c.showMarker()
		}
		return err
	}
	if c.object.Marker {
		c.showMarker()
		c.w.Header().Set("Last-Modified", c.object.Modified.UTC().Format(http.TimeFormat))
		f := methodNotAllowed(c.r.Method, "DeleteMarker")
		f.header = [2]string{"Allow", "DELETE"}
		return f
	}
	return nil
}

func (c *call) showMarker() {
	c.w.Header().Set("X-Amz-Delete-Marker", "true")
	c.showVersion(c.object.Version)
}

// part returns the bytes that the request asks for, and whether it asks for less
// than all.
func (c *call) part(ctx context.Context) (s span, partial bool, err error) {
	o, asked := c.object, c.header.Get("Range")
	if c.query.Has("partNumber") {
		if asked != "" {
			return s, false, invalidRequest("Cannot specify both Range header and partNumber query parameter")
		}
		return c.numbered(ctx)
	}
	if asked != "" {
		s, partial, err = parseRange(asked, o.Size)
		if err != nil || partial {
			if partial {
				c.w.Header().Set("Content-Range", s.contentRange(o.Size))
			}
			return s, partial, err
		}
	}
	return span{0, o.Size}, false, nil
}

// numbered returns the bytes of the part that is asked for by its number.
func (c *call) numbered(ctx context.Context) (span, bool, error) {
	number, err := partNumber(c.query.Get("partNumber"))
	if err != nil {
		return span{}, false, err
	}
	o := c.object
	s, found := span{0, o.Size}, number == 1
	if o.Parts > 0 {
		c.w.Header().Set("X-Amz-Mp-Parts-Count", strconv.Itoa(o.Parts))
		parts, err := c.opts.Objects.ObjectParts(ctx, o, 0, number)
		if err != nil {
			return span{}, false, err
		}
		s.n, found = 0, false
		for _, p := range parts {
			if p.Number < number {
				s.off += p.Size
			} else if p.Number == number {
				s.n, found = p.Size, true
				if c.wantsChecksum() {
					showChecksum(c.w.Header(), p.Checksum)
				}
			}
		}
	}
	if !found {
		return span{}, false, fail(http.StatusRequestedRangeNotSatisfiable, "InvalidPartNumber", "The requested partnumber is not satisfiable",
			element{"PartNumberRequested", strconv.Itoa(number)}, element{"ActualPartCount", strconv.Itoa(max(o.Parts, 1))})
	}
	if s.n == 0 {
		return s, false, nil
	}
	c.w.Header().Set("Content-Range", s.contentRange(o.Size))
	return s, true, nil
}

func partNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > objects.MaxParts {
		return 0, invalidArgument("Part number must be an integer between 1 and 10000, inclusive", "partNumber", text)
	}
	return n, nil
}

// overridden are the headers that a request may choose for its answer.
var overridden = map[string]string{
	"response-content-type": "Content-Type", "response-content-language": "Content-Language", "response-expires": "Expires",
	"response-cache-control": "Cache-Control", "response-content-disposition": "Content-Disposition", "response-content-encoding": "Content-Encoding",
}

func (c *call) override(h http.Header) error {
	for parameter, name := range overridden {
		value := c.query.Get(parameter)
		if value == "" {
			continue
		}
		if c.Principal.Kind == iam.Anonymous {
			return invalidRequest("Request specific response headers cannot be used for anonymous GET requests.")
		}
		h.Set(name, value)
	}
	return nil
}

// begin writes the header of an answer that has s of the object.
func (c *call) begin(s span) {
	h := c.w.Header()
	h.Set("Content-Length", strconv.FormatInt(s.n, 10))
	status := http.StatusOK
	if h.Get("Content-Range") != "" {
		status = http.StatusPartialContent
	}
	c.w.WriteHeader(status)
}
