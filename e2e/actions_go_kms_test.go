package e2e

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

const keyPolicy = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"kms:*","Resource":"*"}}`

func kmsTag(key, value string) types.Tag {
	return types.Tag{TagKey: &key, TagValue: &value}
}

func (s *service) askKMS(t *testing.T) {
	ctx, c, alias := t.Context(), s.kms(), aws.String("alias/walk")
	key := s.key(t, func(in *kms.CreateKeyInput) {
		in.Description, in.Tags = aws.String("d"), []types.Tag{kmsTag("a", "b")}
	})
	other, id := s.key(t, nil), key.KeyId
	says(t, "arn:aws:kms:us-east-1:000000000000:key/"+*id+" Enabled SYMMETRIC_DEFAULT d", key.Arn, key.KeyState, key.KeySpec, key.Description)
	must(c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: alias, TargetKeyId: id}))(t)
	must(c.UpdateAlias(ctx, &kms.UpdateAliasInput{AliasName: alias, TargetKeyId: other.KeyId}))(t)
	says(t, *other.KeyId, must(c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: alias}))(t).KeyMetadata.KeyId)
	says(t, "[alias/walk]", each(must(c.ListAliases(ctx, &kms.ListAliasesInput{KeyId: other.KeyId}))(t).Aliases, func(a types.AliasListEntry) *string { return a.AliasName }))
	must(c.DeleteAlias(ctx, &kms.DeleteAliasInput{AliasName: alias}))(t)
	refused(c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: alias}))(t, "NotFoundException")
	listed := strings.Join(each(must(c.ListKeys(ctx, &kms.ListKeysInput{}))(t).Keys, func(k types.KeyListEntry) *string { return k.KeyArn }), " ")
	if !strings.Contains(listed, *key.Arn) || !strings.Contains(listed, *other.Arn) {
		t.Errorf("keys %s", listed)
	}

	must(c.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionInput{KeyId: id, Description: aws.String("new")}))(t)
	must(c.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: id, Policy: aws.String(keyPolicy)}))(t)
	got := must(c.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: id}))(t)
	says(t, "default "+keyPolicy, got.PolicyName, got.Policy)
	says(t, "[default]", must(c.ListKeyPolicies(ctx, &kms.ListKeyPoliciesInput{KeyId: id}))(t).PolicyNames)
	says(t, "false", must(c.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: id}))(t).KeyRotationEnabled)
	must(c.TagResource(ctx, &kms.TagResourceInput{KeyId: id, Tags: []types.Tag{kmsTag("c", "d")}}))(t)
	must(c.UntagResource(ctx, &kms.UntagResourceInput{KeyId: id, TagKeys: []string{"a"}}))(t)
	says(t, "[c]", each(must(c.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: id}))(t).Tags, func(tag types.Tag) *string { return tag.TagKey }))
	s.askToEncrypt(t, key, other)
	s.askToRotate(t, id)

	must(c.DisableKey(ctx, &kms.DisableKeyInput{KeyId: id}))(t)
	refused(c.Encrypt(ctx, &kms.EncryptInput{KeyId: id, Plaintext: []byte("x")}))(t, "DisabledException")
	must(c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: id}))(t)
	going := must(c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: id, PendingWindowInDays: aws.Int32(7)}))(t)
	says(t, "PendingDeletion 7 "+*key.Arn, going.KeyState, going.PendingWindowInDays, going.KeyId)
	if left := time.Until(aws.ToTime(going.DeletionDate)); left < 6*24*time.Hour || left > 8*24*time.Hour {
		t.Errorf("it goes in %v", left)
	}
	says(t, *key.Arn, must(c.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: id}))(t).KeyId)
	now := must(c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key.Arn}))(t).KeyMetadata
	says(t, "Disabled new", now.KeyState, now.Description)
	s.discard(t, key, other)
}

func (s *service) askToRotate(t *testing.T, id *string) {
	ctx, c := t.Context(), s.kms()
	old := must(c.Encrypt(ctx, &kms.EncryptInput{KeyId: id, Plaintext: []byte("x")}))(t).CiphertextBlob
	must(c.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: id, RotationPeriodInDays: aws.Int32(90)}))(t)
	status := must(c.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: id}))(t)
	says(t, "true 90", status.KeyRotationEnabled, status.RotationPeriodInDays)
	must(c.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: id}))(t)
	says(t, "[ON_DEMAND]", each(must(c.ListKeyRotations(ctx, &kms.ListKeyRotationsInput{KeyId: id}))(t).Rotations, func(r types.RotationsListEntry) *string {
		return aws.String(string(r.RotationType))
	}))
	says(t, "x", string(must(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: old}))(t).Plaintext))
	must(c.DisableKeyRotation(ctx, &kms.DisableKeyRotationInput{KeyId: id}))(t)
}

// discard schedules keys to be deleted as soon as possible.
func (s *service) discard(t *testing.T, keys ...*types.KeyMetadata) {
	t.Helper()
	for _, k := range keys {
		must(s.kms().ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: k.KeyId, PendingWindowInDays: aws.Int32(7)}))(t)
	}
}

// askToEncrypt uses one key, and moves what it encrypted to the other.
func (s *service) askToEncrypt(t *testing.T, key, other *types.KeyMetadata) {
	ctx, c, bound := t.Context(), s.kms(), map[string]string{"for": "test"}
	encrypted := must(c.Encrypt(ctx, &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("attack at dawn"), EncryptionContext: bound}))(t)
	says(t, *key.Arn+" SYMMETRIC_DEFAULT", encrypted.KeyId, encrypted.EncryptionAlgorithm)
	refused(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: encrypted.CiphertextBlob}))(t, "InvalidCiphertextException")
	opened := must(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: encrypted.CiphertextBlob, EncryptionContext: bound}))(t)
	says(t, "attack at dawn "+*key.Arn, string(opened.Plaintext), opened.KeyId)
	moved := must(c.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: encrypted.CiphertextBlob, SourceEncryptionContext: bound, DestinationKeyId: other.KeyId}))(t)
	says(t, *key.Arn+" "+*other.Arn, moved.SourceKeyId, moved.KeyId)
	opened = must(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: moved.CiphertextBlob, KeyId: other.Arn}))(t)
	says(t, "attack at dawn", string(opened.Plaintext))

	data := must(c.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: key.KeyId, KeySpec: types.DataKeySpecAes256}))(t)
	opened = must(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: data.CiphertextBlob}))(t)
	if len(data.Plaintext) != 32 || !bytes.Equal(opened.Plaintext, data.Plaintext) {
		t.Errorf("a data key of %d bytes, which opened has %d", len(data.Plaintext), len(opened.Plaintext))
	}
	blind := must(c.GenerateDataKeyWithoutPlaintext(ctx, &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: key.KeyId, NumberOfBytes: aws.Int32(64)}))(t)
	says(t, "64", len(must(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blind.CiphertextBlob}))(t).Plaintext))
	says(t, "8", len(must(c.GenerateRandom(ctx, &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(8)}))(t).Plaintext))
}

func (s *service) askGrants(t *testing.T) {
	ctx, c, key, root := t.Context(), s.kms(), s.key(t, nil), aws.String("arn:aws:iam::000000000000:root")
	list := func() []string {
		return each(must(c.ListGrants(ctx, &kms.ListGrantsInput{KeyId: key.KeyId}))(t).Grants, func(g types.GrantListEntry) *string { return g.GrantId })
	}
	in := &kms.CreateGrantInput{KeyId: key.KeyId, GranteePrincipal: root, RetiringPrincipal: root, Operations: []types.GrantOperation{types.GrantOperationDecrypt}}
	made := must(c.CreateGrant(ctx, in))(t)
	says(t, "["+*made.GrantId+"]", list())
	must(c.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: key.KeyId, GrantId: made.GrantId}))(t)
	says(t, "[]", list())
	made = must(c.CreateGrant(ctx, in))(t)
	says(t, "["+*made.GrantId+"]", each(must(c.ListRetirableGrants(ctx, &kms.ListRetirableGrantsInput{RetiringPrincipal: root}))(t).Grants, func(g types.GrantListEntry) *string { return g.GrantId }))
	must(c.RetireGrant(ctx, &kms.RetireGrantInput{GrantToken: made.GrantToken}))(t)
	says(t, "[]", list())
	s.discard(t, key)
}
