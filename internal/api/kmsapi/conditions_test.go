package kmsapi

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
)

// TestConditionKeys: for each condition key that AWS sets for an action, a Deny
// that tests it holds.
func TestConditionKeys(t *testing.T) {
	b := open(t)
	k := b.key(t, sdk.CreateKeyInput{})
	ciphertext := must[*sdk.EncryptOutput](t)(b.Encrypt(t.Context(), &sdk.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")}))
	blob := `"CiphertextBlob":"` + base64.StdEncoding.EncodeToString(ciphertext.CiphertextBlob) + `"`
	key := `"KeyId":"` + *k.KeyId + `"`
	encryptIt := `{` + key + `,"Plaintext":"eA==","EncryptionContext":{"Owner":"ann","owner":"bob"}}`
	for _, c := range []struct {
		action, condition, body string
		denied                  bool
	}{
		{"Encrypt", `"StringEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}`, `{` + key + `,"Plaintext":"eA=="}`, true},
		{"Encrypt", `"StringEquals":{"kms:EncryptionAlgorithm":"RSAES_OAEP_SHA_1"}`, `{` + key + `,"Plaintext":"eA=="}`, false},
		{"Encrypt", `"StringEquals":{"kms:EncryptionContext:owner":"carl"}`, encryptIt, true},
		{"Encrypt", `"StringEquals":{"kms:CustomerMasterKeySpec":"SYMMETRIC_DEFAULT"}`, `{` + key + `,"Plaintext":"eA=="}`, true},
		{"Encrypt", `"Bool":{"aws:ViaAWSService":"false"}`, `{` + key + `,"Plaintext":"eA=="}`, true},
		{"Decrypt", `"StringEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}`, `{` + blob + `}`, true},
		{"ReEncryptTo", `"StringEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}`, `{` + blob + `,"DestinationKeyId":"` + *k.KeyId + `"}`, true},
		{"ReEncryptFrom", `"StringEquals":{"kms:EncryptionContext:a":"b"}`, `{` + blob + `,"DestinationKeyId":"` + *k.KeyId + `"}`, false},
		{"ListGrants", `"Bool":{"kms:GrantIsForAWSResource":"false"}`, `{` + key + `}`, true},
		{"RevokeGrant", `"Bool":{"kms:GrantIsForAWSResource":"false"}`, `{` + key + `,"GrantId":"` + strings.Repeat("0", 64) + `"}`, true},
		{"ScheduleKeyDeletion", `"NumericLessThan":{"kms:ScheduleKeyDeletionPendingWindowInDays":"30"}`, `{` + key + `,"PendingWindowInDays":7}`, true},
		{"ScheduleKeyDeletion", `"NumericLessThan":{"kms:ScheduleKeyDeletionPendingWindowInDays":"30"}`, `{` + key + `}`, false},
		{"CreateKey", `"StringEquals":{"kms:CustomerMasterKeyUsage":"ENCRYPT_DECRYPT"}`, `{}`, true},
		{"CreateKey", `"StringEquals":{"aws:RequestTag/owner":"carl"}`, `{"Tags":[{"TagKey":"owner","TagValue":"ann"},{"TagKey":"Owner","TagValue":"bob"}]}`, true},
	} {
		d, err := policy.Parse(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
			{"Effect":"Deny","Action":"kms:`+c.action+`","Resource":"*","Condition":{`+c.condition+`}}]}`, policy.Identity)
		if err != nil {
			t.Fatal(err)
		}
		ann := iam.Principal{Account: account, ARN: "arn:aws:iam::" + aws.ToString(k.AWSAccountId) + ":user/ann", Kind: iam.User, Name: "ann"}
		call := strings.TrimSuffix(strings.TrimSuffix(c.action, "From"), "To")
		w := b.direct(ann.WithPolicies(d), "TrentService."+call, c.body)
		if denied := strings.Contains(w.Body.String(), "explicit deny"); denied != c.denied {
			t.Errorf("%s if %s: denied %v, want %v: %d %s", c.action, c.condition, denied, c.denied, w.Code, w.Body)
		}
	}
}
