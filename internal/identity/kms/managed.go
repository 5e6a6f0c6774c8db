package kms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/awsid"
)

// EBSAlias is the alias of the key that EBS encrypts with by default.
const EBSAlias = "alias/aws/ebs"

// S3Alias is the alias of the key that S3 encrypts with when a request for aws:kms names
// none.
const S3Alias = "alias/aws/s3"

// managed is a key that AWS manages: it is made when its own account first uses it.
type managed struct {
	alias       string
	description string
	policyID    string
	product     string // in the texts of the policy
	service     string // through which alone it may be used
}

// managedKeys are those keys, sorted by alias.
var managedKeys = []managed{
	{EBSAlias, "Default key that protects my EBS volumes when no other key is defined", "auto-ebs-2", "EBS", "ec2"},
	{S3Alias, "Default key that protects my S3 objects when no other key is defined", "auto-s3-2", "S3", "s3"},
}

// managedBy returns the managed key of an alias.
func managedBy(alias string) (managed, bool) {
	i := slices.IndexFunc(managedKeys, func(m managed) bool { return m.alias == alias })
	if i < 0 {
		return managed{}, false
	}
	return managedKeys[i], true
}

// policy lets everybody in the account use the key through its service, and in no other
// way.
func (m managed) policy(r Ref) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Id":"%[4]s","Statement":[`+
		`{"Sid":"Allow access through %[5]s for all principals in the account that are authorized to use %[5]s","Effect":"Allow","Principal":{"AWS":"*"},`+
		`"Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*","kms:GenerateDataKey*","kms:CreateGrant","kms:DescribeKey"],"Resource":"*",`+
		`"Condition":{"StringEquals":{"kms:ViaService":"%[6]s.%[1]s.amazonaws.com","kms:CallerAccount":"%[2]s"}}},`+
		`{"Sid":"Allow direct access to key metadata to the account","Effect":"Allow","Principal":{"AWS":"arn:%[3]s:iam::%[2]s:root"},`+
		`"Action":["kms:Describe*","kms:Get*","kms:List*","kms:RevokeGrant"],"Resource":"*"}]}`,
		r.Region, r.Account, awsid.Partition(r.Region), m.policyID, m.product, m.service)
}

// makeManaged makes the managed key of an alias, unless another request makes it at the
// same time.
func (s *Service) makeManaged(ctx context.Context, m managed, a Alias) (Ref, error) {
	if !awsid.IsRegion(a.Region) {
		return Ref{}, fmt.Errorf("kms: %q is no region", a.Region)
	}
	k := s.newKey(Ref{a.Account, a.Region, s.newID(false)}, KeySpec{Spec: Symmetric, Usage: EncryptDecrypt, Origin: FromKMS})
	k.Manager, k.Description, k.Policy = AWS, m.description, m.policy(k.Ref)
	k.rotateEvery(usualPeriod, k.Created)
	a.Target, a.Created, a.Updated = k.ID, k.Created, k.Created
	err := s.opts.Store.CreateKey(ctx, k, a)
	if errors.Is(err, ErrExists) {
		found, err := s.opts.Store.Aliases(ctx, a.Account, a.Region, a.Name)
		if err == nil && len(found) == 0 {
			err = NoAlias(a)
		}
		if err != nil {
			return Ref{}, err
		}
		return found[0].Key(), nil
	}
	return k.Ref, err
}

// Aliases returns the aliases of an account and region, sorted by name. Those of managed
// keys are always listed; until its key is made one has no target.
func (s *Service) Aliases(ctx context.Context, account, region string) ([]Alias, error) {
	list, err := s.opts.Store.Aliases(ctx, account, region)
	if err != nil {
		return nil, err
	}
	for _, m := range managedKeys {
		at, made := slices.BinarySearchFunc(list, m.alias, func(a Alias, name string) int { return strings.Compare(a.Name, name) })
		if !made {
			list = slices.Insert(list, at, Alias{Account: account, Region: region, Name: m.alias})
		}
	}
	return list, nil
}
