package kms

import (
	"context"
	"errors"
	"fmt"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
)

// PolicyName is the name of a key's one policy.
const PolicyName = "default"

// maxPolicy is the largest key policy, in bytes.
const maxPolicy = 32768

// defaultPolicy leaves the key to the identity policies of its account.
func defaultPolicy(r Ref) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow",`+
		`"Principal":{"AWS":"arn:%s:iam::%s:root"},"Action":"kms:*","Resource":"*"}]}`, awsid.Partition(r.Region), r.Account)
}

// managedPolicy lets everybody of the account use the key through EBS, and
// nobody in another way.
func managedPolicy(r Ref) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Id":"auto-ebs-2","Statement":[`+
		`{"Sid":"Allow access through EBS for all principals in the account that are authorized to use EBS","Effect":"Allow","Principal":{"AWS":"*"},`+
		`"Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*","kms:GenerateDataKey*","kms:CreateGrant","kms:DescribeKey"],"Resource":"*",`+
		`"Condition":{"StringEquals":{"kms:ViaService":"ec2.%s.amazonaws.com","kms:CallerAccount":"%s"}}},`+
		`{"Sid":"Allow direct access to key metadata to the account","Effect":"Allow","Principal":{"AWS":"arn:%s:iam::%[2]s:root"},`+
		`"Action":["kms:Describe*","kms:Get*","kms:List*","kms:RevokeGrant"],"Resource":"*"}]}`, r.Region, r.Account, awsid.Partition(r.Region))
}

// SetPolicy replaces a key's policy. Unless bypass is set, it must leave the
// caller the right to do that again.
func (s *Service) SetPolicy(ctx context.Context, c Caller, k Key, document string, bypass bool) error {
	if err := checkPolicy(c, k, document, bypass); err != nil {
		return err
	}
	return s.change(ctx, k.Ref, func(k *Key) error {
		k.Policy = document
		return nil
	})
}

func checkPolicy(c Caller, k Key, document string, bypass bool) error {
	if len(document) > maxPolicy {
		return failed(ErrMalformedPolicy, "Policy is longer than %d bytes", maxPolicy)
	}
	d, err := policy.Parse(document, policy.Resource)
	if syntax, ok := errors.AsType[*policy.SyntaxError](err); ok {
		return failed(ErrMalformedPolicy, "%s", syntax)
	}
	if err != nil {
		return err
	}
	own, attached := iam.Decide(c.Principal, iam.Access{Action: "kms:PutKeyPolicy", Resource: k.ARN(), Policy: d, Context: c.about(k, "", nil)})
	if !bypass && !allowed(own, attached, true) {
		return failed(ErrMalformedPolicy, "The new key policy will not allow you to update the key policy in the future.")
	}
	return nil
}
