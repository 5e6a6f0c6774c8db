package s3api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/imports/objects"
)

// Bounds of a form, in bytes, as at AWS.
const (
	maxFields = 20 << 10 // all fields before the file
	maxField  = 20 << 10
	maxFront  = 128 << 10 // all before the file, with the headers of parts and what separates them
)

// errFront: there is too much in front of the file.
var errFront = errors.New("the form has too much before its file")

// front reads a form, and fails after maxFront bytes unless the file has been found by
// then: what precedes that is kept in memory, and nobody knows yet who sends it.
type front struct {
	io.ReadCloser
	read  int
	found bool
}

func (f *front) Read(p []byte) (int, error) {
	if f.found {
		return f.ReadCloser.Read(p)
	}
	if f.read == maxFront {
		return 0, errFront
	}
	n, err := f.ReadCloser.Read(p[:min(len(p), maxFront-f.read)])
	f.read += n
	return n, err
}

// form is an upload from a page in a browser: the fields before the file.
type form struct {
	fields map[string]string // names in lower case
	file   io.Reader
	policy formPolicy
}

// isForm reports whether the request is an upload by a form.
func (c *call) isForm(sub string) bool {
	kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	return c.r.Method == http.MethodPost && c.level() == bucket && sub == "" && kind == "multipart/form-data"
}

func malformedForm(why string) *failure {
	return fail(http.StatusBadRequest, "MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data. "+why)
}

// missingField refuses a form in which a field is not in front of the file, where it
// would be read.
func missingField(name string) *failure {
	return invalidArgument("Bucket POST must contain a field named '"+name+"'.  If it is specified, please check the order of the fields.", name, "")
}

// postForm stores the file of a form, as whoever has signed its policy.
func (c *call) postForm(ctx context.Context) error {
	c.Action = postObject
	c.tell()
	if err := c.findBucket(ctx, operation{action: "PutObject"}); err != nil {
		return err
	}
	f, err := c.readForm()
	if err != nil {
		return err
	}
	c.form = f.fields
	if _, ok := f.fields["key"]; !ok {
		return missingField("key")
	}
	if err := c.signForm(ctx, f); err != nil {
		return err
	}
	if err := f.policy.check(f.fields, c.bucket.Name, c.Origin.Time); err != nil {
		return err
	}
	if c.header, err = f.header(); err != nil {
		return err
	}
	c.key = f.fields["key"]
	if c.key == "" {
		return invalidArgument("User key must have a length greater than 0.", "key", "")
	}
	if err := checkKey(c.key); err != nil {
		return err
	}
	put := operation{name: "PutObject", on: object, action: "PutObject"}
	if err := c.checkHeaders(put); err != nil {
		return err
	}
	if err := c.authorize(ctx, put); err != nil {
		return err
	}
	return c.storeForm(ctx, f)
}

// readForm reads the fields before the file.
func (c *call) readForm() (*form, error) {
	body := &front{ReadCloser: c.r.Body}
	c.r.Body = body
	in, err := c.r.MultipartReader()
	if err != nil {
		return nil, malformedForm("")
	}
	tooLarge := fail(http.StatusBadRequest, "MaxPostPreDataLengthExceededError", "Your POST request fields preceding the upload file were too large.")
	f := &form{fields: map[string]string{}}
	size := 0
	for {
		part, err := in.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil, invalidArgument("POST requires exactly one file upload per request.", "file", "0")
		}
		if errors.Is(err, errFront) {
			return nil, tooLarge
		}
		if err != nil {
			return nil, malformedForm("")
		}
		name := strings.ToLower(part.FormName())
		if name == "file" {
			if key, ok := f.fields["key"]; ok {
				f.fields["key"] = strings.ReplaceAll(key, "${filename}", baseName(part))
			}
			body.found = true
			f.file = part
			return f, nil
		}
		value, err := io.ReadAll(io.LimitReader(part, maxField+1))
		if err != nil {
			return nil, malformedForm("")
		}
		if size += len(name) + len(value); size > maxFields || len(value) > maxField {
			return nil, tooLarge
		}
		if _, twice := f.fields[name]; twice {
			return nil, invalidArgument("A field of the form was given more than once.", name, string(value))
		}
		f.fields[name] = string(value)
	}
}

// baseName returns the name of the file, without the folders that some browsers send.
func baseName(part *multipart.Part) string {
	_, params, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	name := params["filename"]
	return name[strings.LastIndexAny(name, `/\`)+1:]
}

// signForm finds out who has signed the policy of the form. A form without one is
// anonymous.
func (c *call) signForm(ctx context.Context, f *form) error {
	text := f.fields["policy"]
	if text == "" {
		if f.fields["signature"] != "" || f.fields["x-amz-signature"] != "" {
			return missingField("policy")
		}
		c.Principal = iam.Principal{}
		return nil
	}
	keyID, verify, err := c.formSignature(f.fields)
	if err != nil {
		return err
	}
	who, secret, err := c.opts.Keys.Lookup(ctx, keyID, f.fields["x-amz-security-token"])
	switch {
	case errors.Is(err, iam.ErrUnknownKey):
		return fail(http.StatusForbidden, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", element{"AWSAccessKeyId", keyID})
	case errors.Is(err, iam.ErrExpiredToken):
		return fail(http.StatusBadRequest, "ExpiredToken", "The provided token has expired.")
	case err != nil:
		return err
	}
	if err := verify(secret, text); err != nil {
		return fail(http.StatusForbidden, "SignatureDoesNotMatch",
			"The request signature we calculated does not match the signature you provided. Check your key and signing method.", element{"AWSAccessKeyId", keyID})
	}
	c.Principal = who
	f.policy, err = parseFormPolicy(text)
	return err
}

// formSignature returns the key that a form claims to be signed with, and what
// verifies it.
func (c *call) formSignature(fields map[string]string) (keyID string, verify func(sigv4.Secret, string) error, err error) {
	if id := fields["awsaccesskeyid"]; id != "" && !c.opts.Strict {
		if _, ok := fields["signature"]; !ok {
			return "", nil, missingField("Signature")
		}
		return id, func(secret sigv4.Secret, text string) error {
			return sigv4.VerifyTextV2(secret, text, fields["signature"])
		}, nil
	}
	for _, name := range []string{"X-Amz-Signature", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date"} {
		if _, ok := fields[strings.ToLower(name)]; !ok {
			return "", nil, missingField(name)
		}
	}
	q, err := sigv4.ParseForm(fields["x-amz-algorithm"], fields["x-amz-credential"], fields["x-amz-date"])
	if err != nil || q.Service != c.Service {
		return "", nil, invalidArgument("The signature of the form is incomplete.", "x-amz-credential", fields["x-amz-credential"])
	}
	c.Region = q.Region
	return q.AccessKeyID, func(secret sigv4.Secret, text string) error {
		return q.VerifyText(secret, text, fields["x-amz-signature"])
	}, nil
}

// header returns the fields that stand for headers of a PutObject.
func (f *form) header() (http.Header, error) {
	h := http.Header{}
	for name, value := range f.fields {
		switch name {
		case "acl":
			h.Set("X-Amz-Acl", value)
		case "content-type", "content-encoding", "content-disposition", "cache-control", "expires", "content-language":
			h.Set(name, value)
		case "tagging":
			tags, err := tagsIn([]byte(value), maxObjectTags)
			if err != nil {
				return nil, err
			}
			query := url.Values{}
			for _, t := range tags {
				query.Set(t.Key, t.Value)
			}
			h.Set("X-Amz-Tagging", query.Encode())
		default:
			if strings.HasPrefix(name, "x-amz-meta-") && utf8.ValidString(value) {
				value = encodeWord(value) // fields are UTF-8, headers are Latin-1
			}
			if strings.HasPrefix(name, "x-amz-") && !authQuery(name) {
				h.Set(name, value)
			}
		}
	}
	return h, nil
}

func (c *call) storeForm(ctx context.Context, f *form) error {
	p, err := c.toPut(ctx)
	if err != nil {
		return err
	}
	p.If = objects.Conditions{}
	b := &content{Reader: &limited{in: f.file, left: f.policy.most()}, size: -1}
	if b.sum, _, err = declaredChecksum(c.header); err != nil {
		return err
	}
	also := b.algorithm()
	if p.Piece, err = c.write(ctx, b, p.Encryption, also); err != nil {
		return err
	}
	if p.Piece.Size < f.policy.least {
		c.opts.Objects.Drop(p.Piece)
		return fail(http.StatusBadRequest, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size",
			element{"ProposedSize", strconv.FormatInt(p.Piece.Size, 10)}, element{"MinSizeAllowed", strconv.FormatInt(f.policy.least, 10)})
	}
	b.size = p.Piece.Size
	if p.Checksum, err = b.check(p.Piece, also); err != nil {
		c.opts.Objects.Drop(p.Piece)
		return err
	}
	o, err := c.opts.Objects.Put(ctx, p)
	if err != nil {
		return err
	}
	return c.answerForm(f.fields, o)
}

// answerForm answers as the form has asked for.
func (c *call) answerForm(fields map[string]string, o objects.Object) error {
	h := c.w.Header()
	h.Set("Etag", quoted(o.ETag))
	h.Set("Location", c.location())
	c.showMadeEncryption(o.Encryption)
	c.showMade(o)
	redirect := fields["success_action_redirect"]
	if redirect == "" {
		redirect = fields["redirect"]
	}
	if to, err := url.Parse(redirect); err == nil && redirect != "" && (to.Scheme == "http" || to.Scheme == "https") && to.Host != "" {
		query := to.Query()
		query.Set("bucket", o.Bucket)
		query.Set("key", o.Key)
		query.Set("etag", quoted(o.ETag))
		to.RawQuery = query.Encode()
		h.Set("Location", to.String())
		return c.done(http.StatusSeeOther)
	}
	switch fields["success_action_status"] {
	case "200":
		return c.done(http.StatusOK)
	case "201":
		body, err := xml.Marshal(struct {
			XMLName                     xml.Name `xml:"PostResponse"`
			Location, Bucket, Key, ETag string
		}{Location: c.location(), Bucket: o.Bucket, Key: o.Key, ETag: quoted(o.ETag)})
		if err != nil {
			return err
		}
		h.Set("Content-Type", contentXML)
		c.w.WriteHeader(http.StatusCreated)
		_, _ = c.w.Write(append([]byte(xml.Header), body...))
		return nil
	}
	return c.done(http.StatusNoContent)
}

// limited reads no more than the policy of a form allows.
type limited struct {
	in   io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.in.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fail(http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errUnread, err)
	}
	return n, err
}

// formPolicy is what the signer of a form lets whoever has it do.
type formPolicy struct {
	signed     bool
	expiration time.Time
	conditions []formCondition
	least      int64 // bytes of the file
	limit      int64 // negative: not said
}

// formCondition is about one field.
type formCondition struct {
	field  string // in lower case
	value  string
	prefix bool // the field begins with the value, rather than being it
}

func invalidPolicy(why string) *failure {
	return fail(http.StatusBadRequest, "InvalidPolicyDocument", "Invalid Policy: "+why)
}

func parseFormPolicy(encoded string) (formPolicy, error) {
	p := formPolicy{signed: true, limit: -1}
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return p, invalidPolicy("Invalid 'Base64'.")
	}
	var in map[string]json.RawMessage // rather than a struct, whose names match in any case
	if json.Unmarshal(text, &in) != nil {
		return p, invalidPolicy("Invalid JSON.")
	}
	var expiration *string
	var conditions []json.RawMessage
	for name, into := range map[string]any{"expiration": &expiration, "conditions": &conditions} {
		if raw, ok := in[name]; ok && json.Unmarshal(raw, into) != nil {
			return p, invalidPolicy("Invalid JSON.")
		}
	}
	switch {
	case expiration == nil:
		return p, invalidPolicy("Policy missing expiration.")
	case conditions == nil:
		return p, invalidPolicy("Policy missing conditions.")
	}
	if p.expiration, err = time.Parse(time.RFC3339, *expiration); err != nil {
		return p, invalidPolicy("Invalid 'expiration' value: '" + *expiration + "'")
	}
	for _, raw := range conditions {
		if err := p.add(raw); err != nil {
			return p, err
		}
	}
	return p, nil
}

// add reads one condition: {"field": "value"}, or [operator, "$field", value].
func (p *formPolicy) add(raw json.RawMessage) error {
	var exact map[string]any
	if json.Unmarshal(raw, &exact) == nil {
		if len(exact) != 1 {
			return invalidPolicy("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
		}
		for name, value := range exact {
			text, ok := value.(string)
			if !ok {
				return invalidPolicy("Invalid Simple-Condition: value must be a string.")
			}
			p.conditions = append(p.conditions, formCondition{strings.ToLower(name), text, false})
		}
		return nil
	}
	var list []any
	if json.Unmarshal(raw, &list) != nil || len(list) != 3 {
		return invalidPolicy("Invalid Condition: wrong number of arguments.")
	}
	operator, _ := list[0].(string)
	if strings.EqualFold(operator, "content-length-range") {
		least, leastOK := number(list[1])
		most, mostOK := number(list[2])
		if !leastOK || !mostOK || least > most {
			return invalidPolicy("Invalid content-length-range.")
		}
		p.least, p.limit = max(p.least, least), most
		return nil
	}
	field, fieldOK := list[1].(string)
	value, valueOK := list[2].(string)
	name, named := strings.CutPrefix(field, "$")
	prefix := strings.EqualFold(operator, "starts-with")
	if !fieldOK || !valueOK || !named || !prefix && !strings.EqualFold(operator, "eq") {
		return invalidPolicy("Invalid Condition: unknown operation " + strconv.Quote(operator) + ".")
	}
	p.conditions = append(p.conditions, formCondition{strings.ToLower(name), value, prefix})
	return nil
}

// number reads a count of bytes, which may be a string.
func number(v any) (int64, bool) {
	switch v := v.(type) {
	case float64:
		return int64(v), v >= 0 && v <= 1<<53
	case string:
		return digits(v)
	}
	return 0, false
}

// most returns the largest file that may be stored.
func (p formPolicy) most() int64 {
	if p.signed && p.limit >= 0 {
		return min(p.limit, maxPut)
	}
	return maxPut
}

// free are the fields that no condition needs to name.
var free = []string{"awsaccesskeyid", "signature", "x-amz-signature", "policy", "file"}

// check compares the fields of a form with its policy.
func (p formPolicy) check(fields map[string]string, bucket string, now time.Time) error {
	if !p.signed {
		return nil
	}
	denied := func(why string) error {
		return fail(http.StatusForbidden, "AccessDenied", "Invalid according to Policy: "+why)
	}
	if now.After(p.expiration) {
		return denied("Policy expired.")
	}
	covered := map[string]bool{}
	for _, c := range p.conditions {
		actual := fields[c.field]
		if c.field == "bucket" {
			actual = bucket
		}
		covered[c.field] = true
		if c.prefix && !startsWith(c.field, actual, c.value) || !c.prefix && actual != c.value {
			operator := "eq"
			if c.prefix {
				operator = "starts-with"
			}
			return denied(fmt.Sprintf("Policy Condition failed: [%q, \"$%s\", %q]", operator, c.field, c.value))
		}
	}
	for name := range fields {
		if !covered[name] && !slices.Contains(free, name) && !strings.HasPrefix(name, "x-ignore-") {
			return denied("Extra input fields: " + name)
		}
	}
	if !covered["bucket"] { // it counts as a field, or the form would do for all that its signer may write to
		return denied("Extra input fields: bucket")
	}
	return nil
}

// startsWith compares the beginning of a field. A Content-Type may be a list, of which
// each must begin so.
func startsWith(field, actual, prefix string) bool {
	if field != "content-type" {
		return strings.HasPrefix(actual, prefix)
	}
	for part := range strings.SplitSeq(actual, ",") {
		if !strings.HasPrefix(part, prefix) {
			return false
		}
	}
	return true
}
