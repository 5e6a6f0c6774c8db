package policy

import "testing"

// Policies like those in AWS's guides, and those that users write.
const (
	// The role of the VM Import guide, with its KMS statement.
	importRole = `{"Effect":"Allow","Action":["s3:GetBucketLocation","s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::disks","arn:aws:s3:::disks/*"]},
		{"Effect":"Allow","Action":["ec2:ModifySnapshotAttribute","ec2:CopySnapshot","ec2:RegisterImage","ec2:Describe*"],"Resource":"*"},
		{"Effect":"Allow","Action":["kms:CreateGrant","kms:Decrypt","kms:DescribeKey","kms:Encrypt","kms:GenerateDataKey*","kms:ReEncrypt*"],"Resource":"*"}`
	// An organisation's guardrail: nothing outside two regions, except global
	// services.
	regions = `{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","NotAction":["iam:*","sts:*","support:*"],"Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":["eu-central-1","eu-west-1"]}}}`
	// Nothing without a second factor, except setting one up.
	mfa = `{"Effect":"Allow","Action":"ec2:*","Resource":"*"},
		{"Effect":"Deny","NotAction":["iam:GetUser","iam:EnableMFADevice","sts:GetSessionToken"],"Resource":"*","Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}}`
	// Only from the office, unless a service calls on the user's behalf.
	office = `{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":["192.0.2.0/24","203.0.113.0/24"]},"Bool":{"aws:ViaAWSService":"false"}}}`
	// Users may set tags on what they create, but not later.
	tagOnCreate = `{"Effect":"Allow","Action":["ec2:ImportSnapshot","ec2:CopySnapshot"],"Resource":"*"},
		{"Effect":"Allow","Action":"ec2:CreateTags","Resource":"arn:aws:ec2:*:*:*/*","Condition":{"StringEquals":{"ec2:CreateAction":["ImportSnapshot","CopySnapshot"]}}}`
	// Attribute-based: a user may act on the snapshots of the user's project, and
	// set only its tags.
	project = `{"Effect":"Allow","Action":["ec2:DeleteSnapshot","ec2:ModifySnapshotAttribute"],"Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/project":"${aws:PrincipalTag/project}"}}},
		{"Effect":"Allow","Action":"ec2:CreateTags","Resource":"arn:aws:ec2:*::snapshot/*","Condition":{"StringEquals":{"aws:RequestTag/project":"${aws:PrincipalTag/project}"},"ForAllValues:StringEquals":{"aws:TagKeys":["project","Name"]}}}`
	// The EBS direct guide: read some snapshots, write children of one.
	direct = `{"Effect":"Allow","Action":["ebs:ListSnapshotBlocks","ebs:ListChangedBlocks","ebs:GetSnapshotBlock"],"Resource":"arn:aws:ec2:*::snapshot/*","Condition":{"StringEqualsIgnoreCase":{"aws:ResourceTag/Test":["true"]}}},
		{"Effect":"Allow","Action":"ebs:StartSnapshot","Resource":"arn:aws:ec2:*::snapshot/*","Condition":{"StringEquals":{"ebs:ParentSnapshot":"arn:aws:ec2:us-east-1::snapshot/snap-0a"},"NumericLessThanEquals":{"ebs:VolumeSize":"100"}}}`
	// A folder of the user's own in a shared bucket.
	home = `{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::shared","Condition":{"StringLike":{"s3:prefix":["","home/","home/${aws:username}/*"]}}},
		{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::shared/home/${aws:username}","arn:aws:s3:::shared/home/${aws:username}/*"]}`
	// Import only until the end of the project.
	until = `{"Effect":"Allow","Action":"ec2:Import*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"2026-07-01T00:00:00Z"}}}`
)

var realWorld = []statementCase{
	{"import role reads a disk", importRole, "s3:GetObject", "arn:aws:s3:::disks/a/b.vmdk", "", Allow},
	{"import role lists its bucket", importRole, "s3:ListBucket", "arn:aws:s3:::disks", "", Allow},
	{"import role reads no other bucket", importRole, "s3:GetObject", "arn:aws:s3:::disks2/a", "", NoMatch},
	{"import role does not write", importRole, "s3:PutObject", "arn:aws:s3:::disks/a", "", NoMatch},
	{"import role makes data keys", importRole, "kms:GenerateDataKeyWithoutPlaintext", "arn:aws:kms:us-east-1:123456789012:key/k", "", Allow},
	{"import role deletes no key", importRole, "kms:ScheduleKeyDeletion", "arn:aws:kms:us-east-1:123456789012:key/k", "", NoMatch},
	{"a region that is allowed", regions, "ec2:ImportSnapshot", "*", "aws:requestedregion=eu-west-1", Allow},
	{"a region that is not", regions, "ec2:ImportSnapshot", "*", "aws:requestedregion=us-east-1", Deny},
	{"what is global", regions, "iam:CreateRole", "*", "aws:requestedregion=us-east-1", Allow},
	{"with a second factor", mfa, "ec2:DeleteSnapshot", "*", "aws:multifactorauthpresent=true", Allow},
	{"without one", mfa, "ec2:DeleteSnapshot", "*", "aws:multifactorauthpresent=false", Deny},
	{"by a key that can't say", mfa, "ec2:DeleteSnapshot", "*", "", Deny},
	{"from the office", office, "ec2:X", "*", "aws:sourceip=203.0.113.9;aws:viaawsservice=false", Allow},
	{"from elsewhere", office, "ec2:X", "*", "aws:sourceip=198.51.100.1;aws:viaawsservice=false", Deny},
	{"through a service", office, "ec2:X", "*", "aws:sourceip=198.51.100.1;aws:viaawsservice=true", Allow},
	{"tag what is imported", tagOnCreate, "ec2:CreateTags", "arn:aws:ec2:us-east-1:123456789012:import-snapshot-task/*", "ec2:createaction=ImportSnapshot", Allow},
	{"tag later", tagOnCreate, "ec2:CreateTags", "arn:aws:ec2:us-east-1::snapshot/snap-0a", "", NoMatch},
	{"delete of one's project", project, "ec2:DeleteSnapshot", "arn:aws:ec2:us-east-1::snapshot/snap-0a", "aws:resourcetag/project=red;aws:principaltag/project=red", Allow},
	{"delete of another's", project, "ec2:DeleteSnapshot", "arn:aws:ec2:us-east-1::snapshot/snap-0a", "aws:resourcetag/project=blue;aws:principaltag/project=red", NoMatch},
	{"delete of nobody's", project, "ec2:DeleteSnapshot", "arn:aws:ec2:us-east-1::snapshot/snap-0a", "aws:principaltag/project=red", NoMatch},
	{"delete by who has no project", project, "ec2:DeleteSnapshot", "arn:aws:ec2:us-east-1::snapshot/snap-0a", "aws:resourcetag/project=red", NoMatch},
	{"tags of one's project", project, "ec2:CreateTags", "arn:aws:ec2:us-east-1::snapshot/*", "aws:requesttag/project=red;aws:principaltag/project=red;aws:tagkeys=project|Name", Allow},
	{"other tags beside it", project, "ec2:CreateTags", "arn:aws:ec2:us-east-1::snapshot/*", "aws:requesttag/project=red;aws:principaltag/project=red;aws:tagkeys=project|cost", NoMatch},
	{"read what is tagged", direct, "ebs:GetSnapshotBlock", "arn:aws:ec2:us-east-1::snapshot/snap-0a", "aws:resourcetag/test=True", Allow},
	{"read what is not", direct, "ebs:GetSnapshotBlock", "arn:aws:ec2:us-east-1::snapshot/snap-0a", "", NoMatch},
	{"a child of the one", direct, "ebs:StartSnapshot", "arn:aws:ec2:us-east-1::snapshot/*", "ebs:parentsnapshot=arn:aws:ec2:us-east-1::snapshot/snap-0a;ebs:volumesize=100", Allow},
	{"a larger child", direct, "ebs:StartSnapshot", "arn:aws:ec2:us-east-1::snapshot/*", "ebs:parentsnapshot=arn:aws:ec2:us-east-1::snapshot/snap-0a;ebs:volumesize=101", NoMatch},
	{"a child of none", direct, "ebs:StartSnapshot", "arn:aws:ec2:us-east-1::snapshot/*", "ebs:volumesize=1", NoMatch},
	{"home", home, "s3:PutObject", "arn:aws:s3:::shared/home/ann/disk.raw", "aws:username=ann", Allow},
	{"another's home", home, "s3:GetObject", "arn:aws:s3:::shared/home/bob/disk.raw", "aws:username=ann", NoMatch},
	{"a name that is longer", home, "s3:GetObject", "arn:aws:s3:::shared/home/anna/disk.raw", "aws:username=ann", NoMatch},
	{"list of home", home, "s3:ListBucket", "arn:aws:s3:::shared", "aws:username=ann;s3:prefix=home/ann/x", Allow},
	{"list of another's", home, "s3:ListBucket", "arn:aws:s3:::shared", "aws:username=ann;s3:prefix=home/bob/", NoMatch},
	{"list of all", home, "s3:ListBucket", "arn:aws:s3:::shared", "aws:username=ann", NoMatch},
	{"in time", until, "ec2:ImportSnapshot", "*", "aws:currenttime=2026-06-30T23:59:59Z", Allow},
	{"too late", until, "ec2:ImportSnapshot", "*", "aws:currenttime=2026-07-01T00:00:00Z", NoMatch},
}

func TestRealWorld(t *testing.T) {
	for _, c := range realWorld {
		t.Run(c.name, func(t *testing.T) {
			d, err := Parse(document(c.statement), Identity)
			if err != nil {
				t.Fatal(err)
			}
			if got := d.Evaluate(NewWork(t.Context()), Request{Action: c.action, Resource: c.resource, Context: contextOf(c.context)}); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}
