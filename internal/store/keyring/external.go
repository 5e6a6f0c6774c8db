package keyring

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
)

// stateAge is how old the state of an external key may be.
const stateAge = 60 * time.Second

// External is a KMS behind its API, asked with the service's own credentials: key
// policies and grants there apply to these, which are the operator's. So its keys are
// bound to accounts here: a key may be used by the operator's account, by the account
// in its ARN, and by accounts that the operator allows it to. Callers still need the
// permissions in their own policies here, except for keys that AWS manages.
type External struct {
	client   *sdk.Client
	now      func() time.Time
	operator string
	allowed  []Allowance

	mu     sync.Mutex // guards states
	states map[string]seen
}

// seen is a usable key and when it was seen. Unusable ones are not kept, so a key
// that is enabled again works at once.
type seen struct {
	key Key
	at  time.Time
}

var _ KMS = (*External)(nil)

// ExternalOptions is what an External is made of. Config is required.
type ExternalOptions struct {
	Config   aws.Config       // credentials; each request is made in the region of its key
	Endpoint string           // URL, of all regions; empty: AWS's in each region
	Operator string           // account whose all keys are
	Allowed  []Allowance      // what other accounts may use of them
	Now      func() time.Time // nil means time.Now
	Backoff  time.Duration    // at most, between retries; 0 means the SDK's 20 s
}

// attempts is how often a request is made while its errors are transient.
const attempts = 4

// NewExternal returns a client of an external KMS.
func NewExternal(o ExternalOptions) *External {
	if o.Now == nil {
		o.Now = time.Now
	}
	client := sdk.NewFromConfig(o.Config, func(c *sdk.Options) {
		if o.Endpoint != "" {
			c.BaseEndpoint = &o.Endpoint
		}
		standard := retry.NewStandard(func(s *retry.StandardOptions) {
			s.MaxAttempts = attempts
			if o.Backoff > 0 {
				s.MaxBackoff = o.Backoff
			}
		})
		c.Retryer = retry.AddWithErrorCodes(standard, transient...)
	})
	return &External{client: client, now: o.Now, operator: o.Operator, allowed: o.Allowed, states: map[string]seen{}}
}

// Allowance lets an account use a key that is not its own.
type Allowance struct {
	Account string
	Key     string // ARN, or "*" for all keys
}

// ParseAllowance reads ACCOUNT=KEY.
func ParseAllowance(text string) (Allowance, error) {
	account, key, _ := strings.Cut(text, "=")
	id, err := kms.ParseIdentifier(key)
	if !accountForm.MatchString(account) || key != "*" && (err != nil || id.Account == "" || id.Key == "") {
		return Allowance{}, fmt.Errorf("keyring: %q does not say which account may use which key: give ACCOUNT=KEY, the twelve digits of an account and the ARN of a key, or * for all keys", text)
	}
	return Allowance{account, key}, nil
}

var accountForm = regexp.MustCompile(`^[0-9]{12}$`)

// bound returns nil if an account may use a key at all.
func (e *External) bound(account, arn string) error {
	id, err := kms.ParseIdentifier(arn)
	if account == e.operator || err == nil && id.Account == account {
		return nil
	}
	for _, a := range e.allowed {
		if a.Account == account && (a.Key == "*" || a.Key == arn) {
			return nil
		}
	}
	return &Error{arn, Denied, fmt.Errorf("the key is not one of account %s: the operator allows it by --kms-allow %[1]s=KEY", account)}
}

// transient are the errors that AWS says to retry.
var transient = []string{"KeyUnavailableException", "DependencyTimeoutException", "KMSInternalException"}

// Resolve implements Directory. What it says about a key that is named by its ARN is at
// most a minute old.
func (e *External) Resolve(ctx context.Context, who kms.Caller, identifier string, w Wish) (Key, error) {
	ask := e.describe
	if regionOf(identifier) == who.Region {
		ask = func(ctx context.Context, _, arn string) (Key, error) { return e.State(ctx, arn) }
	}
	k, err := ask(ctx, who.Region, identifier)
	if gone, ok := errors.AsType[*Error](err); ok && who.Principal.Account != e.operator {
		return Key{}, &Error{gone.Key, Denied, gone} // which keys there are is told to the operator alone
	}
	if err != nil {
		return Key{}, err
	}
	w.Key = k
	if err := e.Permit(ctx, who, w); err != nil {
		return Key{}, err
	}
	return k, nil
}

// State implements Directory. It is at most a minute old.
func (e *External) State(ctx context.Context, arn string) (Key, error) {
	e.mu.Lock()
	last, ok := e.states[arn]
	e.mu.Unlock()
	if ok && e.now().Sub(last.at).Abs() < stateAge {
		return last.key, nil
	}
	return e.describe(ctx, regionOf(arn), arn)
}

// in makes a request in a region.
func in(region string) func(*sdk.Options) { return func(o *sdk.Options) { o.Region = region } }

// regionOf returns the region of an ARN, or "".
func regionOf(arn string) string {
	id, _ := kms.ParseIdentifier(arn)
	return id.Region
}

func (e *External) describe(ctx context.Context, region, identifier string) (Key, error) {
	asked := e.now()
	out, err := e.client.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: &identifier}, in(region))
	if err != nil {
		return Key{}, externalError("describing", identifier, err)
	}
	if out.KeyMetadata == nil || out.KeyMetadata.Arn == nil {
		return Key{}, fmt.Errorf("describing key %s: %w: it answers without the key", identifier, ErrUnavailable)
	}
	m := out.KeyMetadata
	k := Key{ARN: *m.Arn, Spec: string(m.KeySpec), Usage: string(m.KeyUsage), State: string(m.KeyState), Managed: m.KeyManager == types.KeyManagerTypeAws}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.states, k.ARN)
	if k.usable() == nil {
		e.states[k.ARN] = seen{k, asked}
	}
	return k, nil
}

// Permit implements Directory: it asks whether the key is bound to the caller's
// account, and the caller's own policies, which is all that is known about the caller
// here.
func (e *External) Permit(ctx context.Context, who kms.Caller, w Wish) error {
	if err := e.bound(who.Principal.Account, w.Key.ARN); err != nil {
		return err
	}
	with := maps.Clone(who.Context)
	if with == nil {
		with = policy.Context{}
	}
	kms.EncryptionContext(w.Context).AddTo(with)
	with.Set("kms:CallerAccount", who.Principal.Account)
	if id, err := kms.ParseIdentifier(w.Key.ARN); err == nil {
		with.Set("aws:ResourceAccount", id.Account)
	}
	for _, action := range w.Actions {
		verdict, err := iam.Decide(ctx, who.Principal, iam.Access{Action: action, Resource: w.Key.ARN, Context: with})
		if err == nil && (verdict.Own == policy.Deny || verdict.Own != policy.Allow && !w.Key.Managed) {
			err = &iam.DeniedError{Principal: who.Principal.ARN, Action: action, Resource: w.Key.ARN, Explicit: verdict.Own == policy.Deny}
		}
		if refused, ok := errors.AsType[*iam.DeniedError](err); ok {
			return &Error{w.Key.ARN, Denied, refused}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// GenerateDataKey implements DataKeys.
func (e *External) GenerateDataKey(ctx context.Context, arn string, c Context) (plain, ciphertext []byte, err error) {
	out, err := e.client.GenerateDataKey(ctx, &sdk.GenerateDataKeyInput{KeyId: &arn, KeySpec: types.DataKeySpecAes256, EncryptionContext: c}, in(regionOf(arn)))
	if err != nil {
		return nil, nil, e.failed("making a data key of", arn, err)
	}
	return out.Plaintext, out.CiphertextBlob, nil
}

// GenerateDataKeyWithoutPlaintext implements DataKeys.
func (e *External) GenerateDataKeyWithoutPlaintext(ctx context.Context, arn string, c Context) ([]byte, error) {
	out, err := e.client.GenerateDataKeyWithoutPlaintext(ctx, &sdk.GenerateDataKeyWithoutPlaintextInput{
		KeyId: &arn, NumberOfBytes: aws.Int32(64), EncryptionContext: c,
	}, in(regionOf(arn)))
	if err != nil {
		return nil, e.failed("making a data key of", arn, err)
	}
	return out.CiphertextBlob, nil
}

// Decrypt implements DataKeys.
func (e *External) Decrypt(ctx context.Context, arn string, ciphertext []byte, c Context) ([]byte, error) {
	out, err := e.client.Decrypt(ctx, &sdk.DecryptInput{KeyId: &arn, CiphertextBlob: ciphertext, EncryptionContext: c}, in(regionOf(arn)))
	if err != nil {
		return nil, e.failed("opening a data key of", arn, err)
	}
	return out.Plaintext, nil
}

// failed drops what was known of a key that just failed.
func (e *External) failed(doing, arn string, err error) error {
	e.mu.Lock()
	delete(e.states, arn)
	e.mu.Unlock()
	return externalError(doing, arn, err)
}

// externalReasons are the reasons for the error codes of the KMS API that are about
// the key.
var externalReasons = map[string]Reason{
	"NotFoundException":          NotFound,
	"InvalidArnException":        Malformed,
	"AccessDeniedException":      Denied,
	"DisabledException":          Disabled,
	"KMSInvalidStateException":   InvalidState,
	"InvalidKeyUsageException":   NotSymmetric,
	"InvalidCiphertextException": Broken,
	"IncorrectKeyException":      Broken,
}

func externalError(doing, key string, err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if reason, known := externalReasons[api.ErrorCode()]; known {
			return &Error{key, reason, err}
		}
	}
	return fmt.Errorf("%s key %s: %w: %w", doing, key, ErrUnavailable, err)
}
