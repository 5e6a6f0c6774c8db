package s3api

import (
	"encoding/base64"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/diskport/diskport/internal/imports/objects"
)

const (
	maxMetadata    = 2 << 10 // bytes of all x-amz-meta- names and values, as at AWS
	metaPrefix     = "X-Amz-Meta-"
	defaultContent = "binary/octet-stream"
)

// unbuiltHeaders are what no operation here does anything about. It would be worse
// to accept one and do nothing.
func (c *call) checkHeaders(op operation) error {
	if !c.Payload.Known() {
		return invalidArgument("x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, "+
			"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.", "x-amz-content-sha256", c.Payload.Declared)
	}
	for name := range c.header {
		if !strings.HasPrefix(name, "X-Amz-") {
			continue
		}
		value := c.header.Get(name)
		switch {
		case strings.HasPrefix(name, sseHeader+"-Customer-"), strings.HasPrefix(name, "X-Amz-Copy-Source-Server-Side-Encryption-Customer-"):
			return notImplemented("server-side encryption with keys that the customer provides (SSE-C)")
		case strings.HasPrefix(name, sseHeader) && op.ignoresEncryption():
			return invalidArgument(lowerName(name)+" header is not supported for this operation.", lowerName(name), value)
		case strings.HasPrefix(name, "X-Amz-Object-Lock-"),
			name == "X-Amz-Bucket-Object-Lock-Enabled" && !strings.EqualFold(value, "false"),
			name == "X-Amz-Website-Redirect-Location", name == "X-Amz-Write-Offset-Bytes", name == "X-Amz-Mfa":
			return notImplemented(strings.ToLower(name))
		case name == "X-Amz-Storage-Class" && value != "STANDARD":
			if !slices.Contains(storageClasses, value) {
				return fail(http.StatusBadRequest, "InvalidStorageClass", "The storage class you specified is not valid", element{"StorageClassRequested", value})
			}
			return notImplemented("storage class " + value)
		case strings.HasPrefix(name, "X-Amz-Grant-") && op.sub != "acl":
			return c.refuseACL(op)
		case name == "X-Amz-Acl" && op.sub != "acl":
			if !slices.Contains(canned, value) {
				return checkCanned(value)
			}
			if checkCanned(value) != nil {
				return c.refuseACL(op)
			}
		}
	}
	return nil
}

// refuseACL is the answer to an access control list that lets others in.
func (c *call) refuseACL(op operation) *failure {
	owned := c.header.Get("X-Amz-Object-Ownership")
	if op.name == "CreateBucket" && (owned == "" || owned == enforced) {
		return fail(http.StatusBadRequest, "InvalidBucketAclWithObjectOwnership", "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
	}
	return noACLs()
}

// storageClasses are AWS's besides STANDARD.
var storageClasses = []string{
	"REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER", "DEEP_ARCHIVE", "OUTPOSTS", "GLACIER_IR", "SNOW", "EXPRESS_ONEZONE", "FSX_OPENZFS",
}

// metadata reads what an object is to be stored with.
//
// The bytes of header values are read as Latin-1, so that any can be stored as text.
// Those of S3's own headers come back as they were; those of the client's metadata as
// S3 documents it, see encodeWord.
func (c *call) metadata() (objects.Metadata, error) {
	h := c.header
	m := objects.Metadata{
		ContentType: text(h.Get("Content-Type")), ContentEncoding: contentEncoding(h), ContentDisposition: text(h.Get("Content-Disposition")),
		ContentLanguage: text(h.Get("Content-Language")), CacheControl: text(h.Get("Cache-Control")), Expires: text(h.Get("Expires")),
	}
	size := 0
	for name, values := range h {
		name, ok := strings.CutPrefix(name, metaPrefix)
		if !ok {
			continue
		}
		if m.User == nil {
			m.User = map[string]string{}
		}
		value := decodeWords(text(strings.Join(values, ",")))
		size += len(name) + len(value)
		m.User[strings.ToLower(name)] = value
	}
	if size > maxMetadata {
		return m, fail(http.StatusBadRequest, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size",
			element{"Size", strconv.Itoa(size)}, element{"MaxSizeAllowed", strconv.Itoa(maxMetadata)})
	}
	return m, nil
}

// contentEncoding returns the header without aws-chunked, which is how the body came
// and not how it is stored.
func contentEncoding(h http.Header) string {
	var kept []string
	for _, line := range h.Values("Content-Encoding") {
		for part := range strings.SplitSeq(line, ",") {
			if name := strings.TrimSpace(part); name != "" && !strings.EqualFold(name, "aws-chunked") {
				kept = append(kept, part)
			}
		}
	}
	return text(strings.TrimSpace(strings.Join(kept, ",")))
}

// decodeWords reads the words of RFC 2047 in a value of the client's metadata. Those
// that are malformed stay as they are.
func decodeWords(value string) string {
	decoded, err := new(mime.WordDecoder).DecodeHeader(value)
	if err != nil || !utf8.ValidString(decoded) || strings.ContainsFunc(decoded, unicode.IsControl) {
		return value
	}
	return decoded
}

// encodeWord writes a value of the client's metadata: as it is if it is ASCII, else as
// one word of RFC 2047 in base64, however long, as S3 does.
func encodeWord(value string) string {
	if strings.IndexFunc(value, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return value
	}
	return "=?UTF-8?B?" + base64.StdEncoding.EncodeToString([]byte(value)) + "?="
}

// text returns the text whose code points are the bytes of a header value.
func text(header string) string {
	for i := range len(header) {
		if header[i] >= 0x80 {
			runes := make([]rune, len(header))
			for j := range len(header) {
				runes[j] = rune(header[j])
			}
			return string(runes)
		}
	}
	return header
}

// headerOf is the inverse of text.
func headerOf(text string) string {
	b := make([]byte, 0, len(text))
	for _, r := range text {
		b = append(b, byte(r))
	}
	return string(b)
}

// showMetadata adds the headers that an object was stored with.
func showMetadata(h http.Header, m objects.Metadata) {
	for name, value := range map[string]string{
		"Content-Type": m.ContentType, "Content-Encoding": m.ContentEncoding, "Content-Disposition": m.ContentDisposition,
		"Content-Language": m.ContentLanguage, "Cache-Control": m.CacheControl, "Expires": m.Expires,
	} {
		if value != "" {
			h.Set(name, headerOf(value))
		}
	}
	if m.ContentType == "" {
		h.Set("Content-Type", defaultContent)
	}
	for name, value := range m.User {
		h["x-amz-meta-"+name] = []string{encodeWord(value)} // in lower case, as AWS writes them
	}
}
