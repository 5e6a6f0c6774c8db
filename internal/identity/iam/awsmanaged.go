package iam

import (
	"crypto/sha256"
	"encoding/base32"
	"maps"
	"slices"
	"strings"
	"time"
)

// awsAccount takes the place of the account in the ARNs of AWS's own policies.
const awsAccount = "aws"

// awsManaged is one of AWS's own policies.
type awsManaged struct {
	description string
	statements  []string
}

func (m awsManaged) document() string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(m.statements, ",") + `]}`
}

// allowAny is a statement that allows actions on everything.
func allowAny(actions string) string {
	return `{"Effect":"Allow","Action":["` + strings.Join(strings.Fields(actions), `","`) + `"],"Resource":"*"}`
}

// allowOn is a statement that allows an action on a resource.
func allowOn(action, resource string) string {
	return `{"Effect":"Allow","Action":["` + action + `"],"Resource":"` + resource + `"}`
}

// imageBuilderRole is the role of Image Builder itself.
const imageBuilderRole = "arn:aws:iam::*:role/aws-service-role/imagebuilder.amazonaws.com/AWSServiceRoleForImageBuilder"

// awsPolicies returns the AWS managed policies that people attach. What they allow is
// what AWS documents, of services that are here and of those that such people name
// beside them; ReadOnlyAccess is reduced to the services that are here. The names
// include the path.
func awsPolicies() map[string]awsManaged {
	list := policiesOfPeople()
	maps.Copy(list, policiesOfPipelines())
	return list
}

// policiesOfPeople are those by what their users do.
func policiesOfPeople() map[string]awsManaged {
	return map[string]awsManaged{
		"AdministratorAccess": {"Provides full access to AWS services and resources.", []string{allowAny("*")}},
		"PowerUserAccess": {
			"Provides full access to AWS services and resources, but does not allow management of Users and groups.",
			[]string{
				`{"Effect":"Allow","NotAction":["iam:*","organizations:*","account:*"],"Resource":"*"}`,
				allowAny("account:GetAccountInformation account:GetPrimaryEmail account:ListRegions " +
					"iam:CreateServiceLinkedRole iam:DeleteServiceLinkedRole iam:ListRoles organizations:DescribeOrganization"),
			},
		},
		"ReadOnlyAccess": {
			"Provides read-only access to AWS services and resources.",
			[]string{allowAny("ec2:Describe* ec2:Get* ebs:Get* ebs:List* s3:Get* s3:List* s3:Head* iam:Get* iam:List* " +
				"kms:Describe* kms:Get* kms:List* sts:GetCallerIdentity sts:GetAccessKeyInfo")},
		},
		"IAMFullAccess": {
			"Provides full access to IAM via the AWS Management Console.",
			[]string{allowAny("iam:* organizations:DescribeAccount organizations:DescribeOrganization organizations:DescribeOrganizationalUnit " +
				"organizations:DescribePolicy organizations:ListChildren organizations:ListParents organizations:ListPoliciesForTarget " +
				"organizations:ListRoots organizations:ListPolicies organizations:ListTargetsForPolicy")},
		},
		"IAMReadOnlyAccess": {
			"Provides read only access to IAM via the AWS Management Console.",
			[]string{allowAny("iam:GenerateCredentialReport iam:GenerateServiceLastAccessedDetails iam:Get* iam:List* iam:SimulateCustomPolicy iam:SimulatePrincipalPolicy")},
		},
		"AmazonEC2FullAccess": {
			"Provides full access to Amazon EC2 via the AWS Management Console.",
			[]string{
				allowAny("ec2:*"), allowAny("elasticloadbalancing:*"), allowAny("cloudwatch:*"), allowAny("autoscaling:*"),
				`{"Effect":"Allow","Action":"iam:CreateServiceLinkedRole","Resource":"*","Condition":{"StringEquals":{"iam:AWSServiceName":[` +
					`"autoscaling.amazonaws.com","ec2scheduled.amazonaws.com","elasticloadbalancing.amazonaws.com","spot.amazonaws.com",` +
					`"spotfleet.amazonaws.com","transitgateway.amazonaws.com"]}}}`,
			},
		},
		"AmazonEC2ReadOnlyAccess": {
			"Provides read only access to Amazon EC2 via the AWS Management Console.",
			[]string{
				allowAny("ec2:Describe* ec2:GetSecurityGroupsForVpc"), allowAny("elasticloadbalancing:Describe*"),
				allowAny("cloudwatch:ListMetrics cloudwatch:GetMetricStatistics cloudwatch:Describe*"), allowAny("autoscaling:Describe*"),
			},
		},
		"AmazonS3FullAccess": {"Provides full access to all buckets via the AWS Management Console.", []string{allowAny("s3:* s3-object-lambda:*")}},
		"AmazonS3ReadOnlyAccess": {
			"Provides read only access to all buckets via the AWS Management Console.",
			[]string{allowAny("s3:Get* s3:List* s3:Describe* s3-object-lambda:Get* s3-object-lambda:List*")},
		},
		"AWSKeyManagementServicePowerUser": {
			"Provides access to AWS Key Management Service (KMS).",
			[]string{allowAny("kms:CreateAlias kms:CreateKey kms:DeleteAlias kms:Describe* kms:GenerateRandom kms:Get* kms:List* " +
				"kms:TagResource kms:UntagResource iam:ListGroups iam:ListRoles iam:ListUsers")},
		},
	}
}

// policiesOfPipelines are those of the roles that import and build images.
func policiesOfPipelines() map[string]awsManaged {
	return map[string]awsManaged{
		"AmazonSSMManagedInstanceCore": {
			"The policy for Amazon EC2 Role to enable AWS Systems Manager service core functionality.",
			[]string{
				allowAny("ssm:DescribeAssociation ssm:GetDeployablePatchSnapshotForInstance ssm:GetDocument ssm:DescribeDocument ssm:GetManifest " +
					"ssm:GetParameter ssm:GetParameters ssm:ListAssociations ssm:ListInstanceAssociations ssm:PutInventory ssm:PutComplianceItems " +
					"ssm:PutConfigurePackageResult ssm:UpdateAssociationStatus ssm:UpdateInstanceAssociationStatus ssm:UpdateInstanceInformation"),
				allowAny("ssmmessages:CreateControlChannel ssmmessages:CreateDataChannel ssmmessages:OpenControlChannel ssmmessages:OpenDataChannel"),
				allowAny("ec2messages:AcknowledgeMessage ec2messages:DeleteMessage ec2messages:FailMessage ec2messages:GetEndpoint " +
					"ec2messages:GetMessages ec2messages:SendReply"),
			},
		},
		"EC2InstanceProfileForImageBuilder": {
			"EC2 Instance profile for Image Builder service.",
			[]string{
				allowAny("imagebuilder:GetComponent"),
				`{"Effect":"Allow","Action":["kms:Decrypt"],"Resource":"*","Condition":{"ForAnyValue:StringEquals":` +
					`{"kms:EncryptionContextKeys":"aws:imagebuilder:arn","aws:CalledVia":["imagebuilder.amazonaws.com"]}}}`,
				`{"Effect":"Allow","Action":["s3:GetObject"],"Resource":"arn:aws:s3:::ec2imagebuilder*"}`,
				`{"Effect":"Allow","Action":["logs:CreateLogStream","logs:CreateLogGroup","logs:PutLogEvents"],"Resource":"arn:aws:logs:*:*:log-group:/aws/imagebuilder/*"}`,
			},
		},
		"AWSImageBuilderFullAccess": {
			"Provides full access to all AWS Image Builder actions and resource scoped access to related AWS Services.",
			[]string{
				allowAny("imagebuilder:*"), allowAny("sns:ListTopics"), allowOn("sns:Publish", "arn:aws:sns:*:*:*imagebuilder*"),
				allowAny("license-manager:ListLicenseConfigurations license-manager:ListLicenseSpecificationsForResource"),
				allowOn("iam:GetRole", imageBuilderRole), allowOn("iam:GetInstanceProfile", "arn:aws:iam::*:instance-profile/*imagebuilder*"),
				allowAny("iam:ListInstanceProfiles iam:ListRoles"),
				`{"Effect":"Allow","Action":"iam:PassRole","Resource":["arn:aws:iam::*:instance-profile/*imagebuilder*","arn:aws:iam::*:role/*imagebuilder*"],` +
					`"Condition":{"StringEquals":{"iam:PassedToService":"ec2.amazonaws.com"}}}`,
				allowAny("s3:ListAllMyBuckets s3:GetBucketLocation"), allowOn("s3:ListBucket", "arn:aws:s3::*:*imagebuilder*"),
				`{"Effect":"Allow","Action":"iam:CreateServiceLinkedRole","Resource":"` + imageBuilderRole + `",` +
					`"Condition":{"StringLike":{"iam:AWSServiceName":"imagebuilder.amazonaws.com"}}}`,
				allowAny("ec2:DescribeImages ec2:DescribeSnapshots ec2:DescribeVpcs ec2:DescribeRegions ec2:DescribeVolumes ec2:DescribeSubnets " +
					"ec2:DescribeKeyPairs ec2:DescribeSecurityGroups ec2:DescribeInstanceTypeOfferings ec2:DescribeLaunchTemplates"),
			},
		},
		"service-role/VMImportExportRoleForAWSConnector": {
			"Default policy for the VM Import/Export service role, for customers using the AWS Connector. " +
				"The VM Import/Export service assumes a role with this policy to fulfill virtual machine migration requests from the AWS Connector virtual appliance.",
			[]string{
				`{"Effect":"Allow","Action":["s3:ListBucket","s3:GetBucketLocation","s3:GetObject"],"Resource":["arn:aws:s3:::import-to-ec2-*"]}`,
				allowAny("ec2:ModifySnapshotAttribute ec2:CopySnapshot ec2:RegisterImage ec2:Describe*"),
			},
		},
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
	found, ok := awsPolicies()[(path + name)[1:]]
	if !ok {
		return Managed{}, false
	}
	since := time.Date(2015, 2, 6, 18, 39, 46, 0, time.UTC)
	id := sha256.Sum256([]byte(arn)) // the same in every run
	return Managed{
		Account: awsAccount, Name: name, Path: path, ID: "ANPA" + base32.StdEncoding.EncodeToString(id[:])[:17], Description: found.description,
		Created: since, Updated: since, Versions: []Version{{1, found.document(), since}}, Default: 1, Last: 1,
	}, true
}
