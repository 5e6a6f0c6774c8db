package keyring_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/keyring"
)

var digest = block.Sum([]byte("the same block"))

func TestOneDomainAKey(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		ctx, k, other := t.Context(), b.key(t, kms.KeySpec{}), b.key(t, kms.KeySpec{})
		row, keys, err := b.Encrypted(ctx, account, k.ARN())
		check(t, "first", err)
		if row.Account != account || row.KMSKey != k.ARN() || keys.Cipher() != frame.AES256GCM {
			t.Errorf("domain %+v with cipher %v", row, keys.Cipher())
		}
		again, same, err := b.Encrypted(ctx, account, k.ARN())
		if err != nil || again.ID != row.ID || same != keys {
			t.Errorf("again: %s, %v; want %s with the same keys", again.ID, err, row.ID)
		}
		ids := map[block.ID]bool{keys.BlockID(digest): true}
		for what, o := range map[string]struct{ account, key string }{"another key": {account, other.ARN()}, "another account": {stranger, k.ARN()}} {
			_, keys, err := b.Encrypted(ctx, o.account, o.key)
			check(t, what, err)
			ids[keys.BlockID(digest)] = true
		}
		_, plain, err := b.Plain(ctx, account)
		check(t, "plain", err)
		if ids[plain.BlockID(digest)] = true; len(ids) != 4 {
			t.Error("two domains have the same ID for a block: it links them")
		}
		fresh, err := (&keyring.Ring{Domains: b.domains, Wrapper: b.wrapper, KMS: b.kms}).Keys(ctx, row.ID)
		check(t, "another process", err)
		if fresh.BlockID(digest) != keys.BlockID(digest) {
			t.Error("the stored keys are not those that were used")
		}
	})
}

func TestDomainsAreMadeOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		k := b.key(t, kms.KeySpec{})
		var wg sync.WaitGroup
		got := make([]block.ID, 8)
		for i := range got {
			wg.Go(func() {
				_, keys, err := b.Encrypted(t.Context(), account, k.ARN())
				if err != nil {
					t.Error(err)
					return
				}
				got[i] = keys.BlockID(digest)
			})
		}
		wg.Wait()
		for _, id := range got {
			if id != got[0] {
				t.Fatal("two writers of one domain have different keys")
			}
		}
	})
}

func TestAllFormsOfIdentifiers(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		ctx, k, mrk := t.Context(), b.key(t, kms.KeySpec{}), b.key(t, kms.KeySpec{MultiRegion: true})
		check(t, "alias", b.service.CreateAlias(ctx, root(account).NamedAlias("alias/images"), k))
		for identifier, want := range map[string]string{
			k.ID: k.ARN(), k.ARN(): k.ARN(), "alias/images": k.ARN(), mrk.ID: mrk.ARN(),
			"arn:aws:kms:us-east-1:111111111111:alias/images": k.ARN(),
		} {
			if got, err := b.Resolve(ctx, root(account), identifier); err != nil || got != want {
				t.Errorf("%s is %s, %v; want %s", identifier, got, err, want)
			}
		}
		first, err := b.Resolve(ctx, root(account), "")
		check(t, "no identifier", err)
		if named, err := b.Resolve(ctx, root(account), kms.EBSAlias); err != nil || named != first || first == k.ARN() {
			t.Errorf("the default is %s, and by name %s, %v", first, named, err)
		}
	})
}

func TestKeysThatImportsMustRefuse(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		disabled, going := b.key(t, kms.KeySpec{}), b.key(t, kms.KeySpec{})
		check(t, "disable", b.service.SetEnabled(ctx, disabled.Ref, kms.Disable))
		_, err := b.service.ScheduleDeletion(ctx, going.Ref, 7)
		check(t, "schedule", err)
		for _, c := range []struct {
			name, identifier string
			want             keyring.Reason
		}{
			{"unknown id", "12345678-1234-1234-1234-123456789012", keyring.NotFound},
			{"unknown alias", "alias/none", keyring.NotFound},
			{"unknown ARN", "arn:aws:kms:us-east-1:111111111111:key/12345678-1234-1234-1234-123456789012", keyring.NotFound},
			{"nonsense", "nonsense", keyring.NotFound},
			{"bad ARN", "arn:aws:kms:us-east-1", keyring.Malformed},
			{"wrong region", "arn:aws:kms:eu-west-1:111111111111:key/12345678-1234-1234-1234-123456789012", keyring.WrongRegion},
			{"disabled", disabled.ID, keyring.Disabled},
			{"pending deletion", going.ARN(), keyring.PendingDeletion},
			{"pending import", b.key(t, kms.KeySpec{Origin: kms.External}).ID, keyring.PendingImport},
			{"RSA", b.key(t, kms.KeySpec{Spec: "RSA_2048", Usage: "ENCRYPT_DECRYPT"}).ID, keyring.NotSymmetric},
			{"HMAC", b.key(t, kms.KeySpec{Spec: "HMAC_256", Usage: "GENERATE_VERIFY_MAC"}).ID, keyring.NotSymmetric},
			{"another account's", "arn:aws:kms:us-east-1:222222222222:key/12345678-1234-1234-1234-123456789012", keyring.Denied},
		} {
			_, err := b.Resolve(ctx, root(account), c.identifier)
			refused(t, c.name, err, c.want)
		}
		_, _, err = b.Encrypted(ctx, account, disabled.ARN())
		refused(t, "domain under a disabled key", err, keyring.Disabled)
		_, err = b.SnapshotKey(ctx, root(account), disabled.ARN(), "snap-1")
		refused(t, "snapshot under a disabled key", err, keyring.Disabled)
	})
}

// TestKeysOfAnotherRegion: a key is found in its own region alone, and a KMS that
// answers with one of another region is not believed.
func TestKeysOfAnotherRegion(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		ctx, k, there := t.Context(), b.key(t, kms.KeySpec{}), root(account).In("eu-west-1")
		check(t, "alias", b.service.CreateAlias(ctx, root(account).NamedAlias("alias/images"), k))
		for identifier, want := range map[string]keyring.Reason{
			k.ID: keyring.NotFound, "alias/images": keyring.NotFound, k.ARN(): keyring.WrongRegion,
			"arn:aws:kms:us-east-1:111111111111:alias/images": keyring.WrongRegion,
		} {
			_, err := b.Resolve(ctx, there, identifier)
			refused(t, identifier, err, want)
			_, _, err = b.NewSnapshot(ctx, there, identifier, "snap-1")
			refused(t, "a snapshot under "+identifier, err, want)
		}
		own, err := b.Resolve(ctx, there, "")
		if want := "arn:aws:kms:eu-west-1:" + account + ":key/"; err != nil || !strings.HasPrefix(own, want) {
			t.Errorf("the default there is %s, %v", own, err)
		}
		theirs, err := b.service.CreateKey(ctx, there, kms.KeySpec{})
		check(t, "create a key there", err)
		d, _, err := b.NewSnapshot(ctx, there, theirs.ID, "snap-1")
		if err != nil || d.KMSKey != theirs.ARN() {
			t.Errorf("a snapshot under a key there is under %s, %v", d.KMSKey, err)
		}
		b.KMS = oneRegion{b.kms, k.ARN()}
		_, err = b.Resolve(ctx, there, "alias/images")
		refused(t, "answered with a key of another region", err, keyring.WrongRegion)
	})
}

// oneRegion is a KMS that ignores regions.
type oneRegion struct {
	keyring.KMS
	arn string
}

func (k oneRegion) Resolve(ctx context.Context, _ kms.Caller, _ string, _ keyring.Wish) (keyring.Key, error) {
	return k.State(ctx, k.arn)
}

const (
	guide    = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["kms:CreateGrant","kms:Decrypt","kms:DescribeKey","kms:Encrypt","kms:GenerateDataKey*","kms:ReEncrypt*"],"Resource":"*"}}`
	noKMS    = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`
	seeOnly  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:DescribeKey","Resource":"*"}}`
	notHere  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"},{"Effect":"Deny","Action":"kms:GenerateDataKeyWithoutPlaintext","Resource":"*"}]}`
	onlyGood = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"ec2.us-east-1.amazonaws.com"}}}}`
)

func TestWhoMayEncryptAndRead(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		ctx, k := t.Context(), b.key(t, kms.KeySpec{})
		for _, c := range []struct {
			name, document       string
			resolve, write, read bool
		}{
			{"the user guide's policy", guide, true, true, true},
			{"through EBS only", onlyGood, true, true, true},
			{"none for KMS", noKMS, false, false, false},
			{"looking only", seeOnly, true, false, false},
			{"a deny", notHere, true, false, true},
		} {
			who := role(t, c.document)
			_, err := b.Resolve(ctx, who, k.ID)
			denied(t, c.name+": resolve", err, c.resolve)
			_, err = b.SnapshotKey(ctx, who, k.ARN(), "snap-1")
			denied(t, c.name+": write", err, c.write)
			denied(t, c.name+": read", b.MayRead(ctx, who, k.ARN(), "snap-1"), c.read)
		}
		managed, err := b.Resolve(ctx, role(t, noKMS), "")
		check(t, "the default key needs no permission", err)
		_, err = b.SnapshotKey(ctx, role(t, noKMS), managed, "snap-1")
		if _, outside := b.kms.(*keyring.External); outside {
			// The endpoint knows of no EBS behind the service's credentials.
			refused(t, "the default key of an endpoint", err, keyring.Denied)
			return
		}
		check(t, "the default key", err)
	})
}

func denied(t *testing.T, what string, err error, allowed bool) {
	t.Helper()
	if allowed {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	refused(t, what, err, keyring.Denied)
}

func TestEncryptionContextOfSnapshots(t *testing.T) {
	b, ctx := embedded(t), t.Context()
	k := b.key(t, kms.KeySpec{})
	one := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:aws:ebs:id":"snap-1"}}}}`
	first, err := b.SnapshotKey(ctx, role(t, one), k.ARN(), "snap-1")
	check(t, "the snapshot of the policy", err)
	_, err = b.SnapshotKey(ctx, role(t, one), k.ARN(), "snap-2")
	refused(t, "another snapshot", err, keyring.Denied)
	second, err := b.SnapshotKey(ctx, root(account), k.ARN(), "snap-1")
	check(t, "again", err)
	if first == second || len(first) != 36 {
		t.Errorf("data keys %s and %s", first, second)
	}
}

// TestExternalKeysAreBoundToAccounts: the service's credentials open all keys of the
// operator, but not for everybody whom it has an account for.
func TestExternalKeysAreBoundToAccounts(t *testing.T) {
	b, ctx := external(t), t.Context()
	k, other := b.key(t, kms.KeySpec{}), b.key(t, kms.KeySpec{})
	check(t, "alias", b.service.CreateAlias(ctx, root(account).NamedAlias("alias/images"), k))
	const tenant, guest, operator = "222222222222", "333333333333", "444444444444"
	use := func(who kms.Caller, key, arn string) map[string]error {
		_, resolve := b.Resolve(ctx, who, key)
		_, _, write := b.NewSnapshot(ctx, who, arn, "snap-1")
		return map[string]error{"resolve": resolve, "write": write, "may write": b.MayWrite(ctx, who, arn, "snap-1"), "read": b.MayRead(ctx, who, arn, "snap-1")}
	}
	b.Ring = b.bind(operator, keyring.Allowance{Account: guest, Key: k.ARN()})
	managed, err := b.Resolve(ctx, root(operator), "")
	check(t, "the default key of the operator", err)
	for _, c := range []struct {
		name, account, key, arn string
		allowed                 bool
	}{
		{"the operator", operator, k.ID, k.ARN(), true},
		{"the account of the key", account, "alias/images", k.ARN(), true},
		{"a tenant, by id", tenant, k.ID, k.ARN(), false},
		{"a tenant, by alias", tenant, "alias/images", k.ARN(), false},
		{"a tenant, the key that AWS manages", tenant, "", managed, false},
		{"a guest, his key", guest, k.ID, k.ARN(), true},
		{"a guest, another", guest, other.ID, other.ARN(), false},
	} {
		for what, err := range use(root(c.account), c.key, c.arn) {
			denied(t, c.name+": "+what, err, c.allowed)
		}
	}
	_, err = b.Resolve(ctx, root(tenant), "alias/none")
	refused(t, "whether there is a key", err, keyring.Denied)
	b.Ring = b.bind(operator, keyring.Allowance{Account: guest, Key: "*"})
	for what, err := range use(root(guest), other.ID, other.ARN()) {
		denied(t, "a guest of all keys: "+what, err, true)
	}
}

// TestPoliciesAboutAKMSElsewhere are told what those about the embedded one are, and a Deny
// holds for the keys that AWS manages, too.
func TestPoliciesAboutAKMSElsewhere(t *testing.T) {
	b, ctx := external(t), t.Context()
	k := b.key(t, kms.KeySpec{})
	policy := func(effect, condition string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"` + effect + `","Action":"kms:*","Resource":"*"` + condition + `}]}`
	}
	for _, c := range []struct {
		name, document string
		first, second  bool
	}{
		{"one snapshot", policy("Deny", `,"Condition":{"StringEquals":{"kms:EncryptionContext:aws:ebs:id":"snap-1"}}`), false, true},
		{"all but one", policy("Deny", `,"Condition":{"StringNotEquals":{"kms:EncryptionContext:aws:ebs:id":"snap-1"}}`), true, false},
		{"with a context of that name", policy("Deny", `,"Condition":{"ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":"aws:ebs:id"}}`), false, false},
		{"the account", policy("Deny", `,"Condition":{"StringEquals":{"kms:CallerAccount":"`+account+`"}}`), false, false},
		{"keys of others", policy("Deny", `,"Condition":{"StringNotEquals":{"aws:ResourceAccount":"`+account+`"}}`), true, true},
	} {
		denied(t, c.name+": the first", b.MayRead(ctx, role(t, c.document), k.ARN(), "snap-1"), c.first)
		denied(t, c.name+": the second", b.MayRead(ctx, role(t, c.document), k.ARN(), "snap-2"), c.second)
	}
	_, err := b.Resolve(ctx, role(t, policy("Deny", "")), "")
	refused(t, "the default key, to whom everything is denied", err, keyring.Denied)
}

func TestParseAllowance(t *testing.T) {
	const arn = "arn:aws:kms:us-east-1:111111111111:key/12345678-1234-1234-1234-123456789012"
	for text, want := range map[string]keyring.Allowance{
		"222222222222=" + arn: {Account: "222222222222", Key: arn}, "222222222222=*": {Account: "222222222222", Key: "*"},
		"": {}, "222222222222": {}, "222222222222=": {}, "2=" + arn: {}, "*=*": {}, "222222222222=alias/k": {},
		"222222222222=arn:aws:kms:us-east-1:111111111111:alias/k": {}, "222222222222=12345678-1234-1234-1234-123456789012": {},
	} {
		if got, err := keyring.ParseAllowance(text); got != want || (err != nil) != (want == keyring.Allowance{}) {
			t.Errorf("%q: got %+v, %v; want %+v", text, got, err, want)
		}
	}
}

// TestOthersLearnNothingOfAKey: whom a snapshot is shared with, and who may not use its
// key, is not told whether that is disabled or gone.
func TestOthersLearnNothingOfAKey(t *testing.T) {
	b, ctx := embedded(t), t.Context()
	k := b.key(t, kms.KeySpec{})
	refused(t, "an enabled key", b.MayRead(ctx, root("999999999999"), k.ARN(), "snap-1"), keyring.Denied)
	check(t, "disable", b.service.SetEnabled(ctx, k.Ref, kms.Disable))
	refused(t, "a disabled key", b.MayRead(ctx, root("999999999999"), k.ARN(), "snap-1"), keyring.Denied)
	gone := k.Ref
	gone.ID = "00000000-0000-4000-8000-000000000000"
	refused(t, "no key", b.MayRead(ctx, root("999999999999"), gone.ARN(), "snap-1"), keyring.Denied)
	refused(t, "no key, to the account's own", b.MayRead(ctx, root(account), gone.ARN(), "snap-1"), keyring.NotFound)
}

func TestDisabledKeyStopsReadsAtOnce(t *testing.T) {
	b, ctx := embedded(t), t.Context()
	k := b.key(t, kms.KeySpec{})
	row, _, err := b.Encrypted(ctx, account, k.ARN())
	check(t, "make", err)
	read := func() error {
		_, err := b.Keys(ctx, row.ID)
		return err
	}
	check(t, "read", read())
	check(t, "disable", b.service.SetEnabled(ctx, k.Ref, kms.Disable))
	refused(t, "read under a disabled key", read(), keyring.Disabled)
	refused(t, "permission under a disabled key", b.MayRead(ctx, root(account), k.ARN(), "snap-1"), keyring.Disabled)
	if b.Remembered() != 0 {
		t.Error("the keys of a domain stay in memory after its KMS key was refused")
	}
	check(t, "enable", b.service.SetEnabled(ctx, k.Ref, kms.Enable))
	check(t, "read again", read())
	_, err = b.service.ScheduleDeletion(ctx, k.Ref, 7)
	check(t, "schedule", err)
	refused(t, "read under a key that is going", read(), keyring.PendingDeletion)
}

func TestStateOfAnExternalKeyIsAMinuteOldAtMost(t *testing.T) {
	b, ctx := external(t), t.Context()
	k := b.key(t, kms.KeySpec{})
	row, _, err := b.Encrypted(ctx, account, k.ARN())
	check(t, "make", err)
	before := b.requests.Load()
	for range 10 {
		_, err := b.Keys(ctx, row.ID)
		check(t, "read", err)
	}
	if n := b.requests.Load() - before; n != 0 {
		t.Errorf("%d requests for reads within a minute", n)
	}
	check(t, "disable", b.service.SetEnabled(ctx, k.Ref, kms.Disable))
	b.now = b.now.Add(keyring.StateAge)
	_, err = b.Keys(ctx, row.ID)
	refused(t, "read a minute later", err, keyring.Disabled)
	check(t, "enable", b.service.SetEnabled(ctx, k.Ref, kms.Enable))
	_, err = b.Keys(ctx, row.ID)
	check(t, "read of an enabled key", err)

	check(t, "disable", b.service.SetEnabled(ctx, k.Ref, kms.Disable))
	_, err = b.SnapshotKey(ctx, root(account), k.ARN(), "snap-1")
	refused(t, "use of a key that seems enabled", err, keyring.Disabled)
	_, err = b.Keys(ctx, row.ID)
	refused(t, "read after that", err, keyring.Disabled)
}

// TestAKeyNamedByItsARNIsNotLookedUpAgain: whoever encrypts much under one key, such as
// objects, asks for nothing but the data keys.
func TestAKeyNamedByItsARNIsNotLookedUpAgain(t *testing.T) {
	b, ctx := external(t), t.Context()
	k := b.key(t, kms.KeySpec{})
	wish := keyring.Wish{Actions: []string{"kms:GenerateDataKey"}}
	_, err := b.kms.Resolve(ctx, root(account), k.ARN(), wish)
	check(t, "first", err)
	before := b.requests.Load()
	got, err := b.kms.Resolve(ctx, root(account), k.ARN(), wish)
	if n := b.requests.Load() - before; err != nil || got.ARN != k.ARN() || n != 0 {
		t.Errorf("by its ARN: %+v after %d requests, %v", got, n, err)
	}
	_, err = b.kms.Resolve(ctx, root("333333333333"), k.ARN(), wish)
	refused(t, "by a stranger", err, keyring.Denied)
	check(t, "disable", b.service.SetEnabled(ctx, k.Ref, kms.Disable))
	_, _, err = b.kms.GenerateDataKey(ctx, k.ARN(), nil)
	refused(t, "use of a key that seems enabled", err, keyring.Disabled)
	before = b.requests.Load()
	got, err = b.kms.Resolve(ctx, root(account), k.ARN(), wish)
	if n := b.requests.Load() - before; err != nil || got.State != "Disabled" || n != 1 {
		t.Errorf("after that: %+v after %d requests, %v", got, n, err)
	}
}

func TestTransientErrorsAreRetried(t *testing.T) {
	for _, code := range []string{"KeyUnavailableException", "DependencyTimeoutException", "KMSInternalException"} {
		b := external(t)
		b.code = code
		k := b.key(t, kms.KeySpec{})
		b.broken.Store(keyring.Attempts - 1)
		if _, err := b.Resolve(t.Context(), root(account), k.ID); err != nil {
			t.Errorf("%s less often than we try: %v", code, err)
		}
		b.broken.Store(keyring.Attempts)
		_, err := b.Resolve(t.Context(), root(account), k.ID)
		if _, final := errors.AsType[*keyring.Error](err); final || !errors.Is(err, keyring.ErrUnavailable) {
			t.Errorf("%s as often as we try: %v, want ErrUnavailable and no *Error", code, err)
		}
	}
	b := external(t)
	b.code = "NotFoundException"
	b.broken.Store(1)
	_, err := b.Resolve(t.Context(), root(account), "alias/a")
	refused(t, "an error that is final", err, keyring.NotFound)
	if n := b.requests.Load(); n != 1 {
		t.Errorf("%d requests for an error that is final", n)
	}
}

func TestDamagedEnvelopes(t *testing.T) {
	b, ctx := embedded(t), t.Context()
	row, _, err := b.Encrypted(ctx, account, b.key(t, kms.KeySpec{}).ARN())
	check(t, "make", err)
	for i := range row.WrappedKeys {
		bad := row
		bad.WrappedKeys = append([]byte(nil), row.WrappedKeys...)
		bad.WrappedKeys[i] ^= 0x80
		if _, err := b.OpenEnvelope(ctx, bad); err == nil {
			t.Fatalf("byte %d changed: opened", i)
		}
		bad.WrappedKeys = row.WrappedKeys[:i]
		if _, err := b.OpenEnvelope(ctx, bad); err == nil {
			t.Fatalf("cut to %d bytes: opened", i)
		}
	}
	moved := row
	moved.ID = "dom-0000000000000000a"
	_, err = b.OpenEnvelope(ctx, moved)
	refused(t, "the keys of another domain", err, keyring.Broken)
}

// wordy is a KMS with large ciphertexts.
type wordy struct{ keyring.KMS }

func (wordy) GenerateDataKey(context.Context, string, keyring.Context) (plain, ciphertext []byte, err error) {
	return make([]byte, 32), make([]byte, keyring.MaxCiphertext+1), nil
}

func TestEnvelopeFitsAPack(t *testing.T) {
	b := embedded(t)
	k := b.key(t, kms.KeySpec{})
	b.Ring.KMS = wordy{b.kms}
	if _, _, err := b.Encrypted(t.Context(), account, k.ARN()); err == nil || !strings.Contains(err.Error(), "3072") {
		t.Errorf("got %v", err)
	}
}

func TestWithoutAKMS(t *testing.T) {
	b := embedded(t)
	b.Ring.KMS = nil
	_, err := b.Resolve(t.Context(), root(account), "")
	_, _, errDomain := b.Encrypted(t.Context(), account, "arn:aws:kms:us-east-1:111111111111:key/x")
	_, errKey := b.SnapshotKey(t.Context(), root(account), "x", "snap-1")
	if err == nil || errDomain == nil || errKey == nil {
		t.Errorf("got %v, %v, %v", err, errDomain, errKey)
	}
}

func FuzzEnvelope(f *testing.F) {
	f.Add([]byte{2, 0, 1, 9, 9})
	f.Add([]byte{2, 255, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		ciphertext, keys, err := keyring.SplitEnvelope(data)
		if err == nil && len(ciphertext)+len(keys)+keyring.EnvelopeHead != len(data) {
			t.Errorf("%x falls into %x and %x", data, ciphertext, keys)
		}
	})
}
