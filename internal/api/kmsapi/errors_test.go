package kmsapi

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/kms/kmstest"
	"github.com/diskport/diskport/internal/identity/policy"
)

const none = "12345678-1234-1234-1234-123456789012"

// TestCodes has a request for every row of the table of codes, and for everything
// that the edge itself refuses.
func TestCodes(t *testing.T) {
	b, ctx := open(t), t.Context()
	good, off, going := b.key(t, sdk.CreateKeyInput{}), b.key(t, sdk.CreateKeyInput{}), b.key(t, sdk.CreateKeyInput{})
	rsa := b.key(t, sdk.CreateKeyInput{})
	must[kms.Key](t)(kmstest.Asymmetric(ctx, b.store, kms.Key{Ref: kms.Ref{Account: *rsa.AWSAccountId, Region: "us-east-1", ID: *rsa.KeyId}}, "RSA_2048", kms.EncryptDecrypt))
	must[*sdk.DisableKeyOutput](t)(b.DisableKey(ctx, &sdk.DisableKeyInput{KeyId: off.KeyId}))
	must[*sdk.ScheduleKeyDeletionOutput](t)(b.ScheduleKeyDeletion(ctx, &sdk.ScheduleKeyDeletionInput{KeyId: going.KeyId}))
	must[*sdk.CreateAliasOutput](t)(b.CreateAlias(ctx, &sdk.CreateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: good.KeyId}))
	ciphertext := must[*sdk.EncryptOutput](t)(b.Encrypt(ctx, &sdk.EncryptInput{KeyId: good.KeyId, Plaintext: []byte("x")}))
	blob := base64.StdEncoding.EncodeToString(ciphertext.CiphertextBlob)
	key := func(k *types.KeyMetadata, more string) string { return `{"KeyId":"` + *k.KeyId + `"` + more + `}` }
	const grant = `,"GranteePrincipal":"arn:aws:iam::123456789012:user/ann","Operations":["Decrypt"]`
	covered := map[string]bool{}
	for _, c := range []struct{ action, body, code string }{
		{"DescribeKey", `{"KeyId":"` + none + `"}`, "NotFoundException"},
		{"DescribeKey", `{"KeyId":"alias/none"}`, "NotFoundException"},
		{"DescribeKey", `{"KeyId":"arn:aws:kms:eu-west-1:123456789012:key/` + none + `"}`, "NotFoundException"},
		{"GetKeyPolicy", key(good, `,"PolicyName":"x"`), "NotFoundException"},
		{"CreateAlias", `{"AliasName":"alias/a","TargetKeyId":"` + *good.KeyId + `"}`, "AlreadyExistsException"},
		{"DescribeKey", `{"KeyId":"arn:aws:kms:us-east-1:999999999999:key/` + none + `"}`, "AccessDeniedException"},
		{"Encrypt", key(off, `,"Plaintext":"eA=="`), "DisabledException"},
		{"GenerateDataKey", key(off, `,"KeySpec":"AES_256"`), "DisabledException"},
		{"Encrypt", key(going, `,"Plaintext":"eA=="`), "KMSInvalidStateException"},
		{"EnableKey", key(going, ""), "KMSInvalidStateException"},
		{"CancelKeyDeletion", key(good, ""), "KMSInvalidStateException"},
		{"Encrypt", key(rsa, `,"Plaintext":"eA=="`), "InvalidKeyUsageException"},
		{"Encrypt", key(good, `,"Plaintext":"eA==","EncryptionAlgorithm":"RSAES_OAEP_SHA_1"`), "InvalidKeyUsageException"},
		{"Decrypt", `{"CiphertextBlob":"` + blob + `","EncryptionAlgorithm":"RSAES_OAEP_SHA_1"}`, "InvalidKeyUsageException"},
		{"DescribeKey", `{"KeyId":"arn:aws:kms:us-east-1"}`, "InvalidArnException"},
		{"RetireGrant", key(good, `,"GrantId":"x"`), "InvalidArnException"},
		{"CreateAlias", `{"AliasName":"alias/aws/x","TargetKeyId":"` + *good.KeyId + `"}`, "NotAuthorizedException"},
		{"Decrypt", `{"CiphertextBlob":"eA=="}`, "InvalidCiphertextException"},
		{"Decrypt", `{"CiphertextBlob":"` + blob + `","EncryptionContext":{"a":"b"}}`, "InvalidCiphertextException"},
		{"Decrypt", `{"CiphertextBlob":"` + blob + `","KeyId":"` + *rsa.KeyId + `"}`, "IncorrectKeyException"},
		{"PutKeyPolicy", key(good, `,"Policy":"{}"`), "MalformedPolicyDocumentException"},
		{"PutKeyPolicy", key(good, ``), "ValidationException"},
		{"RevokeGrant", key(good, `,"GrantId":"x"`), "InvalidGrantIdException"},
		{"RevokeGrant", key(good, `,"GrantId":"`+strings.Repeat("0", 64)+`"`), "NotFoundException"},
		{"RetireGrant", `{"GrantToken":"x"}`, "InvalidGrantTokenException"},
		{"RetireGrant", `{"GrantToken":"x","GrantId":"y"}`, "ValidationException"},
		{"RetireGrant", `{}`, "ValidationException"},
		{"CreateGrant", key(good, strings.Replace(grant, "Decrypt", "Sign", 1)), "UnsupportedOperationException"},
		{"CreateGrant", key(good, grant+`,"DryRun":true`), "DryRunOperationException"},
		{"Encrypt", key(good, `,"Plaintext":"eA==","DryRun":true`), "DryRunOperationException"},
		{"Decrypt", `{"CiphertextBlob":"` + blob + `","DryRun":true}`, "DryRunOperationException"},
		{"ReEncrypt", `{"CiphertextBlob":"` + blob + `","DestinationKeyId":"alias/a","DryRun":true}`, "DryRunOperationException"},
		{"CreateKey", `{"KeySpec":"RSA_2048"}`, "ValidationException"},
		{"CreateKey", `{"KeySpec":"RSA_2048","CustomerMasterKeySpec":"HMAC_256"}`, "ValidationException"},
		{"CreateKey", `{"KeySpec":"RSA_2048","KeyUsage":"SIGN_VERIFY"}`, "UnsupportedOperationException"},
		{"CreateKey", `{"KeySpec":"SM2","KeyUsage":"SIGN_VERIFY"}`, "UnsupportedOperationException"},
		{"CreateKey", `{"CustomKeyStoreId":"x"}`, "UnsupportedOperationException"},
		{"Decrypt", `{"CiphertextBlob":"` + blob + `","Recipient":{}}`, "UnsupportedOperationException"},
		{"CreateKey", `{"Tags":[{"TagKey":"aws:x","TagValue":""}]}`, "TagException"},
		{"TagResource", key(good, `,"Tags":[`+strings.TrimSuffix(manyTags(51), ",")+`]`), "LimitExceededException"},
		{"TagResource", key(good, ""), "ValidationException"},
		{"UntagResource", key(good, ""), "ValidationException"},
		{"UpdateKeyDescription", key(good, ""), "ValidationException"},
		{"ScheduleKeyDeletion", key(good, `,"PendingWindowInDays":0`), "ValidationException"},
		{"GenerateDataKey", key(good, ""), "ValidationException"},
		{"GenerateDataKey", key(good, `,"KeySpec":"AES_512"`), "ValidationException"},
		{"GenerateDataKey", key(good, `,"KeySpec":"AES_256","NumberOfBytes":1`), "ValidationException"},
		{"GenerateRandom", `{"NumberOfBytes":1025}`, "ValidationException"},
		{"GenerateRandom", `{}`, "ValidationException"},
		{"GetKeyRotationStatus", key(rsa, ""), "UnsupportedOperationException"},
		{"EnableKey", `{}`, "ValidationException"},
		{"EnableKey", ``, "ValidationException"},
		{"EnableKey", `[`, "SerializationException"},
		{"EnableKey", `{"KeyId":1}`, "SerializationException"},
		{"EnableKey", `{} {}`, "SerializationException"},
		{"ListKeys", `{"Marker":"?"}`, "InvalidMarkerException"},
	} {
		w := b.direct(root, "TrentService."+c.action, c.body)
		if w.Code != 400 || !strings.Contains(w.Body.String(), `"__type":"`+c.code+`"`) || w.Header().Get("X-Amzn-Errortype") != c.code {
			t.Errorf("%s %.120s: %d %s, want %s", c.action, c.body, w.Code, w.Body, c.code)
		}
		covered[c.code] = true
	}
	for _, row := range codes {
		if !covered[row.code] {
			t.Errorf("no request for %s", row.code)
		}
	}
}

func manyTags(n int) string {
	var s strings.Builder
	for i := range n {
		s.WriteString(`{"TagKey":"` + strings.Repeat("k", i+1) + `","TagValue":""},`)
	}
	return s.String()
}

// TestEveryActionIsAuthorised calls every action as a user without policies.
func TestEveryActionIsAuthorised(t *testing.T) {
	b := open(t)
	k := b.key(t, sdk.CreateKeyInput{})
	must[*sdk.CreateAliasOutput](t)(b.CreateAlias(t.Context(), &sdk.CreateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: k.KeyId}))
	ciphertext := must[*sdk.EncryptOutput](t)(b.Encrypt(t.Context(), &sdk.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")}))
	blob := base64.StdEncoding.EncodeToString(ciphertext.CiphertextBlob)
	bodies := map[string]string{
		"CreateKey": "{}", "ListKeys": "{}", "GenerateRandom": "{}", "ListRetirableGrants": "{}", "ListAliases": "{}",
		"CreateAlias": `{"AliasName":"alias/b","TargetKeyId":"` + *k.KeyId + `"}`, "UpdateAlias": `{"AliasName":"alias/a","TargetKeyId":"` + *k.KeyId + `"}`,
		"DeleteAlias": `{"AliasName":"alias/a"}`, "RetireGrant": `{"KeyId":"` + *k.Arn + `","GrantId":"` + strings.Repeat("0", 64) + `"}`,
		"Decrypt": `{"CiphertextBlob":"` + blob + `"}`, "ReEncrypt": `{"CiphertextBlob":"` + blob + `","DestinationKeyId":"` + *k.KeyId + `"}`,
	}
	ann := iam.Principal{Account: account, ARN: "arn:aws:iam::123456789012:user/ann", Kind: iam.User, Name: "ann"}
	for name := range actions {
		body, ok := bodies[name]
		if !ok {
			body = `{"KeyId":"` + *k.KeyId + `"}`
		}
		permission := name
		if name == "ReEncrypt" {
			permission = "ReEncryptFrom"
		}
		w := b.direct(ann, "TrentService."+name, body)
		if w.Code != 400 || !strings.Contains(w.Body.String(), `"__type":"AccessDeniedException"`) || !strings.Contains(w.Body.String(), "not authorized to perform: kms:"+permission+" ") {
			t.Errorf("%s by a user without policies: %d %s", name, w.Code, w.Body)
		}
	}
	d, err := policy.Parse(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:UpdateAlias","Resource":"arn:aws:kms:*:*:alias/*"}}`, policy.Identity)
	if err != nil {
		t.Fatal(err)
	}
	if w := b.direct(ann.WithPolicies(d), "TrentService.UpdateAlias", bodies["UpdateAlias"]); w.Code != 400 || !strings.Contains(w.Body.String(), *k.Arn) {
		t.Errorf("an alias without a permission on its key: %d %s", w.Code, w.Body)
	}
}

// TestTablesCoverTheSDK calls every operation that the SDK's client has.
func TestTablesCoverTheSDK(t *testing.T) {
	b := open(t)
	left := strings.Fields(unsupported)
	client := reflect.TypeFor[*sdk.Client]()
	for i := range client.NumMethod() {
		m := client.Method(i)
		if m.Type.NumIn() != 4 || m.Type.In(1) != reflect.TypeFor[context.Context]() {
			continue
		}
		_, served := actions[m.Name]
		if served == slices.Contains(left, m.Name) {
			t.Errorf("%s must be in one of the tables", m.Name)
		}
		left = slices.DeleteFunc(left, func(name string) bool { return name == m.Name })
		w := b.direct(root, "TrentService."+m.Name, "{}")
		refused := strings.Contains(w.Body.String(), "The operation "+m.Name+" is not supported.")
		if refused == served || refused && !strings.Contains(w.Body.String(), "UnsupportedOperationException") {
			t.Errorf("%s: %d %s", m.Name, w.Code, w.Body)
		}
	}
	if len(left) > 0 {
		t.Errorf("KMS has no %v", left)
	}
}

func TestUnknownTargets(t *testing.T) {
	b := open(t)
	for _, target := range []string{"", "ListKeys", "TrentService.", "TrentService.Nope", "trentservice.ListKeys", strings.Repeat("<", 5000)} {
		w := b.direct(root, target, "{}")
		if w.Code != 400 || !strings.Contains(w.Body.String(), "UnknownOperationException") || w.Body.Len() > 200 {
			t.Errorf("%.40q: %d %.300s", target, w.Code, w.Body)
		}
	}
}

// brokenStore is a store whose database fails.
type brokenStore struct{ kmstest.Memory }

func (*brokenStore) Keys(context.Context, string, string) ([]kms.Key, error) {
	return nil, errors.New("disk on fire")
}

func TestInternalErrorsStayInside(t *testing.T) {
	b := open(t)
	b.edge.opts.Service = kms.New(kms.Options{Store: &brokenStore{}})
	w := b.direct(root, "TrentService.ListKeys", "{}")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "fire") || !strings.Contains(w.Body.String(), "KMSInternalException") || !strings.Contains(b.log.String(), "disk on fire") {
		t.Errorf("%d %s; log %s", w.Code, w.Body, b.log)
	}
}

// TestBytes compares responses byte for byte, except for ids.
func TestBytes(t *testing.T) {
	b := open(t)
	w := b.direct(root, "TrentService.CreateKey", `{"Description":"d"}`)
	text := w.Body.String()
	for _, part := range []string{
		`{"KeyMetadata":{"AWSAccountId":"123456789012","Arn":"arn:aws:kms:us-east-1:123456789012:key/`, `,"CreationDate":`,
		`,"CustomerMasterKeySpec":"SYMMETRIC_DEFAULT","Description":"d","Enabled":true,"EncryptionAlgorithms":["SYMMETRIC_DEFAULT"],"KeyId":"`,
		`"KeyManager":"CUSTOMER","KeySpec":"SYMMETRIC_DEFAULT","KeyState":"Enabled","KeyUsage":"ENCRYPT_DECRYPT","MultiRegion":false,"Origin":"AWS_KMS"}}`,
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%s lacks\n%s", text, part)
		}
	}
	if w.Header().Get("Content-Type") != "application/x-amz-json-1.1" {
		t.Errorf("content type %s", w.Header().Get("Content-Type"))
	}
	w = b.direct(root, "TrentService.ListGrants", `{"KeyId":"`+*b.key(t, sdk.CreateKeyInput{}).KeyId+`"}`)
	if want := `{"Grants":[],"Truncated":false}`; w.Body.String() != want {
		t.Errorf("got %s, want %s", w.Body, want)
	}
	w = b.direct(root, "TrentService.EnableKey", `{"KeyId":"`+*b.key(t, sdk.CreateKeyInput{}).KeyId+`"}`)
	if w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("enabled: %d %s", w.Code, w.Body)
	}
}

func FuzzBodies(f *testing.F) {
	names, b := slices.Sorted(maps.Keys(actions)), open(f)
	for i, seed := range []string{`{}`, `{"KeyId":"alias/a"}`, `{"CiphertextBlob":"RFBLQwE="}`, `{"Tags":[{}],"Limit":-1}`, `{"GrantToken":"x"}`, `null`, `[[`} {
		f.Add(byte(i), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		name := names[int(which)%len(names)]
		if w := b.direct(root, "TrentService."+name, string(body)); w.Code != 200 && w.Code != 400 {
			t.Errorf("%s %q: %d %s; %s", name, body, w.Code, w.Body, b.log)
		}
	})
}
