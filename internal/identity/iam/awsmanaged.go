package iam

import (
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"time"
)

// awsAccount takes the place of the account in the ARNs of AWS's own policies.
const awsAccount = "aws"

// awsPolicies returns the AWS managed policies that people attach, reduced to the
// services that exist here. The names include the path.
func awsPolicies() map[string]string {
	allow := func(actions string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[` + actions + `],"Resource":"*"}]}`
	}
	return map[string]string{
		"AdministratorAccess":     allow(`"*"`),
		"PowerUserAccess":         `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":["iam:*","organizations:*","account:*"],"Resource":"*"},{"Effect":"Allow","Action":["iam:CreateServiceLinkedRole","iam:DeleteServiceLinkedRole","iam:ListRoles"],"Resource":"*"}]}`,
		"ReadOnlyAccess":          allow(`"ec2:Describe*","ec2:Get*","ebs:Get*","ebs:List*","s3:Get*","s3:List*","s3:Head*","iam:Get*","iam:List*","kms:Describe*","kms:Get*","kms:List*","sts:GetCallerIdentity","sts:GetAccessKeyInfo"`),
		"IAMFullAccess":           allow(`"iam:*"`),
		"IAMReadOnlyAccess":       allow(`"iam:Get*","iam:List*"`),
		"AmazonEC2FullAccess":     allow(`"ec2:*"`),
		"AmazonEC2ReadOnlyAccess": allow(`"ec2:Describe*","ec2:Get*"`),
		"AmazonS3FullAccess":      allow(`"s3:*","s3-object-lambda:*"`),
		"AmazonS3ReadOnlyAccess":  allow(`"s3:Get*","s3:List*","s3:Describe*","s3-object-lambda:Get*","s3-object-lambda:List*"`),
		"AWSKeyManagementServicePowerUser": allow(`"kms:CreateAlias","kms:CreateKey","kms:DeleteAlias","kms:Describe*","kms:GenerateRandom",` +
			`"kms:Get*","kms:List*","kms:TagResource","kms:UntagResource","iam:ListGroups","iam:ListRoles","iam:ListUsers"`),
		"service-role/VMImportExportRoleForAWSConnector": `{"Version":"2012-10-17","Statement":[` +
			`{"Effect":"Allow","Action":["s3:ListBucket","s3:GetBucketLocation","s3:GetObject"],"Resource":["arn:aws:s3:::import-to-ec2-*"]},` +
			`{"Effect":"Allow","Action":["ec2:ModifySnapshotAttribute","ec2:CopySnapshot","ec2:RegisterImage","ec2:Describe*"],"Resource":"*"}]}`,
	}
}

func awsPolicyNames() []string {
	var names []string
	for name := range awsPolicies() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// awsPolicy returns the AWS managed policy with an ARN.
func (s *Service) awsPolicy(arn string) (Managed, bool) {
	account, path, name, ok := s.splitARN(arn, "policy")
	if !ok || account != awsAccount {
		return Managed{}, false
	}
	document, ok := awsPolicies()[(path + name)[1:]]
	if !ok {
		return Managed{}, false
	}
	since := time.Date(2015, 2, 6, 18, 39, 0, 0, time.UTC)
	id := sha256.Sum256([]byte(arn)) // the same in every run
	return Managed{
		Account: awsAccount, Name: name, Path: path, ID: "ANPA" + base32.StdEncoding.EncodeToString(id[:])[:17],
		Created: since, Updated: since, Versions: []Version{{1, document, since}}, Default: 1, Last: 1,
	}, true
}
