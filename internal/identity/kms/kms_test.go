package kms_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/kms/kmstest"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/secret"
)

const account, stranger, region = "111111111111", "222222222222", "us-east-1"

// bench is a service on an empty store, with a clock that stands still.
type bench struct {
	*kms.Service
	store kms.Store
	now   time.Time
	lag   time.Duration // of the time by which keys are destroyed
}

func open(t *testing.T) *bench {
	t.Helper()
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{now: time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC)}
	b.store = &kmstest.Memory{}
	b.Service = kms.New(kms.Options{Store: b.store, Wrapper: master, Principals: kmstest.Names{}, Now: func() time.Time { return b.now }, Aged: func() time.Time { return b.now.Add(-b.lag) }})
	return b
}

func root(account string) kms.Caller {
	return kms.Caller{Region: region, Principal: iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":root", Kind: iam.Root, ID: account}}
}

// user returns a user with the identity policy, if one is given.
func user(t *testing.T, account, document string) kms.Caller {
	t.Helper()
	c := kms.Caller{Region: region, Principal: iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":user/ann", ID: "arn:aws:iam::" + account + ":user/ann", Kind: iam.User, Name: "ann"}}
	if document != "" {
		d, err := policy.Parse(document, policy.Identity)
		if err != nil {
			t.Fatal(err)
		}
		c.Principal = c.Principal.WithPolicies(d)
	}
	return c
}

func (b *bench) key(t *testing.T, n kms.KeySpec) kms.Key {
	t.Helper()
	spec, usage := n.Spec, n.Usage
	n.Spec, n.Usage = "", ""
	k, err := b.CreateKey(t.Context(), root(account), n)
	if err == nil && spec != "" {
		k, err = kmstest.Asymmetric(t.Context(), b.store, k, spec, usage)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func check(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func refused(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestEveryEventInEveryState(t *testing.T) {
	b, ctx := open(t), t.Context()
	apply := map[kms.Event]func(kms.Ref) error{
		kms.Enable:  func(r kms.Ref) error { return b.SetEnabled(ctx, r, kms.Enable) },
		kms.Disable: func(r kms.Ref) error { return b.SetEnabled(ctx, r, kms.Disable) },
		kms.Schedule: func(r kms.Ref) error {
			_, err := b.ScheduleDeletion(ctx, r, 7)
			return err
		},
		kms.Cancel: func(r kms.Ref) error { return b.CancelDeletion(ctx, r) },
	}
	reach := map[kms.State][]kms.Event{
		kms.Enabled: nil, kms.Disabled: {kms.Disable}, kms.PendingDeletion: {kms.Schedule}, kms.PendingImport: nil,
	}
	want := map[kms.State]map[kms.Event]kms.State{ // a missing event fails with ErrState
		kms.Enabled:         {kms.Enable: kms.Enabled, kms.Disable: kms.Disabled, kms.Schedule: kms.PendingDeletion},
		kms.Disabled:        {kms.Enable: kms.Enabled, kms.Disable: kms.Disabled, kms.Schedule: kms.PendingDeletion},
		kms.PendingDeletion: {kms.Cancel: kms.Disabled},
		kms.PendingImport:   {kms.Schedule: kms.PendingDeletion},
	}
	for state, path := range reach {
		for event, do := range apply {
			spec := kms.KeySpec{}
			if state == kms.PendingImport {
				spec.Origin = kms.External
			}
			k := b.key(t, spec)
			for _, step := range path {
				check(t, string(step), apply[step](k.Ref))
			}
			err := do(k.Ref)
			got, errGet := b.Key(ctx, k.Ref)
			check(t, "get", errGet)
			to, legal := want[state][event]
			switch {
			case legal && (err != nil || got.State != to):
				t.Errorf("%s in %s: %s, %v; want %s", event, state, got.State, err, to)
			case !legal && (got.State != state || !errors.Is(err, kms.ErrState) && !errors.Is(err, kms.ErrDisabled)):
				t.Errorf("%s in %s: %s, %v; want a refusal", event, state, got.State, err)
			}
			if pending := got.State == kms.PendingDeletion; pending == got.Deletion.IsZero() || pending == (got.Window == 0) {
				t.Errorf("%s in %s: %s with deletion %v in %d days", event, state, got.State, got.Deletion, got.Window)
			}
		}
	}
}

func TestCancelledDeletionOfAKeyWithoutMaterial(t *testing.T) {
	b, ctx := open(t), t.Context()
	k := b.key(t, kms.KeySpec{Origin: kms.External})
	_, err := b.ScheduleDeletion(ctx, k.Ref, 0)
	check(t, "schedule", err)
	check(t, "cancel", b.CancelDeletion(ctx, k.Ref))
	got, err := b.Key(ctx, k.Ref)
	if err != nil || got.State != kms.PendingImport {
		t.Errorf("got %s, %v", got.State, err)
	}
}

func TestDeletionDate(t *testing.T) {
	b, ctx := open(t), t.Context()
	k := b.key(t, kms.KeySpec{})
	for _, days := range []int{6, 31, -1} {
		_, err := b.ScheduleDeletion(ctx, k.Ref, days)
		refused(t, "window", err, kms.ErrValidation)
	}
	_, err := b.ScheduleDeletion(ctx, k.Ref, 7)
	check(t, "schedule", err)
	b.now = b.now.Add(7*24*time.Hour - time.Microsecond)
	if _, err := b.Key(ctx, k.Ref); err != nil {
		t.Errorf("just before: %v", err)
	}
	if n, err := b.Purge(ctx); n != 0 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	b.now = b.now.Add(time.Microsecond)
	_, err = b.Key(ctx, k.Ref)
	refused(t, "on the date", err, kms.ErrNotFound)
	refused(t, "cancel on the date", b.CancelDeletion(ctx, k.Ref), kms.ErrNotFound)
	if list, err := b.Keys(ctx, account, region); len(list) != 0 || err != nil {
		t.Errorf("listed %v, %v", list, err)
	}
	b.lag = time.Hour // the clock jumped; it may be set right again
	if n, err := b.Purge(ctx); n != 0 || err != nil {
		t.Errorf("purged %d by a clock that jumped, %v", n, err)
	}
	check(t, "cancel while the clock is not believed", b.CancelDeletion(ctx, k.Ref))
	b.lag, b.now = 0, b.now.Add(-time.Hour)
	_, err = b.ScheduleDeletion(ctx, k.Ref, 7)
	check(t, "schedule again", err)
	b.now = b.now.Add(7 * 24 * time.Hour)
	b.lag = 0
	if n, err := b.Purge(ctx); n != 1 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
}

func TestWhatCanBeCreated(t *testing.T) {
	b := open(t)
	for _, c := range []struct {
		spec  kms.Spec
		usage kms.Usage
		want  error
	}{
		{"", "", nil}, {"SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", nil},
		{"RSA_2048", "ENCRYPT_DECRYPT", kms.ErrUnsupported}, {"RSA_3072", "SIGN_VERIFY", kms.ErrUnsupported},
		{"ECC_NIST_P256", "KEY_AGREEMENT", kms.ErrUnsupported}, {"HMAC_256", "GENERATE_VERIFY_MAC", kms.ErrUnsupported},
		{"RSA_2048", "", kms.ErrValidation}, {"HMAC_256", "ENCRYPT_DECRYPT", kms.ErrValidation},
		{"", "SIGN_VERIFY", kms.ErrValidation}, {"AES_17", "", kms.ErrValidation}, {"SM2", "SIGN_VERIFY", kms.ErrUnsupported},
	} {
		k, err := b.CreateKey(t.Context(), root(account), kms.KeySpec{Spec: c.spec, Usage: c.usage})
		if !errors.Is(err, c.want) {
			t.Errorf("%s %s: got %v, want %v", c.spec, c.usage, err, c.want)
			continue
		}
		if c.want == nil && (k.Wrapped == nil || k.Spec != kms.Symmetric) {
			t.Errorf("%s: material of %d bytes", c.spec, len(k.Wrapped))
		}
	}
	refused(t, "an older key", b.key(t, kms.KeySpec{Spec: "RSA_2048", Usage: "SIGN_VERIFY"}).Usable(), kms.ErrUsage)
}

func TestEncryption(t *testing.T) {
	b := open(t)
	k, other := b.key(t, kms.KeySpec{}), b.key(t, kms.KeySpec{MultiRegion: true})
	if !strings.HasPrefix(other.ID, "mrk-") {
		t.Errorf("multi-region key %s", other.ID)
	}
	bound := kms.EncryptionContext{"a": "b", "c": "d"}
	blob, err := b.Encrypt(k, []byte("plain"), bound)
	check(t, "encrypt", err)
	if again, _ := b.Encrypt(k, []byte("plain"), bound); string(again) == string(blob) {
		t.Error("the same ciphertext twice")
	}
	if arn, err := kms.Target(blob); arn != k.ARN() || err != nil {
		t.Errorf("target %s, %v", arn, err)
	}
	got, err := b.Decrypt(k, blob, kms.EncryptionContext{"c": "d", "a": "b"})
	if string(got) != "plain" || err != nil {
		t.Errorf("decrypted %q, %v", got, err)
	}
	for name, e := range map[string]kms.EncryptionContext{
		"none": nil, "less": {"a": "b"}, "more": {"a": "b", "c": "d", "e": "f"}, "swapped": {"b": "a", "d": "c"}, "run together": {"a": "bc", "": "d"},
	} {
		_, err := b.Decrypt(k, blob, e)
		refused(t, name, err, kms.ErrInvalidCiphertext)
	}
	_, err = b.Decrypt(other, blob, bound)
	refused(t, "another key", err, kms.ErrIncorrectKey)
	for i := range blob {
		bad := []byte(string(blob))
		bad[i] ^= 1
		if _, err := b.Decrypt(k, bad, bound); !errors.Is(err, kms.ErrInvalidCiphertext) && !errors.Is(err, kms.ErrIncorrectKey) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := b.Decrypt(k, blob[:i], bound); !errors.Is(err, kms.ErrInvalidCiphertext) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
	for _, n := range []int{0, 4097} {
		_, err := b.Encrypt(k, make([]byte, n), nil)
		refused(t, "length", err, kms.ErrValidation)
	}
	plain, ciphertext, err := b.GenerateDataKey(k, 64, bound)
	check(t, "data key", err)
	if got, err := b.Decrypt(k, ciphertext, bound); string(got) != string(plain) || len(got) != 64 || err != nil {
		t.Errorf("data key %x, %v", got, err)
	}
}

func TestUnusableKeys(t *testing.T) {
	b, ctx := open(t), t.Context()
	k := b.key(t, kms.KeySpec{})
	blob, err := b.Encrypt(k, []byte("plain"), nil)
	check(t, "encrypt", err)
	try := func(what string, want error) {
		t.Helper()
		now, err := b.Key(ctx, k.Ref)
		check(t, "get", err)
		_, err = b.Decrypt(now, blob, nil)
		refused(t, what+": decrypt", err, want)
		_, err = b.Encrypt(now, []byte("x"), nil)
		refused(t, what+": encrypt", err, want)
	}
	check(t, "disable", b.SetEnabled(ctx, k.Ref, kms.Disable))
	try("disabled", kms.ErrDisabled)
	check(t, "enable", b.SetEnabled(ctx, k.Ref, kms.Enable))
	try("enabled", nil)
	_, err = b.ScheduleDeletion(ctx, k.Ref, 7)
	check(t, "schedule", err)
	try("pending deletion", kms.ErrState)
	_, err = b.Encrypt(b.key(t, kms.KeySpec{Origin: kms.External}), []byte("x"), nil)
	refused(t, "pending import", err, kms.ErrState)
	_, err = b.Encrypt(b.key(t, kms.KeySpec{Spec: "RSA_2048", Usage: "ENCRYPT_DECRYPT"}), []byte("x"), nil)
	refused(t, "RSA", err, kms.ErrUsage)
}

func TestAliases(t *testing.T) {
	b, ctx := open(t), t.Context()
	k, other, mac := b.key(t, kms.KeySpec{}), b.key(t, kms.KeySpec{}), b.key(t, kms.KeySpec{Spec: "HMAC_256", Usage: "GENERATE_VERIFY_MAC"})
	a := root(account).NamedAlias("alias/a")
	check(t, "create", b.CreateAlias(ctx, a, k))
	refused(t, "again", b.CreateAlias(ctx, a, other), kms.ErrExists)
	for name, want := range map[string]error{
		"a": kms.ErrValidation, "alias/": kms.ErrValidation, "alias/aws/ebs": kms.ErrReserved, "alias/aws/": kms.ErrReserved,
		"alias/a b": kms.ErrValidation, "alias/a:b": kms.ErrValidation, "alias/" + strings.Repeat("a", 251): kms.ErrValidation,
	} {
		refused(t, name, b.CreateAlias(ctx, root(account).NamedAlias(name), k), want)
	}
	find := func(identifier string) string {
		got, err := b.Open(ctx, root(account), kms.Ask{Action: "kms:DescribeKey", Key: identifier})
		check(t, identifier, err)
		return got.Key.ID
	}
	for _, identifier := range []string{k.ID, k.ARN(), "alias/a", "arn:aws:kms:us-east-1:111111111111:alias/a"} {
		if got := find(identifier); got != k.ID {
			t.Errorf("%s is %s, want %s", identifier, got, k.ID)
		}
	}
	refused(t, "another kind of key", b.UpdateAlias(ctx, a, mac), kms.ErrValidation)
	check(t, "update", b.UpdateAlias(ctx, a, other))
	if got := find("alias/a"); got != other.ID {
		t.Errorf("after the update alias/a is %s", got)
	}
	check(t, "delete", b.DeleteAlias(ctx, a))
	refused(t, "delete again", b.DeleteAlias(ctx, a), kms.ErrNotFound)
	k, err := b.ScheduleDeletion(ctx, k.Ref, 7)
	check(t, "schedule", err)
	refused(t, "key that is going", b.CreateAlias(ctx, a, k), kms.ErrState)
	for i := range 50 {
		check(t, "many", b.CreateAlias(ctx, root(account).NamedAlias("alias/"+strings.Repeat("x", i+1)), other))
	}
	refused(t, "one too many", b.CreateAlias(ctx, a, other), kms.ErrLimit)
}

func TestIdentifiersThatNameNoKey(t *testing.T) {
	b := open(t)
	k := b.key(t, kms.KeySpec{})
	for _, c := range []struct {
		identifier string
		want       error
	}{
		{"", kms.ErrNotFound}, {"nonsense", kms.ErrNotFound}, {"alias/none", kms.ErrNotFound},
		{"12345678-1234-1234-1234-123456789012", kms.ErrNotFound}, {strings.ToUpper(k.ID), kms.ErrNotFound},
		{"mrk-" + strings.Repeat("0", 32), kms.ErrNotFound}, {strings.Replace(k.ARN(), region, "eu-west-1", 1), kms.ErrNotFound},
		{"arn:aws:kms:us-east-1:111111111111:alias/none", kms.ErrNotFound},
		{"arn:aws:kms", kms.ErrInvalidARN}, {"arn:aws:s3:us-east-1:111111111111:key/" + k.ID, kms.ErrInvalidARN},
		{"arn:aws-cn:kms:us-east-1:111111111111:key/" + k.ID, kms.ErrInvalidARN}, {"arn:aws:kms:us-east-1:111111111111:" + k.ID, kms.ErrInvalidARN},
		{"arn:aws:kms:us-east-1:111111111111:key/alias/a", kms.ErrInvalidARN},
		{strings.Replace(k.ARN(), account, stranger, 1), kms.ErrDenied},
	} {
		_, err := b.Open(t.Context(), root(account), kms.Ask{Action: "kms:DescribeKey", Key: c.identifier})
		refused(t, c.identifier, err, c.want)
	}
	_, err := b.Open(t.Context(), root(account), kms.Ask{Action: "kms:EnableKey", Key: "alias/a"})
	refused(t, "alias for an action that takes none", err, kms.ErrNotFound)
}

// TestManagedKeysBelongToTheirServices: each can be used through its own service alone.
func TestManagedKeysBelongToTheirServices(t *testing.T) {
	b, ctx := open(t), t.Context()
	for alias, own := range map[string]string{kms.EBSAlias: "ec2", kms.S3Alias: "s3"} {
		for _, service := range []string{"ec2", "s3"} {
			who := user(t, account, "")
			who.Region = "us-east-1"
			got, err := b.Open(ctx, who.Through(service), kms.Ask{Action: "kms:GenerateDataKey", Key: alias})
			if service != own {
				refused(t, alias+" through "+service, err, kms.ErrDenied)
			} else if err != nil || got.Key.Manager != kms.AWS {
				t.Errorf("%s through %s: %+v, %v", alias, service, got.Key, err)
			}
		}
	}
}

func TestManagedKeyIsMadeOnce(t *testing.T) {
	b, ctx := open(t), t.Context()
	c := user(t, account, "")
	c.Context = policy.Context{}
	c.Context.Set("kms:ViaService", "ec2.us-east-1.amazonaws.com")
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		wg.Go(func() {
			got, err := b.Open(ctx, c, kms.Ask{Action: "kms:GenerateDataKeyWithoutPlaintext", Key: kms.EBSAlias})
			if err != nil {
				t.Error(err)
			}
			ids[i] = got.Key.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || id == "" {
			t.Fatalf("keys %v", ids)
		}
	}
	_, err := b.Open(ctx, user(t, account, ""), kms.Ask{Action: "kms:Decrypt", Key: kms.EBSAlias})
	refused(t, "not through EBS", err, kms.ErrDenied)
	_, err = b.Open(ctx, root(account), kms.Ask{Action: "kms:ScheduleKeyDeletion", Key: ids[0]})
	refused(t, "deletion by root", err, kms.ErrDenied)
	got, err := b.Open(ctx, root(account), kms.Ask{Action: "kms:DescribeKey", Key: kms.EBSAlias})
	if err != nil || got.Key.Manager != kms.AWS {
		t.Errorf("described %+v, %v", got.Key, err)
	}
	theirs, err := b.Open(ctx, root(stranger), kms.Ask{Action: "kms:DescribeKey", Key: kms.EBSAlias})
	if err != nil || theirs.Key.ID == ids[0] {
		t.Errorf("the stranger has %+v, %v", theirs.Key, err)
	}
	_, err = b.Open(ctx, root("333333333333"), kms.Ask{Action: "kms:DescribeKey", Key: "arn:aws:kms:us-east-1:444444444444:alias/aws/ebs"})
	refused(t, "one of an account that has none", err, kms.ErrDenied)
}

func TestTokens(t *testing.T) {
	g := kms.Grant{Key: kms.Ref{Account: account, Region: region, ID: "12345678-1234-1234-1234-123456789012"}, ID: strings.Repeat("a", 64)}
	got, err := kms.ParseToken(g.Token())
	if err != nil || !cmp.Equal(got, g) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, token := range []string{"", "?", "aGVsbG8", strings.Repeat("a", 200)} {
		_, err := kms.ParseToken(token)
		refused(t, token, err, kms.ErrInvalidGrantToken)
	}
}
