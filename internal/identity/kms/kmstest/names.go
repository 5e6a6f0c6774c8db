package kmstest

import (
	"context"

	"github.com/diskport/diskport/internal/identity/kms"
)

// Names is a kms.Principals for tests without IAM: the ids of principals are their ARNs.
type Names struct{}

var _ kms.Principals = Names{}

// BindPrincipals implements kms.Principals.
func (Names) BindPrincipals(_ context.Context, document string) (string, error) { return document, nil }

// ShowPrincipals implements kms.Principals.
func (Names) ShowPrincipals(_ context.Context, document string) (string, error) { return document, nil }

// PrincipalID implements kms.Principals.
func (Names) PrincipalID(_ context.Context, arn string) (string, error) { return arn, nil }

// PrincipalARN implements kms.Principals.
func (Names) PrincipalARN(_ context.Context, id string) (string, error) { return id, nil }

// Asymmetric turns a key into one of another kind, as versions made them before CreateKey refused
// what nothing can be done with.
func Asymmetric(ctx context.Context, s kms.KeyStore, k kms.Key, spec kms.Spec, usage kms.Usage) (kms.Key, error) {
	err := s.ChangeKey(ctx, k.Ref, func(k *kms.Key) error {
		k.Spec, k.Usage, k.Wrapped = spec, usage, nil
		return nil
	})
	if err != nil {
		return kms.Key{}, err
	}
	return s.Key(ctx, k.Ref)
}
