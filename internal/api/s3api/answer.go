package s3api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/imports/objects"
)

const (
	contentXML = "application/xml"
	namespace  = "http://s3.amazonaws.com/doc/2006-03-01/"
)

// answer writes v as the document of a successful answer. v must be encodable.
func (c *call) answer(v any) error {
	body, err := xml.Marshal(v)
	if err != nil {
		panic(err) // a type that encoding/xml can't encode: a bug in this package
	}
	return c.answerText(append([]byte(xml.Header), body...))
}

func (c *call) answerText(body []byte) error {
	c.w.Header().Set("Content-Type", contentXML)
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(body) // a client that is gone needs no answer
	return nil
}

// done answers without a document.
func (c *call) done(status int) error {
	if status != http.StatusNoContent {
		c.w.Header().Set("Content-Length", "0")
	}
	c.w.WriteHeader(status)
	return nil
}

// stamp is a time as S3's documents show it.
type stamp time.Time

// MarshalText implements encoding.TextMarshaler.
func (s stamp) MarshalText() ([]byte, error) {
	return time.Time(s).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000Z"), nil
}

// quoted returns an ETag as S3 shows it.
func quoted(etag string) string {
	if etag == "" {
		return ""
	}
	return `"` + etag + `"`
}

// owner is an account as S3's documents show it.
type owner struct {
	ID          string
	DisplayName string `xml:",omitempty"`
}

// ownerOf returns an account as S3 shows it: by an id of its own kind, from which
// nobody can tell the account's number.
func ownerOf(account string) owner {
	sum := sha256.Sum256([]byte("canonical user " + account))
	return owner{hex.EncodeToString(sum[:]), account}
}

// encoding writes keys into lists, as the client has asked for.
type encoding string

// readEncoding reads the encoding-type of a list.
func (c *call) readEncoding() (encoding, error) {
	switch text := c.query.Get("encoding-type"); text {
	case "", "url":
		return encoding(text), nil
	default:
		return "", invalidArgument("Invalid Encoding Method specified in Request", "encoding-type", text)
	}
}

func (e encoding) text(key string) string {
	if e == "" {
		return key
	}
	return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/")
}

// count reads a parameter that bounds a list: at most limit, which is also the
// default.
func (c *call) count(name string, limit int) (int, error) {
	text := c.query.Get(name)
	if text == "" {
		return limit, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, invalidArgument("Provided "+name+" not an integer or within integer range", name, text)
	}
	return min(int(n), limit), nil
}

// showVersion adds the header that names a version, where a bucket has any.
func (c *call) showVersion(version string) {
	if c.versioned() && version != "" {
		c.w.Header().Set("X-Amz-Version-Id", version)
	}
}

// showMade is showVersion for what a request has just stored: S3 names no version
// while versioning is suspended.
func (c *call) showMade(o objects.Object) {
	if c.bucket.Versioning == objects.Enabled {
		c.showVersion(o.Version)
	}
}

// showEncryption adds the headers about how an object is encrypted.
func showEncryption(h http.Header, e objects.Encryption) {
	if e.Algorithm == "" {
		h.Set(sseHeader, "AES256")
		return
	}
	h.Set(sseHeader, e.Algorithm)
	h.Set(keyHeader, e.Key)
	if e.BucketKey {
		h.Set(sseBucketKey, "true")
	}
}
