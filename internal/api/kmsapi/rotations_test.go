package kmsapi

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// TestRotation makes the calls that Terraform makes for a key with rotation, and some
// that it does not make.
func TestRotation(t *testing.T) {
	b, ctx := open(t), t.Context()
	k := b.key(t, sdk.CreateKeyInput{})
	status := func() *sdk.GetKeyRotationStatusOutput {
		t.Helper()
		return must[*sdk.GetKeyRotationStatusOutput](t)(b.GetKeyRotationStatus(ctx, &sdk.GetKeyRotationStatusInput{KeyId: k.KeyId}))
	}
	if s := status(); s.KeyRotationEnabled || s.RotationPeriodInDays != nil || s.NextRotationDate != nil {
		t.Errorf("a new key: %+v", s)
	}
	must[*sdk.EnableKeyRotationOutput](t)(b.EnableKeyRotation(ctx, &sdk.EnableKeyRotationInput{KeyId: k.KeyId}))
	if s := status(); !s.KeyRotationEnabled || *s.RotationPeriodInDays != 365 || *s.KeyId != *k.Arn || s.NextRotationDate.Sub(b.now.Add(365*24*time.Hour)).Abs() > time.Second {
		t.Errorf("enabled: %+v", s)
	}
	must[*sdk.EnableKeyRotationOutput](t)(b.EnableKeyRotation(ctx, &sdk.EnableKeyRotationInput{KeyId: k.KeyId, RotationPeriodInDays: aws.Int32(90)}))
	if s := status(); *s.RotationPeriodInDays != 90 {
		t.Errorf("every 90 days: %+v", s)
	}
	first := must[*sdk.EncryptOutput](t)(b.Encrypt(ctx, &sdk.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")})).CiphertextBlob
	rotated := must[*sdk.RotateKeyOnDemandOutput](t)(b.RotateKeyOnDemand(ctx, &sdk.RotateKeyOnDemandInput{KeyId: k.KeyId}))
	b.now = b.now.Add(90 * 24 * time.Hour)
	if n, err := b.edge.opts.Service.RotateOverdue(ctx); n != 1 || err != nil || *rotated.KeyId != *k.Arn {
		t.Errorf("rotated %s, and %d in time, %v", *rotated.KeyId, n, err)
	}
	list := must[*sdk.ListKeyRotationsOutput](t)(b.ListKeyRotations(ctx, &sdk.ListKeyRotationsInput{KeyId: k.KeyId})).Rotations
	if len(list) != 2 || list[0].RotationType != types.RotationTypeOnDemand || list[1].RotationType != types.RotationTypeAutomatic ||
		list[1].KeyMaterialState != types.KeyMaterialStateCurrent || list[0].KeyMaterialState != types.KeyMaterialStateNonCurrent || list[1].RotationDate.Sub(b.now).Abs() > time.Second {
		t.Fatalf("rotations %+v", list)
	}
	all := must[*sdk.ListKeyRotationsOutput](t)(b.ListKeyRotations(ctx, &sdk.ListKeyRotationsInput{KeyId: k.KeyId, IncludeKeyMaterial: types.IncludeKeyMaterialAllKeyMaterial})).Rotations
	if len(all) != 3 || all[0].RotationDate != nil {
		t.Errorf("materials %+v", all)
	}
	n := 0
	for pages := sdk.NewListKeyRotationsPaginator(b.Client, &sdk.ListKeyRotationsInput{KeyId: k.KeyId, Limit: aws.Int32(1)}); pages.HasMorePages(); n++ {
		if got := must[*sdk.ListKeyRotationsOutput](t)(pages.NextPage(ctx)).Rotations; len(got) != 1 || *got[0].KeyMaterialId != *list[n].KeyMaterialId {
			t.Errorf("page %d: %+v", n, got)
		}
	}
	if n != 2 {
		t.Errorf("%d pages", n)
	}
	now := must[*sdk.DescribeKeyOutput](t)(b.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: k.KeyId})).KeyMetadata
	old := must[*sdk.DecryptOutput](t)(b.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: first}))
	if !bytes.Equal(old.Plaintext, []byte("x")) || *old.KeyMaterialId != *all[0].KeyMaterialId || *now.CurrentKeyMaterialId != *all[2].KeyMaterialId {
		t.Errorf("decrypted %+v, described %+v", old, now)
	}
	moved := must[*sdk.ReEncryptOutput](t)(b.ReEncrypt(ctx, &sdk.ReEncryptInput{CiphertextBlob: first, DestinationKeyId: k.KeyId}))
	if *moved.SourceKeyMaterialId != *all[0].KeyMaterialId || *moved.DestinationKeyMaterialId != *all[2].KeyMaterialId || bytes.Equal(moved.CiphertextBlob, first) {
		t.Errorf("encrypted anew: %+v", moved)
	}
	must[*sdk.DisableKeyRotationOutput](t)(b.DisableKeyRotation(ctx, &sdk.DisableKeyRotationInput{KeyId: k.KeyId}))
	if s := status(); s.KeyRotationEnabled || s.RotationPeriodInDays != nil {
		t.Errorf("disabled: %+v", s)
	}
	_, err := b.EnableKeyRotation(ctx, &sdk.EnableKeyRotationInput{KeyId: aws.String("alias/aws/ebs")})
	refused(t, "by an alias", err, "NotFoundException")
}

func TestRetirableGrants(t *testing.T) {
	b, ctx := open(t), t.Context()
	ann, bob := aws.String("arn:aws:iam::123456789012:user/ann"), aws.String("arn:aws:iam::123456789012:user/bob")
	want := map[string]bool{}
	for _, retiring := range []*string{ann, bob, ann, nil, ann} {
		k := b.key(t, sdk.CreateKeyInput{})
		made := must[*sdk.CreateGrantOutput](t)(b.CreateGrant(ctx, &sdk.CreateGrantInput{
			KeyId: k.KeyId, GranteePrincipal: bob, RetiringPrincipal: retiring, Operations: []types.GrantOperation{types.GrantOperationDecrypt},
		}))
		if retiring == ann {
			want[*made.GrantId] = true
		}
	}
	n := 0
	for pages := sdk.NewListRetirableGrantsPaginator(b.Client, &sdk.ListRetirableGrantsInput{RetiringPrincipal: ann, Limit: aws.Int32(2)}); pages.HasMorePages(); n++ {
		for _, g := range must[*sdk.ListRetirableGrantsOutput](t)(pages.NextPage(ctx)).Grants {
			if !want[*g.GrantId] || *g.RetiringPrincipal != *ann {
				t.Errorf("listed %+v", g)
			}
			delete(want, *g.GrantId)
		}
	}
	if n != 2 || len(want) != 0 {
		t.Errorf("%d pages lack %v", n, want)
	}
	_, err := b.ListRetirableGrants(ctx, &sdk.ListRetirableGrantsInput{RetiringPrincipal: aws.String("ann")})
	refused(t, "no ARN", err, "InvalidArnException")
}

// TestTexts compares what KMS says about parameters that it does not take.
func TestTexts(t *testing.T) {
	b := open(t)
	key := `"KeyId":"` + *b.key(t, sdk.CreateKeyInput{}).KeyId + `"`
	target := strings.Replace(key, "KeyId", "TargetKeyId", 1)
	const of = "1 validation error detected: Value "
	for _, c := range []struct{ action, body, code, text string }{
		{"CreateAlias", `{"AliasName":"x",` + target + `}`, "ValidationException", "Alias must start with the prefix \\\"alias/\\\". Please see"},
		{"CreateAlias", `{"AliasName":"alias/",` + target + `}`, "ValidationException", "Invalid identifier"},
		{"CreateAlias", `{"AliasName":"alias/a:b",` + target + `}`, "ValidationException", "alias/a:b contains invalid characters for an alias"},
		{"CreateAlias", `{"AliasName":"alias/a!",` + target + `}`, "ValidationException", of + "'alias/a!' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"},
		{"CreateAlias", `{"AliasName":"alias/` + strings.Repeat("a", 251) + `",` + target + `}`, "ValidationException", "at 'aliasName' failed to satisfy constraint: Member must have length less than or equal to 256"},
		{"CreateAlias", `{"AliasName":"alias/aws/x",` + target + `}`, "NotAuthorizedException", ""},
		{"CreateKey", `{"Description":"` + strings.Repeat("d", 8193) + `"}`, "ValidationException", "at 'description' failed to satisfy constraint: Member must have length less than or equal to 8192"},
		{"CreateKey", `{"Tags":[{"TagKey":"a","TagValue":""},{"TagKey":"` + strings.Repeat("k", 129) + `","TagValue":""}]}`, "ValidationException", "at 'tags.2.member.tagKey' failed to satisfy constraint: Member must have length less than or equal to 128"},
		{"TagResource", `{` + key + `,"Tags":[{"TagKey":"a","TagValue":"` + strings.Repeat("v", 257) + `"}]}`, "ValidationException", "at 'tags.1.member.tagValue' failed to satisfy constraint: Member must have length less than or equal to 256"},
		{"Encrypt", `{` + key + `,"Plaintext":""}`, "ValidationException", of + "at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"Encrypt", `{` + key + `,"Plaintext":"` + strings.Repeat("AAAA", 1366) + `"}`, "ValidationException", of + "at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		{"ScheduleKeyDeletion", `{` + key + `,"PendingWindowInDays":6}`, "ValidationException", "PendingWindowInDays must be between 7 and 30"},
		{"ScheduleKeyDeletion", `{` + key + `,"PendingWindowInDays":31}`, "ValidationException", "PendingWindowInDays must be between 7 and 30"},
		{"GenerateRandom", `{"NumberOfBytes":0}`, "ValidationException", of + "'0' at 'numberOfBytes' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"GenerateDataKey", `{` + key + `,"NumberOfBytes":1025}`, "ValidationException", of + "'1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024"},
		{"EnableKeyRotation", `{` + key + `,"RotationPeriodInDays":89}`, "ValidationException", of + "'89' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value greater than or equal to 90"},
		{"EnableKeyRotation", `{` + key + `,"RotationPeriodInDays":0}`, "ValidationException", "greater than or equal to 90"},
		{"ListKeys", `{"Limit":1001}`, "ValidationException", of + "'1001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 1000"},
		{"ListKeyRotations", `{` + key + `,"IncludeKeyMaterial":"SOME"}`, "ValidationException", "Member must satisfy enum value set: [ALL_KEY_MATERIAL, ROTATIONS_ONLY]"},
		{"CreateKey", `{"KeySpec":"FOO"}`, "ValidationException", of + "'FOO' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [ECC_NIST_EDWARDS25519, ECC_NIST_P256,"},
		{"PutKeyPolicy", `{` + key + `,"Policy":"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"ann\"},\"Action\":\"kms:*\",\"Resource\":\"*\"}}"}`, "MalformedPolicyDocumentException", "Policy contains a statement with one or more invalid principals."},
		{"DeriveSharedSecret", `{}`, "UnsupportedOperationException", "The operation DeriveSharedSecret is not supported."},
		{"Nope", `{}`, "UnknownOperationException", ""},
	} {
		w := b.direct(root, "TrentService."+c.action, c.body)
		if w.Code != 400 || !strings.Contains(w.Body.String(), `"__type":"`+c.code+`"`) || !strings.Contains(w.Body.String(), c.text) {
			t.Errorf("%s %.120s: %d %s, want %s %s", c.action, c.body, w.Code, w.Body, c.code, c.text)
		}
	}
}
