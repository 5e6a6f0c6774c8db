package kmsapi

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/awshttp/wiretest"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/kms/kmstest"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/identity/sigv4"
)

const account, region = "123456789012", "us-east-1"

// keys know one root key.
type keys struct{}

func (keys) Lookup(_ context.Context, id, _ string) (iam.Principal, sigv4.Secret, error) {
	if id != "AKIAROOT" {
		return iam.Principal{}, sigv4.Secret{}, iam.ErrUnknownKey
	}
	return root, sigv4.NewSecret("secret"), nil
}

var root = iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":root", Kind: iam.Root, ID: account}

// bench is the edge behind the front chain, and an SDK client for it.
type bench struct {
	*sdk.Client
	edge  *Edge
	log   *bytes.Buffer
	store *kmstest.Memory
	now   time.Time
}

func open(t testing.TB) *bench {
	t.Helper()
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{log: &bytes.Buffer{}, store: &kmstest.Memory{}, now: time.Now()}
	log := slog.New(slog.NewTextHandler(b.log, nil))
	b.edge = New(Options{Log: log, Service: kms.New(kms.Options{Store: b.store, Wrapper: master, Principals: kmstest.Names{}, Now: func() time.Time { return b.now }})})
	srv := httptest.NewServer(awshttp.New(awshttp.Options{
		Regions: wiretest.Regions("us-east-1"),
		Edges:   map[string]awshttp.Edge{awshttp.KMS: b.edge}, Keys: keys{}, Log: log, Metrics: prometheus.NewRegistry(),
	}))
	t.Cleanup(srv.Close)
	b.Client = sdk.NewFromConfig(aws.Config{
		Region: region, BaseEndpoint: &srv.URL, Retryer: wiretest.Once,
		Credentials: credentials.NewStaticCredentialsProvider("AKIAROOT", "secret", ""),
	})
	return b
}

// must returns the result of a call that has to succeed.
func must[T any](t *testing.T) func(T, error) T {
	return func(out T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// refused checks the code and the status of a call that has to fail.
func refused(t *testing.T, what string, err error, code string) {
	t.Helper()
	api, ok := errors.AsType[smithy.APIError](err)
	var response interface{ HTTPStatusCode() int }
	if !ok || !errors.As(err, &response) || api.ErrorCode() != code || response.HTTPStatusCode() != 400 {
		t.Errorf("%s: got %v, want %s 400", what, err, code)
	}
}

func (b *bench) key(t *testing.T, in sdk.CreateKeyInput) *types.KeyMetadata {
	t.Helper()
	return must[*sdk.CreateKeyOutput](t)(b.CreateKey(t.Context(), &in)).KeyMetadata
}

// direct calls the edge for p as the front chain would.
func (b *bench) direct(p iam.Principal, target, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("X-Amz-Target", target)
	b.edge.ServeAWS(w, r, &awshttp.Call{RequestID: "id-1", Principal: p, Service: awshttp.KMS, Region: region, Body: []byte(body)})
	return w
}

// TestTerraform makes the calls of the AWS provider for aws_kms_key and
// aws_kms_alias: create, read, update, destroy.
func TestTerraform(t *testing.T) {
	b, ctx := open(t), t.Context()
	made := b.key(t, sdk.CreateKeyInput{
		Description: aws.String("d"), KeySpec: types.KeySpecSymmetricDefault, KeyUsage: types.KeyUsageTypeEncryptDecrypt,
		MultiRegion: aws.Bool(false), Tags: []types.Tag{{TagKey: aws.String("b"), TagValue: aws.String("1")}, {TagKey: aws.String("a"), TagValue: aws.String("")}},
	})
	id := made.KeyId
	got := must[*sdk.DescribeKeyOutput](t)(b.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: id})).KeyMetadata
	if *got.Arn != "arn:aws:kms:us-east-1:123456789012:key/"+*id || !got.Enabled || got.KeyState != types.KeyStateEnabled || got.KeyManager != types.KeyManagerTypeCustomer ||
		got.Origin != types.OriginTypeAwsKms || *got.AWSAccountId != account || got.CustomerMasterKeySpec != types.CustomerMasterKeySpecSymmetricDefault ||
		len(got.EncryptionAlgorithms) != 1 || !got.CreationDate.Equal(b.now.Truncate(time.Millisecond)) || *got.MultiRegion || got.DeletionDate != nil {
		t.Errorf("described %+v", got)
	}
	policy := must[*sdk.GetKeyPolicyOutput](t)(b.GetKeyPolicy(ctx, &sdk.GetKeyPolicyInput{KeyId: id, PolicyName: aws.String("default")}))
	if !strings.Contains(*policy.Policy, "arn:aws:iam::123456789012:root") {
		t.Errorf("policy %s", *policy.Policy)
	}
	if must[*sdk.GetKeyRotationStatusOutput](t)(b.GetKeyRotationStatus(ctx, &sdk.GetKeyRotationStatusInput{KeyId: id})).KeyRotationEnabled {
		t.Error("rotation is on")
	}
	tags := must[*sdk.ListResourceTagsOutput](t)(b.ListResourceTags(ctx, &sdk.ListResourceTagsInput{KeyId: id, Limit: aws.Int32(50)})).Tags
	if len(tags) != 2 || *tags[0].TagKey != "a" || *tags[1].TagValue != "1" {
		t.Errorf("tags %+v", tags)
	}
	must[*sdk.UpdateKeyDescriptionOutput](t)(b.UpdateKeyDescription(ctx, &sdk.UpdateKeyDescriptionInput{KeyId: id, Description: aws.String("")}))
	must[*sdk.PutKeyPolicyOutput](t)(b.PutKeyPolicy(ctx, &sdk.PutKeyPolicyInput{KeyId: id, PolicyName: aws.String("default"), Policy: policy.Policy}))
	must[*sdk.TagResourceOutput](t)(b.TagResource(ctx, &sdk.TagResourceInput{KeyId: id, Tags: []types.Tag{{TagKey: aws.String("c"), TagValue: aws.String("3")}}}))
	must[*sdk.UntagResourceOutput](t)(b.UntagResource(ctx, &sdk.UntagResourceInput{KeyId: id, TagKeys: []string{"a", "b"}}))
	must[*sdk.DisableKeyOutput](t)(b.DisableKey(ctx, &sdk.DisableKeyInput{KeyId: id}))
	must[*sdk.EnableKeyOutput](t)(b.EnableKey(ctx, &sdk.EnableKeyInput{KeyId: made.Arn}))

	alias := aws.String("alias/images")
	must[*sdk.CreateAliasOutput](t)(b.CreateAlias(ctx, &sdk.CreateAliasInput{AliasName: alias, TargetKeyId: id}))
	list := must[*sdk.ListAliasesOutput](t)(b.ListAliases(ctx, &sdk.ListAliasesInput{})).Aliases
	if len(list) != 3 || *list[0].AliasName != kms.EBSAlias || list[0].TargetKeyId != nil || list[0].CreationDate != nil || *list[1].AliasName != kms.S3Alias ||
		*list[2].TargetKeyId != *id || *list[2].AliasArn != "arn:aws:kms:us-east-1:123456789012:alias/images" || list[2].CreationDate == nil {
		t.Errorf("aliases %+v", list)
	}
	other := b.key(t, sdk.CreateKeyInput{})
	must[*sdk.UpdateAliasOutput](t)(b.UpdateAlias(ctx, &sdk.UpdateAliasInput{AliasName: alias, TargetKeyId: other.KeyId}))
	if of := must[*sdk.ListAliasesOutput](t)(b.ListAliases(ctx, &sdk.ListAliasesInput{KeyId: id})).Aliases; len(of) != 0 {
		t.Errorf("aliases of the old key %+v", of)
	}
	must[*sdk.DeleteAliasOutput](t)(b.DeleteAlias(ctx, &sdk.DeleteAliasInput{AliasName: alias}))

	going := must[*sdk.ScheduleKeyDeletionOutput](t)(b.ScheduleKeyDeletion(ctx, &sdk.ScheduleKeyDeletionInput{KeyId: id, PendingWindowInDays: aws.Int32(7)}))
	if going.KeyState != types.KeyStatePendingDeletion || *going.KeyId != *made.Arn || going.DeletionDate.Sub(b.now.Add(7*24*time.Hour)).Abs() > time.Second {
		t.Errorf("scheduled %+v", going)
	}
	got = must[*sdk.DescribeKeyOutput](t)(b.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: id})).KeyMetadata
	if got.KeyState != types.KeyStatePendingDeletion || got.DeletionDate == nil || got.Enabled || *got.Description != "" {
		t.Errorf("described %+v", got)
	}
	must[*sdk.CancelKeyDeletionOutput](t)(b.CancelKeyDeletion(ctx, &sdk.CancelKeyDeletionInput{KeyId: id}))
	if names := must[*sdk.ListKeyPoliciesOutput](t)(b.ListKeyPolicies(ctx, &sdk.ListKeyPoliciesInput{KeyId: id})).PolicyNames; len(names) != 1 || names[0] != "default" {
		t.Errorf("policies %v", names)
	}
}

func TestListsInPages(t *testing.T) {
	b, ctx := open(t), t.Context()
	want := map[string]bool{}
	for range 5 {
		want[*b.key(t, sdk.CreateKeyInput{}).KeyId] = true
	}
	pages := sdk.NewListKeysPaginator(b.Client, &sdk.ListKeysInput{Limit: aws.Int32(2)})
	n := 0
	for pages.HasMorePages() {
		for _, k := range must[*sdk.ListKeysOutput](t)(pages.NextPage(ctx)).Keys {
			delete(want, *k.KeyId)
		}
		n++
	}
	if len(want) != 0 || n != 3 {
		t.Errorf("%d pages lack %v", n, want)
	}
	_, err := b.ListKeys(ctx, &sdk.ListKeysInput{Marker: aws.String("?")})
	refused(t, "marker", err, "InvalidMarkerException")
	_, err = b.ListKeys(ctx, &sdk.ListKeysInput{Limit: aws.Int32(1001)})
	refused(t, "limit", err, "ValidationException")
}

func TestUsingAKey(t *testing.T) {
	b, ctx := open(t), t.Context()
	k, other := b.key(t, sdk.CreateKeyInput{}), b.key(t, sdk.CreateKeyInput{MultiRegion: aws.Bool(true)})
	bound, later := map[string]string{"aws:ebs:id": "snap-1"}, map[string]string{"aws:ebs:id": "snap-2"}
	must[*sdk.CreateAliasOutput](t)(b.CreateAlias(ctx, &sdk.CreateAliasInput{AliasName: aws.String("alias/k"), TargetKeyId: k.KeyId}))

	ciphertext := must[*sdk.EncryptOutput](t)(b.Encrypt(ctx, &sdk.EncryptInput{KeyId: aws.String("alias/k"), Plaintext: []byte("plain"), EncryptionContext: bound}))
	if *ciphertext.KeyId != *k.Arn || ciphertext.EncryptionAlgorithm != types.EncryptionAlgorithmSpecSymmetricDefault {
		t.Errorf("encrypted %+v", ciphertext)
	}
	plain := must[*sdk.DecryptOutput](t)(b.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: ciphertext.CiphertextBlob, EncryptionContext: bound}))
	if string(plain.Plaintext) != "plain" || *plain.KeyId != *k.Arn {
		t.Errorf("decrypted %+v", plain)
	}
	moved := must[*sdk.ReEncryptOutput](t)(b.ReEncrypt(ctx, &sdk.ReEncryptInput{
		CiphertextBlob: ciphertext.CiphertextBlob, SourceEncryptionContext: bound, DestinationKeyId: other.KeyId, DestinationEncryptionContext: later,
	}))
	plain = must[*sdk.DecryptOutput](t)(b.Decrypt(ctx, &sdk.DecryptInput{KeyId: other.Arn, CiphertextBlob: moved.CiphertextBlob, EncryptionContext: later}))
	if string(plain.Plaintext) != "plain" || *moved.SourceKeyId != *k.Arn || *moved.KeyId != *other.Arn {
		t.Errorf("re-encrypted %+v: %q", moved, plain.Plaintext)
	}
	data := must[*sdk.GenerateDataKeyOutput](t)(b.GenerateDataKey(ctx, &sdk.GenerateDataKeyInput{KeyId: k.KeyId, KeySpec: types.DataKeySpecAes256, EncryptionContext: bound}))
	plain = must[*sdk.DecryptOutput](t)(b.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: data.CiphertextBlob, EncryptionContext: bound}))
	if !bytes.Equal(plain.Plaintext, data.Plaintext) || len(data.Plaintext) != 32 {
		t.Errorf("data key of %d bytes", len(data.Plaintext))
	}
	blind := must[*sdk.GenerateDataKeyWithoutPlaintextOutput](t)(b.GenerateDataKeyWithoutPlaintext(ctx, &sdk.GenerateDataKeyWithoutPlaintextInput{KeyId: k.KeyId, NumberOfBytes: aws.Int32(64)}))
	if plain = must[*sdk.DecryptOutput](t)(b.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: blind.CiphertextBlob})); len(plain.Plaintext) != 64 {
		t.Errorf("data key of %d bytes", len(plain.Plaintext))
	}
	if random := must[*sdk.GenerateRandomOutput](t)(b.GenerateRandom(ctx, &sdk.GenerateRandomInput{NumberOfBytes: aws.Int32(9)})); len(random.Plaintext) != 9 {
		t.Errorf("random %x", random.Plaintext)
	}
	for _, secret := range [][]byte{data.Plaintext, []byte("plain\""), plain.Plaintext} {
		if bytes.Contains(b.log.Bytes(), secret) {
			t.Error("the log has a plaintext")
		}
	}
}

func TestGrants(t *testing.T) {
	b, ctx := open(t), t.Context()
	k := b.key(t, sdk.CreateKeyInput{})
	in := &sdk.CreateGrantInput{
		KeyId: k.KeyId, GranteePrincipal: aws.String("arn:aws:iam::123456789012:user/ann"), Name: aws.String("n"),
		RetiringPrincipal: aws.String("arn:aws:iam::123456789012:role/r"),
		Operations:        []types.GrantOperation{types.GrantOperationEncrypt, types.GrantOperationGenerateDataKeyWithoutPlaintext},
		Constraints:       &types.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "b"}},
	}
	made := must[*sdk.CreateGrantOutput](t)(b.CreateGrant(ctx, in))
	if again := must[*sdk.CreateGrantOutput](t)(b.CreateGrant(ctx, in)); *again.GrantId != *made.GrantId {
		t.Errorf("the same grant twice: %s, %s", *made.GrantId, *again.GrantId)
	}
	list := must[*sdk.ListGrantsOutput](t)(b.ListGrants(ctx, &sdk.ListGrantsInput{KeyId: k.Arn})).Grants
	if len(list) != 1 || *list[0].GrantId != *made.GrantId || *list[0].Name != "n" || *list[0].IssuingAccount != root.ARN || *list[0].KeyId != *k.Arn ||
		len(list[0].Operations) != 2 || list[0].Constraints.EncryptionContextSubset["a"] != "b" || *list[0].RetiringPrincipal != *in.RetiringPrincipal {
		t.Errorf("grants %+v", list)
	}
	ann := iam.Principal{Account: account, ARN: *in.GranteePrincipal, ID: *in.GranteePrincipal, Kind: iam.User, Name: "ann"}
	use := func(extra string) string {
		return b.direct(ann, "TrentService.Encrypt", `{"KeyId":"`+*k.KeyId+`","Plaintext":"eA=="`+extra+`}`).Body.String()
	}
	if got := use(`,"EncryptionContext":{"a":"b"},"GrantTokens":["` + *made.GrantToken + `"]`); !strings.Contains(got, "CiphertextBlob") {
		t.Errorf("by the grant: %s", got)
	}
	if got := use(""); !strings.Contains(got, "AccessDeniedException") {
		t.Errorf("outside the constraint: %s", got)
	}
	if got := use(`,"GrantTokens":["x"]`); !strings.Contains(got, "InvalidGrantTokenException") {
		t.Errorf("a bad token: %s", got)
	}
	_, err := b.RetireGrant(ctx, &sdk.RetireGrantInput{GrantToken: made.GrantToken, DryRun: aws.Bool(true)})
	refused(t, "dry retirement", err, "DryRunOperationException")
	must[*sdk.RetireGrantOutput](t)(b.RetireGrant(ctx, &sdk.RetireGrantInput{GrantToken: made.GrantToken}))
	_, err = b.RetireGrant(ctx, &sdk.RetireGrantInput{KeyId: k.Arn, GrantId: made.GrantId})
	refused(t, "retire again", err, "NotFoundException")
	made = must[*sdk.CreateGrantOutput](t)(b.CreateGrant(ctx, in))
	must[*sdk.RevokeGrantOutput](t)(b.RevokeGrant(ctx, &sdk.RevokeGrantInput{KeyId: k.KeyId, GrantId: made.GrantId}))
	_, err = b.RevokeGrant(ctx, &sdk.RevokeGrantInput{KeyId: k.KeyId, GrantId: made.GrantId})
	refused(t, "revoke again", err, "NotFoundException")
	if none := must[*sdk.ListGrantsOutput](t)(b.ListGrants(ctx, &sdk.ListGrantsInput{KeyId: k.KeyId})).Grants; len(none) != 0 {
		t.Errorf("grants %+v", none)
	}
}
