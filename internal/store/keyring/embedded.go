package keyring

import (
	"context"
	"errors"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
)

// Embedded is the service's own KMS. Nothing is cached.
type Embedded struct{ Service *kms.Service }

var _ KMS = Embedded{}

// Resolve implements Directory.
func (e Embedded) Resolve(ctx context.Context, who kms.Caller, identifier string, w Wish) (k Key, err error) {
	for _, action := range w.Actions {
		a, err := e.Service.Open(ctx, who, kms.Ask{Action: action, Key: identifier, Context: kms.EncryptionContext(w.Context)})
		if err != nil {
			return Key{}, embeddedError(identifier, err)
		}
		k = embeddedKey(a.Key)
	}
	return k, nil
}

// State implements Directory.
func (e Embedded) State(ctx context.Context, arn string) (Key, error) {
	k, err := e.Service.ByARN(ctx, arn)
	if err != nil {
		return Key{}, embeddedError(arn, err)
	}
	return embeddedKey(k), nil
}

// Permit implements Directory.
func (e Embedded) Permit(ctx context.Context, who kms.Caller, w Wish) error {
	with := policy.Context{}
	with.Set("kms:GrantIsForAWSResource", "true")
	for _, action := range w.Actions {
		ask := kms.Ask{Action: action, Key: w.Key.ARN, Context: kms.EncryptionContext(w.Context), With: with}
		if _, err := e.Service.Open(ctx, who, ask); err != nil {
			return embeddedError(w.Key.ARN, err)
		}
	}
	return nil
}

// GenerateDataKey implements DataKeys.
func (e Embedded) GenerateDataKey(ctx context.Context, arn string, c Context) (plain, ciphertext []byte, err error) {
	return e.generate(ctx, arn, 32, c)
}

// GenerateDataKeyWithoutPlaintext implements DataKeys.
func (e Embedded) GenerateDataKeyWithoutPlaintext(ctx context.Context, arn string, c Context) ([]byte, error) {
	plain, ciphertext, err := e.generate(ctx, arn, 64, c)
	clear(plain)
	return ciphertext, err
}

func (e Embedded) generate(ctx context.Context, arn string, n int, c Context) (plain, ciphertext []byte, err error) {
	k, err := e.Service.ByARN(ctx, arn)
	if err == nil {
		plain, ciphertext, err = e.Service.GenerateDataKey(k, n, kms.EncryptionContext(c))
	}
	if err != nil {
		return nil, nil, embeddedError(arn, err)
	}
	return plain, ciphertext, nil
}

// Decrypt implements DataKeys.
func (e Embedded) Decrypt(ctx context.Context, arn string, ciphertext []byte, c Context) ([]byte, error) {
	k, err := e.Service.ByARN(ctx, arn)
	if err != nil {
		return nil, embeddedError(arn, err)
	}
	plain, err := e.Service.Decrypt(k, ciphertext, kms.EncryptionContext(c))
	if err != nil {
		return nil, embeddedError(arn, err)
	}
	return plain, nil
}

func embeddedKey(k kms.Key) Key {
	return Key{ARN: k.ARN(), Spec: string(k.Spec), Usage: string(k.Usage), State: string(k.State), Managed: k.Manager == kms.AWS}
}

// embeddedReasons are the reasons for errors of the embedded KMS that are about a
// key. All others are internal.
var embeddedReasons = []struct {
	err    error
	reason Reason
}{
	{kms.ErrNotFound, NotFound},
	{kms.ErrInvalidARN, Malformed},
	{kms.ErrDenied, Denied},
	{kms.ErrDisabled, Disabled},
	{kms.ErrState, InvalidState},
	{kms.ErrUsage, NotSymmetric},
	{kms.ErrInvalidCiphertext, Broken},
	{kms.ErrIncorrectKey, Broken},
}

func embeddedError(key string, err error) error {
	for _, row := range embeddedReasons {
		if errors.Is(err, row.err) {
			return &Error{key, row.reason, err}
		}
	}
	return err
}
