package kmsapi

import (
	"flag"
	"regexp"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/diskport/diskport/internal/api/awshttp/wiretest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden compares what goes over the wire with the golden files.
func TestGolden(t *testing.T) {
	b, ctx := open(t), t.Context()
	wire := &wiretest.Recorder{
		Headers: []string{"Content-Type", "X-Amz-Target", "X-Amzn-Errortype"},
		Update:  *update,
		Masks: []wiretest.Mask{
			{Pattern: regexp.MustCompile(`(KeyMaterialId": ?")[0-9a-f]{64}`), With: "$1(material)"},
			{Pattern: regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), With: "00000000-1111-2222-3333-444444444444"},
			{Pattern: regexp.MustCompile(`("(?:CreationDate|DeletionDate|LastUpdatedDate)":) ?(?:[0-9.E]+|"[^"]+")`), With: "$1 (time)"},
			{Pattern: regexp.MustCompile(`("(?:CiphertextBlob|GrantToken)": ?)"[^"]{40,}"`), With: "$1(bytes)"},
			{Pattern: regexp.MustCompile(`("GrantId": ?)"[^"]+"`), With: "$1(id)"},
		},
	}
	c := sdk.New(b.Options(), func(o *sdk.Options) { o.HTTPClient = wire })

	key, err := c.CreateKey(ctx, &sdk.CreateKeyInput{Description: aws.String("disks"), Tags: []types.Tag{{TagKey: aws.String("k"), TagValue: aws.String("v")}}})
	wire.Check(t, "create-key", key, err)
	id := key.KeyMetadata.KeyId
	alias, err := c.CreateAlias(ctx, &sdk.CreateAliasInput{AliasName: aws.String("alias/disks"), TargetKeyId: id})
	wire.Check(t, "create-alias", alias, err)
	described, err := c.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: aws.String("alias/disks")})
	wire.Check(t, "describe-key", described, err)
	described, err = c.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: aws.String("alias/none")})
	wire.Check(t, "describe-key-unknown", described, err)
	aliases, err := c.ListAliases(ctx, &sdk.ListAliasesInput{KeyId: id})
	wire.Check(t, "list-aliases", aliases, err)
	tags, err := c.ListResourceTags(ctx, &sdk.ListResourceTagsInput{KeyId: id})
	wire.Check(t, "list-resource-tags", tags, err)
	policy, err := c.GetKeyPolicy(ctx, &sdk.GetKeyPolicyInput{KeyId: id})
	wire.Check(t, "get-key-policy", policy, err)
	context := map[string]string{"aws:ebs:id": "snap-0123456789abcdef0"}
	data, err := c.GenerateDataKeyWithoutPlaintext(ctx, &sdk.GenerateDataKeyWithoutPlaintextInput{KeyId: id, NumberOfBytes: aws.Int32(64), EncryptionContext: context})
	wire.Check(t, "generate-data-key-without-plaintext", data, err)
	ciphertext, err := c.Encrypt(ctx, &sdk.EncryptInput{KeyId: id, Plaintext: []byte("attack at dawn"), EncryptionContext: context})
	wire.Check(t, "encrypt", ciphertext, err)
	opened, err := c.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: ciphertext.CiphertextBlob, EncryptionContext: context})
	wire.Check(t, "decrypt", opened, err)
	opened, err = c.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: ciphertext.CiphertextBlob})
	wire.Check(t, "decrypt-other-context", opened, err)
	grant, err := c.CreateGrant(ctx, &sdk.CreateGrantInput{
		KeyId: id, GranteePrincipal: aws.String("arn:aws:iam::" + account + ":role/vmimport"),
		Operations: []types.GrantOperation{types.GrantOperationDecrypt, types.GrantOperationGenerateDataKeyWithoutPlaintext},
	})
	wire.Check(t, "create-grant", grant, err)
	disabled, err := c.DisableKey(ctx, &sdk.DisableKeyInput{KeyId: id})
	wire.Check(t, "disable-key", disabled, err)
	ciphertext, err = c.Encrypt(ctx, &sdk.EncryptInput{KeyId: id, Plaintext: []byte("x")})
	wire.Check(t, "encrypt-disabled", ciphertext, err)
	deleted, err := c.ScheduleKeyDeletion(ctx, &sdk.ScheduleKeyDeletionInput{KeyId: id, PendingWindowInDays: aws.Int32(7)})
	wire.Check(t, "schedule-key-deletion", deleted, err)
	signed, err := c.Sign(ctx, &sdk.SignInput{KeyId: id, Message: []byte("x"), SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256})
	wire.Check(t, "not-built", signed, err)
}
