package s3api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/imports/ssekms"
)

// Encryption checks keys of a KMS for callers. ssekms.Keys implements it.
type Encryption interface {
	// MayEncrypt returns e with the ARN of the key that e.Key names (an ARN, an id or an
	// alias; empty: S3's own key of the account), if the caller may make data keys with
	// it for what e.Context says. The caller's region is the bucket's.
	MayEncrypt(ctx context.Context, who kms.Caller, e objects.Encryption) (objects.Encryption, error)
	// MayDecrypt returns an error unless the caller may open the data key of e.
	MayDecrypt(ctx context.Context, who kms.Caller, e objects.Encryption) error
}

const (
	awsKMS    = ssekms.Algorithm
	awsDSSE   = "aws:kms:dsse"
	sseHeader = "X-Amz-Server-Side-Encryption"
	keyHeader = sseHeader + "-Aws-Kms-Key-Id"
	// sseContext and sseBucketKey go with aws:kms alone.
	sseContext   = sseHeader + "-Context"
	sseBucketKey = sseHeader + "-Bucket-Key-Enabled"
)

// defaults is how what is put into a bucket is encrypted, if a request does not say.
type defaults struct {
	Algorithm string
	Key       string `json:",omitempty"`
	BucketKey bool   `json:",omitempty"`
}

type encryptionXML struct {
	XMLName xml.Name
	Rule    []encryptionRuleXML
}

type encryptionRuleXML struct {
	Apply struct {
		SSEAlgorithm   string
		KMSMasterKeyID string `xml:",omitempty"`
	} `xml:"ApplyServerSideEncryptionByDefault"`
	BucketKeyEnabled bool
}

const encryptionDoc = "ServerSideEncryptionConfiguration"

func (c *call) defaultsOf(ctx context.Context) (defaults, error) {
	d := defaults{Algorithm: "AES256"}
	_, err := c.readSetting(ctx, c.bucket.Name, encryptionSetting, &d)
	return d, err
}

func getBucketEncryption(ctx context.Context, c *call) error {
	d, err := c.defaultsOf(ctx)
	if err != nil {
		return err
	}
	var rule encryptionRuleXML
	rule.Apply.SSEAlgorithm, rule.Apply.KMSMasterKeyID, rule.BucketKeyEnabled = d.Algorithm, d.Key, d.BucketKey
	return c.answer(encryptionXML{xml.Name{Space: namespace, Local: encryptionDoc}, []encryptionRuleXML{rule}})
}

func putBucketEncryption(ctx context.Context, c *call) error {
	var in encryptionXML
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.XMLName.Local != encryptionDoc || len(in.Rule) != 1 {
		return malformedXML()
	}
	rule := in.Rule[0]
	d := defaults{rule.Apply.SSEAlgorithm, rule.Apply.KMSMasterKeyID, rule.BucketKeyEnabled}
	switch {
	case d.Algorithm == "AES256" && d.Key != "":
		return invalidArgument("a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse", "SSEAlgorithm", d.Algorithm)
	case d.Algorithm == "AES256":
	case d.Algorithm == awsKMS && c.opts.Encryption != nil:
	case d.Algorithm == awsKMS, d.Algorithm == awsDSSE:
		return notImplemented("SSEAlgorithm " + d.Algorithm)
	default:
		return malformedXML()
	}
	return c.writeSetting(ctx, encryptionSetting, d)
}

// encryption returns how an object that is put is to be encrypted, with a data key
// where it is.
func (c *call) encryption(ctx context.Context) (objects.Encryption, error) {
	d, err := c.askedEncryption(ctx)
	if err != nil {
		return objects.Encryption{}, err
	}
	switch {
	case d.Algorithm == "AES256":
		return objects.Encryption{}, nil
	case d.Algorithm == awsKMS && c.opts.Encryption != nil:
		return c.keyed(ctx, d)
	case d.Algorithm == awsKMS, d.Algorithm == awsDSSE:
		return objects.Encryption{}, notImplemented(lowerName(sseHeader) + ": " + d.Algorithm)
	}
	return objects.Encryption{}, invalidArgument("The encryption method specified is not supported", lowerName(sseHeader), d.Algorithm)
}

// askedEncryption returns what the header asks for, or what the bucket does by default.
func (c *call) askedEncryption(ctx context.Context) (defaults, error) {
	d := defaults{Algorithm: c.header.Get(sseHeader), Key: c.header.Get(keyHeader)}
	for _, name := range []string{keyHeader, sseContext} {
		if c.header.Get(name) != "" && d.Algorithm != awsKMS && d.Algorithm != awsDSSE {
			return d, invalidArgument("Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms", lowerName(sseHeader), d.Algorithm)
		}
	}
	if d.Algorithm == "" {
		var err error
		if d, err = c.defaultsOf(ctx); err != nil {
			return d, err // or it would be stored in the clear
		}
	}
	if text := c.header.Get(sseBucketKey); text != "" {
		on, err := strconv.ParseBool(strings.ToLower(text))
		if err != nil {
			return d, invalidArgument(unknownValue(lowerName(sseBucketKey)), lowerName(sseBucketKey), text)
		}
		d.BucketKey = on
	}
	return d, nil
}

// keyed makes a data key under a KMS key.
func (c *call) keyed(ctx context.Context, d defaults) (objects.Encryption, error) {
	if err := c.signedForKMS(); err != nil {
		return objects.Encryption{}, err
	}
	e := objects.Encryption{Algorithm: awsKMS, Key: d.Key, BucketKey: d.BucketKey}
	arn := c.judge.ARN(c.bucket.Name, c.key)
	if d.BucketKey {
		arn = c.judge.ARN(c.bucket.Name, "")
	}
	given, err := c.givenContext(arn)
	if err != nil {
		return e, err
	}
	e.Context = ssekms.Context(given, arn)
	if e, err = c.opts.Encryption.MayEncrypt(ctx, c.KeyUser().In(c.bucket.Region), e); err != nil {
		return e, err
	}
	return c.opts.Objects.Encrypt(ctx, c.bucket.Account, e)
}

// givenContext reads the encryption context that the client adds.
func (c *call) givenContext(arn string) (given map[string]string, err error) {
	text := c.header.Get(sseContext)
	if text == "" {
		return nil, nil
	}
	decoded, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(decoded, &given)
	}
	if err != nil || !utf8.Valid(decoded) {
		return nil, invalidArgument("The header x-amz-server-side-encryption-context shall be Base64-encoded UTF-8 string holding JSON which represents a string-string map", lowerName(sseContext), text)
	}
	if named, ok := given[ssekms.ARNContext]; ok && named != arn {
		return nil, invalidArgument("The encryption context names another "+ssekms.ARNContext+" than "+arn, lowerName(sseContext), text)
	}
	return given, nil
}

// signedForKMS refuses requests whose senders S3 does not let use keys of a KMS.
func (c *call) signedForKMS() error {
	if _, version, _ := c.signature(); version == "AWS" || c.Principal.Kind == iam.Anonymous {
		return invalidArgument("Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4.", "Authorization", "null")
	}
	return nil
}

// mayOpen returns an error unless the caller may use the key that something is encrypted
// with.
func (c *call) mayOpen(ctx context.Context, e objects.Encryption) error {
	if !e.Encrypted() || c.opts.Encryption == nil {
		return nil // without a KMS, opening it says so
	}
	if err := c.signedForKMS(); err != nil {
		return err
	}
	return c.opts.Encryption.MayDecrypt(ctx, c.KeyUser(), e)
}

// showMadeEncryption is showEncryption for what a request has just begun or made: it says
// the context that the client has given, too.
func (c *call) showMadeEncryption(e objects.Encryption) {
	showEncryption(c.w.Header(), e)
	if given := c.header.Get(sseContext); given != "" && e.Encrypted() {
		c.w.Header().Set(sseContext, given)
	}
}

func lowerName(header string) string { return strings.ToLower(header) }

func lower(a objects.Algorithm) string { return strings.ToLower(string(a)) }
