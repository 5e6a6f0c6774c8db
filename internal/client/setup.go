package client

import (
	"context"
	"fmt"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// ImportName names the role and the bucket that Import makes on first use.
const ImportName = "diskport-import"

// TrustPolicy lets the import service assume a role; it is the one in AWS's user guide.
const TrustPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},` +
	`"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:Externalid":"vmimport"}}}]}`

// RolePolicy lets the role read images from any bucket of the account, and encrypt
// snapshots under those of the account's keys whose policies leave that to IAM.
const RolePolicy = `{"Version":"2012-10-17","Statement":[` +
	`{"Effect":"Allow","Action":["s3:GetBucketLocation","s3:GetObject","s3:ListBucket"],"Resource":"*"},` +
	`{"Effect":"Allow","Action":["ec2:ModifySnapshotAttribute","ec2:CopySnapshot","ec2:RegisterImage","ec2:Describe*"],"Resource":"*"},` +
	`{"Effect":"Allow","Action":["kms:CreateGrant","kms:Decrypt","kms:DescribeKey","kms:Encrypt","kms:GenerateDataKey*","kms:ReEncrypt*"],"Resource":"*"}]}`

// CheckRole fails if a role does not exist.
func (c *Client) CheckRole(ctx context.Context, name string) error {
	if err := c.query(ctx, iam, "GetRole", url.Values{"RoleName": {name}}, nil); err != nil {
		return fmt.Errorf("looking up role %s: %w", name, err)
	}
	return nil
}

// CheckBuckets fails if the S3 of the service does not list the account's buckets.
func (c *Client) CheckBuckets(ctx context.Context) error {
	if _, err := c.s3.ListBuckets(ctx, &s3.ListBucketsInput{}); err != nil {
		return fmt.Errorf("listing buckets: %w", err)
	}
	return nil
}

// EnsureRole makes the service role for imports unless it exists.
func (c *Client) EnsureRole(ctx context.Context, name string) error {
	err := c.CheckRole(ctx, name)
	if err == nil || !IsNotFound(err) {
		return err
	}
	err = c.query(ctx, iam, "CreateRole", url.Values{"RoleName": {name}, "AssumeRolePolicyDocument": {TrustPolicy}}, nil)
	if err != nil && code(err) != "EntityAlreadyExists" {
		return fmt.Errorf("creating role %s: %w", name, err)
	}
	err = c.query(ctx, iam, "PutRolePolicy", url.Values{"RoleName": {name}, "PolicyName": {name}, "PolicyDocument": {RolePolicy}}, nil)
	if err != nil {
		return fmt.Errorf("giving role %s its rights: %w", name, err)
	}
	return nil
}

// EnsureBucket makes a bucket unless it exists.
func (c *Client) EnsureBucket(ctx context.Context, name string) error {
	if _, err := c.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(name)}); err == nil {
		return nil
	}
	in := &s3.CreateBucketInput{Bucket: aws.String(name)}
	if region := c.s3.Options().Region; region != "us-east-1" { // where alone it may be left out
		in.CreateBucketConfiguration = &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(region)}
	}
	_, err := c.s3.CreateBucket(ctx, in)
	if err != nil && code(err) != "BucketAlreadyOwnedByYou" {
		return fmt.Errorf("creating bucket %s: %w", name, err)
	}
	return nil
}
