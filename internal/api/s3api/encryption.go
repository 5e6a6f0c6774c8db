package s3api

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"strings"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/imports/objects"
)

// Encryption checks keys of a KMS for callers.
type Encryption interface {
	// MayEncrypt returns the ARN of the key that a request names (an ARN, an id or an
	// alias; empty: S3's own key of the account), if the caller may make data keys
	// with it.
	MayEncrypt(ctx context.Context, who kms.Caller, key string) (arn string, err error)
	// MayDecrypt returns an error unless the caller may open data keys of a key.
	MayDecrypt(ctx context.Context, who kms.Caller, key string) error
}

const awsKMS = "aws:kms"

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
	case d.Algorithm == awsKMS, d.Algorithm == "aws:kms:dsse":
		return notImplemented("SSEAlgorithm " + d.Algorithm)
	default:
		return malformedXML()
	}
	return c.writeSetting(ctx, encryptionSetting, d)
}

// encryption returns how an object that is put is to be encrypted, with a data key
// where it is.
func (c *call) encryption(ctx context.Context) (objects.Encryption, error) {
	const header = "X-Amz-Server-Side-Encryption"
	key, algorithm := c.header.Get(header+"-Aws-Kms-Key-Id"), c.header.Get(header)
	d := defaults{Algorithm: algorithm, Key: key, BucketKey: strings.EqualFold(c.header.Get(header+"-Bucket-Key-Enabled"), "true")}
	if algorithm == "" {
		if key != "" {
			return objects.Encryption{}, invalidArgument("x-amz-server-side-encryption-aws-kms-key-id requires x-amz-server-side-encryption: aws:kms", lowerName(header), "")
		}
		var err error
		if d, err = c.defaultsOf(ctx); err != nil {
			return objects.Encryption{}, err
		}
	}
	switch {
	case d.Algorithm == "AES256" && d.Key != "":
		return objects.Encryption{}, invalidArgument("The encryption method specified is not supported with a KMS key", lowerName(header), d.Algorithm)
	case d.Algorithm == "AES256":
		return objects.Encryption{}, nil
	case d.Algorithm == awsKMS && c.opts.Encryption != nil:
		return c.keyed(ctx, d)
	case d.Algorithm == awsKMS, d.Algorithm == "aws:kms:dsse":
		return objects.Encryption{}, notImplemented(lowerName(header) + ": " + d.Algorithm)
	}
	return objects.Encryption{}, invalidArgument("The encryption method specified is not supported", lowerName(header), d.Algorithm)
}

// keyed makes a data key under a KMS key.
func (c *call) keyed(ctx context.Context, d defaults) (objects.Encryption, error) {
	arn, err := c.opts.Encryption.MayEncrypt(ctx, c.KeyUser(), d.Key)
	if err != nil {
		return objects.Encryption{}, err
	}
	e := objects.Encryption{Algorithm: awsKMS, Key: arn, BucketKey: d.BucketKey}
	if text := c.header.Get("X-Amz-Server-Side-Encryption-Context"); text != "" {
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return e, invalidArgument("The header x-amz-server-side-encryption-context is not base64", "x-amz-server-side-encryption-context", text)
		}
		e.Context = string(decoded)
	}
	return c.opts.Objects.Encrypt(ctx, c.bucket.Account, e)
}

// mayOpen returns an error unless the caller may use the key that an object is
// encrypted with.
func (c *call) mayOpen(ctx context.Context, o objects.Object) error {
	if !o.Encryption.Encrypted() || c.opts.Encryption == nil {
		return nil // without a KMS, opening it says so
	}
	return c.opts.Encryption.MayDecrypt(ctx, c.KeyUser(), o.Encryption.Key)
}

func lowerName(header string) string { return strings.ToLower(header) }

func lower(a objects.Algorithm) string { return strings.ToLower(string(a)) }
