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
