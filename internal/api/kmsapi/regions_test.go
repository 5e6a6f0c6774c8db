package kmsapi

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// TestKeysOfAnotherRegion: keys, aliases, grants and ciphertexts of one region are of no
// use in another.
func TestKeysOfAnotherRegion(t *testing.T) {
	b, ctx := open(t), t.Context()
	there := func(o *sdk.Options) { o.Region = "eu-west-1" }
	k := b.key(t, sdk.CreateKeyInput{})
	must[*sdk.CreateAliasOutput](t)(b.CreateAlias(ctx, &sdk.CreateAliasInput{AliasName: aws.String("alias/k"), TargetKeyId: k.KeyId}))
	encrypted := must[*sdk.EncryptOutput](t)(b.Encrypt(ctx, &sdk.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")}))
	grant := must[*sdk.CreateGrantOutput](t)(b.CreateGrant(ctx, &sdk.CreateGrantInput{
		KeyId: k.KeyId, GranteePrincipal: aws.String("arn:aws:iam::" + account + ":user/ann"), Operations: []types.GrantOperation{types.GrantOperationDecrypt},
	}))
	alias := aws.String("alias/k")
	for name, id := range map[string]*string{"id": k.KeyId, "ARN": k.Arn, "alias": alias, "ARN of an alias": aws.String("arn:aws:kms:us-east-1:" + account + ":alias/k")} {
		_, err := b.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: id}, there)
		refused(t, "describe by "+name, err, "NotFoundException")
		_, err = b.Encrypt(ctx, &sdk.EncryptInput{KeyId: id, Plaintext: []byte("x")}, there)
		refused(t, "encrypt by "+name, err, "NotFoundException")
	}
	_, err := b.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: encrypted.CiphertextBlob}, there)
	refused(t, "decrypt", err, "AccessDeniedException")
	_, err = b.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: encrypted.CiphertextBlob, KeyId: k.Arn}, there)
	refused(t, "decrypt by ARN", err, "NotFoundException")
	_, err = b.ScheduleKeyDeletion(ctx, &sdk.ScheduleKeyDeletionInput{KeyId: k.Arn}, there)
	refused(t, "schedule deletion", err, "NotFoundException")
	_, err = b.RetireGrant(ctx, &sdk.RetireGrantInput{GrantToken: grant.GrantToken}, there)
	refused(t, "retire by token", err, "NotFoundException")
	_, err = b.RetireGrant(ctx, &sdk.RetireGrantInput{KeyId: k.Arn, GrantId: grant.GrantId}, there)
	refused(t, "retire by ARN", err, "NotFoundException")
	if list := must[*sdk.ListKeysOutput](t)(b.ListKeys(ctx, &sdk.ListKeysInput{}, there)); len(list.Keys) != 0 {
		t.Errorf("listed %+v", list.Keys)
	}
	if list := must[*sdk.ListAliasesOutput](t)(b.ListAliases(ctx, &sdk.ListAliasesInput{}, there)); len(list.Aliases) != 2 || *list.Aliases[0].AliasName != "alias/aws/ebs" || *list.Aliases[1].AliasName != "alias/aws/s3" {
		t.Errorf("listed %+v", list.Aliases)
	}
	other := must[*sdk.CreateKeyOutput](t)(b.CreateKey(ctx, &sdk.CreateKeyInput{}, there))
	must[*sdk.CreateAliasOutput](t)(b.CreateAlias(ctx, &sdk.CreateAliasInput{AliasName: alias, TargetKeyId: other.KeyMetadata.KeyId}, there))
	if got := must[*sdk.DescribeKeyOutput](t)(b.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: alias})); *got.KeyMetadata.Arn != *k.Arn {
		t.Errorf("the alias stands for %s", *got.KeyMetadata.Arn)
	}
}
