package e2e

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/s3api"
	"github.com/diskport/diskport/internal/client"
)

// refusable is what TestAllButOneThing asks with: somebody, and what there is to name.
type refusable struct {
	*service
	creds  aws.CredentialsProvider
	names  map[string]string // parameters of all actions, with what they name
	signed string            // region that requests are signed for; empty: region
}

// in is r with requests that are signed for another region.
func (r refusable) in(region string) refusable {
	r.signed = region
	return r
}

// versionsOf are those of the query protocols.
var versionsOf = map[string]string{awshttp.EC2: "2016-11-15", awshttp.IAM: "2010-05-08", awshttp.STS: "2011-06-15"}

// unknownParameter matches how the query protocols and KMS name what an action has not.
var unknownParameter = regexp.MustCompile(`The parameter ([A-Za-z0-9.]+?)(?:\.\d+)? is not recognized|unknown field \\?"(\w+)\\?"`)

// ask sends a signed request.
func (r refusable) ask(t *testing.T, service, method, path string, body []byte, header http.Header) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.endpoint+path, strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Content-Sha256", hash)
	creds, err := r.creds.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == awshttp.S3 })
	if err := signer.SignHTTP(context.Background(), creds, req, hash, service, cmp.Or(r.signed, region), time.Now()); err != nil {
		t.Fatal(err)
	}
	res, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// try asks for an action with every parameter that it takes, and returns which those are.
func (r refusable) try(t *testing.T, service, action string) (status int, answer string, given []string) {
	t.Helper()
	params := maps.Clone(r.names)
	delete(params, "-denied") // not one
	for range len(params) + 1 {
		switch service {
		case awshttp.KMS:
			body := map[string]any{}
			for name, value := range params {
				if !strings.Contains(name, ".") {
					body[name] = value
				}
			}
			text, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			status, answer = r.ask(t, service, "POST", "/", text, http.Header{"X-Amz-Target": {"TrentService." + action}, "Content-Type": {"application/x-amz-json-1.1"}})
		default:
			form := url.Values{"Action": {action}, "Version": {versionsOf[service]}}
			for name, value := range params {
				form.Set(name, value)
			}
			status, answer = r.ask(t, service, "POST", "/", []byte(form.Encode()), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
		}
		m := unknownParameter.FindStringSubmatch(answer)
		if m == nil {
			break
		}
		name := m[1] + m[2]
		before := len(params)
		maps.DeleteFunc(params, func(p, _ string) bool { return p == name || strings.HasPrefix(p, name+".") })
		if len(params) == before {
			t.Fatalf("%s %s: %s", service, action, answer)
		}
	}
	return status, answer, slices.Sorted(maps.Keys(params))
}

// asksNothing are the actions that need no permission, as at AWS; GetSessionToken is for
// users and roots alone.
var asksNothing = []string{"sts:GetCallerIdentity", "sts:GetSessionToken"}

// namesNothing are the actions whose permission is not for the things that they name, as
// at AWS; policies can't limit them to some.
var namesNothing = regexp.MustCompile(`^(ec2:(Describe(Snapshots|Images|Tags|Regions|AvailabilityZones|AccountAttributes|Volumes|VolumeStatus|VolumesModifications|ImportSnapshotTasks|ImportImageTasks|SnapshotTierStatus)|ImportSnapshot|(Modify|Reset|Get|Enable|Disable)Ebs.*)|` +
	`iam:(List(Users|Roles|Policies|AccountAliases|Groups|VirtualMFADevices|InstanceProfiles)|Create(User|Role|Policy|InstanceProfile))|kms:(CreateKey|GenerateRandom|List(Keys|Aliases|RetirableGrants))|sts:.*)$`)

// TestAllButOneThing walks every action of the services that name what they act on, with
// somebody who may do everything but one thing, and must be refused.
func TestAllButOneThing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root := start(t, filepath.Join(dir, "data"))
	names := root.furnish(t, dir)
	bound := refusable{service: root, names: names}
	ctx := t.Context()
	user, policyName := aws.String("bound"), aws.String("p")
	if _, err := root.IAM.CreateUser(ctx, &iam.CreateUserInput{UserName: user}); err != nil {
		t.Fatal(err)
	}
	key, err := root.IAM.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: user})
	if err != nil {
		t.Fatal(err)
	}
	bound.creds = credentials.NewStaticCredentialsProvider(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
	but := func(deny string) {
		t.Helper()
		text := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny",` + deny + `}]}`
		if _, err := root.IAM.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: user, PolicyName: policyName, PolicyDocument: &text}); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(status int, answer string) bool {
		return status == 403 && (answer == "" || strings.Contains(answer, "not authorized to perform") || strings.Contains(answer, "AccessDenied")) ||
			status == 200 && strings.Contains(answer, "<Code>AccessDenied</Code>") && !strings.Contains(answer, "<Deleted>") || // of many keys, each for itself
			status == 400 && strings.Contains(answer, "AccessDeniedException")
	}
	_, neighbour := root.neighbour(t)
	stranger := refusable{service: neighbour, creds: neighbour.creds, names: names}
	bound.walkPaths(t, stranger, but, refused)
	actions := built()
	for _, service := range []string{awshttp.EC2, awshttp.IAM, awshttp.STS, awshttp.KMS} {
		for _, action := range actions[service] {
			permission := service + ":" + action
			if slices.Contains(asksNothing, permission) {
				continue
			}
			what := permission
			if action == "ReEncrypt" {
				what = "kms:ReEncrypt*"
			}
			but(`"Action":"` + what + `","Resource":"*"`)
			if status, answer, given := bound.try(t, service, action); !refused(status, answer) {
				t.Errorf("%s by who may not, with %v: %d %s", permission, given, status, answer)
			}
			but(`"Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"` + region + `"}}`)
			if status, answer, given := bound.try(t, service, action); !refused(status, answer) {
				t.Errorf("%s in a region that is denied, with %v: %d %s", permission, given, status, answer)
			}
			if namesNothing.MatchString(permission) {
				continue
			}
			but(`"Action":"*","Resource":` + names["-denied"])
			if status, answer, given := bound.try(t, service, action); !refused(status, answer) {
				t.Errorf("%s on what is denied, with %v: %d %s", permission, given, status, answer)
			}
			but(`"Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/keep":"yes"}}`)
			if status, answer, given := bound.try(t, service, action); !refused(status, answer) {
				t.Errorf("%s on what has a tag, with %v: %d %s", permission, given, status, answer)
			}
			if status, answer, given := stranger.try(t, service, action); status/100 == 2 {
				t.Errorf("%s by another account, with %v: %d %s", permission, given, status, answer)
			}
			if service == awshttp.IAM { // which is global: neither ARNs nor requests have a region
				continue
			}
			but(`"Action":"*","Resource":"arn:aws:` + service + `:` + region + `:*"`)
			if status, answer, given := bound.try(t, service, action); !refused(status, answer) {
				t.Errorf("%s on what is in a region that is denied, with %v: %d %s", permission, given, status, answer)
			}
			for _, elsewhere := range []string{"eu-north-1", "cn-north-1"} {
				if status, answer, given := bound.in(elsewhere).try(t, service, action); status/100 == 2 {
					t.Errorf("%s from %s, with %v: %d %s", permission, elsewhere, given, status, answer)
				}
			}
		}
	}
}

// addressed are the requests of the services that name what they act on by a path. S is
// the snapshot, T the task.
var addressed = []struct{ service, permission, method, path, body string }{
	{awshttp.EBS, "ebs:ListSnapshotBlocks", "GET", "/snapshots/S/blocks", ""},
	{awshttp.EBS, "ebs:ListChangedBlocks", "GET", "/snapshots/S/changedblocks?firstSnapshotId=S", ""},
	{awshttp.EBS, "ebs:GetSnapshotBlock", "GET", "/snapshots/S/blocks/0?blockToken=x", ""},
	{awshttp.EBS, "ebs:PutSnapshotBlock", "PUT", "/snapshots/S/blocks/0", ""},
	{awshttp.EBS, "ebs:CompleteSnapshot", "POST", "/snapshots/completion/S", ""},
	{awshttp.EBS, "ebs:StartSnapshot", "POST", "/snapshots", `{"VolumeSize":1}`},
	{awshttp.EBS, "ec2:CreateTags", "POST", "/snapshots", `{"VolumeSize":1,"Tags":[{"Key":"a","Value":"b"}]}`},

	{awshttp.S3, "s3:ListAllMyBuckets", "GET", "/", ""},
	{awshttp.S3, "s3:ListBucket", "GET", "/images", ""},
	{awshttp.S3, "s3:ListBucket", "HEAD", "/images", ""},
	{awshttp.S3, "s3:ListBucket", "GET", "/images?list-type=2", ""},
	{awshttp.S3, "s3:ListBucketVersions", "GET", "/images?versions", ""},
	{awshttp.S3, "s3:CreateBucket", "PUT", "/images", ""},
	{awshttp.S3, "s3:DeleteBucket", "DELETE", "/images", ""},
	{awshttp.S3, "s3:ListBucketMultipartUploads", "GET", "/images?uploads", ""},
	{awshttp.S3, "s3:DeleteObject", "POST", "/images?delete", "<Delete><Object><Key>disk.raw</Key></Object></Delete>"},
	{awshttp.S3, "s3:GetBucketLocation", "GET", "/images?location", ""},
	{awshttp.S3, "s3:GetBucketAcl", "GET", "/images?acl", ""},
	{awshttp.S3, "s3:PutBucketAcl", "PUT", "/images?acl", ""},
	{awshttp.S3, "s3:GetBucketPolicy", "GET", "/images?policy", ""},
	{awshttp.S3, "s3:PutBucketPolicy", "PUT", "/images?policy", ""},
	{awshttp.S3, "s3:DeleteBucketPolicy", "DELETE", "/images?policy", ""},
	{awshttp.S3, "s3:GetBucketPolicyStatus", "GET", "/images?policyStatus", ""},
	{awshttp.S3, "s3:GetBucketTagging", "GET", "/images?tagging", ""},
	{awshttp.S3, "s3:PutBucketTagging", "PUT", "/images?tagging", ""},
	{awshttp.S3, "s3:PutBucketTagging", "DELETE", "/images?tagging", ""},
	{awshttp.S3, "s3:GetBucketCORS", "GET", "/images?cors", ""},
	{awshttp.S3, "s3:PutBucketCORS", "PUT", "/images?cors", ""},
	{awshttp.S3, "s3:PutBucketCORS", "DELETE", "/images?cors", ""},
	{awshttp.S3, "s3:GetLifecycleConfiguration", "GET", "/images?lifecycle", ""},
	{awshttp.S3, "s3:PutLifecycleConfiguration", "PUT", "/images?lifecycle", ""},
	{awshttp.S3, "s3:PutLifecycleConfiguration", "DELETE", "/images?lifecycle", ""},
	{awshttp.S3, "s3:GetEncryptionConfiguration", "GET", "/images?encryption", ""},
	{awshttp.S3, "s3:PutEncryptionConfiguration", "PUT", "/images?encryption", ""},
	{awshttp.S3, "s3:PutEncryptionConfiguration", "DELETE", "/images?encryption", ""},
	{awshttp.S3, "s3:GetBucketOwnershipControls", "GET", "/images?ownershipControls", ""},
	{awshttp.S3, "s3:PutBucketOwnershipControls", "PUT", "/images?ownershipControls", ""},
	{awshttp.S3, "s3:PutBucketOwnershipControls", "DELETE", "/images?ownershipControls", ""},
	{awshttp.S3, "s3:GetBucketPublicAccessBlock", "GET", "/images?publicAccessBlock", ""},
	{awshttp.S3, "s3:PutBucketPublicAccessBlock", "PUT", "/images?publicAccessBlock", ""},
	{awshttp.S3, "s3:PutBucketPublicAccessBlock", "DELETE", "/images?publicAccessBlock", ""},
	{awshttp.S3, "s3:GetBucketVersioning", "GET", "/images?versioning", ""},
	{awshttp.S3, "s3:PutBucketVersioning", "PUT", "/images?versioning", ""},
	{awshttp.S3, "s3:GetBucketNotification", "GET", "/images?notification", ""},
	{awshttp.S3, "s3:PutBucketNotification", "PUT", "/images?notification", ""},
	{awshttp.S3, "s3:GetBucketLogging", "GET", "/images?logging", ""},
	{awshttp.S3, "s3:PutBucketLogging", "PUT", "/images?logging", ""},
	{awshttp.S3, "s3:GetAccelerateConfiguration", "GET", "/images?accelerate", ""},
	{awshttp.S3, "s3:GetBucketRequestPayment", "GET", "/images?requestPayment", ""},
	{awshttp.S3, "s3:PutBucketRequestPayment", "PUT", "/images?requestPayment", ""},
	{awshttp.S3, "s3:GetBucketWebsite", "GET", "/images?website", ""},
	{awshttp.S3, "s3:DeleteBucketWebsite", "DELETE", "/images?website", ""},
	{awshttp.S3, "s3:GetReplicationConfiguration", "GET", "/images?replication", ""},
	{awshttp.S3, "s3:PutReplicationConfiguration", "DELETE", "/images?replication", ""},
	{awshttp.S3, "s3:GetBucketObjectLockConfiguration", "GET", "/images?object-lock", ""},
	{awshttp.S3, "s3:GetObject", "GET", "/images/disk.raw", ""},
	{awshttp.S3, "s3:GetObject", "HEAD", "/images/disk.raw", ""},
	{awshttp.S3, "s3:PutObject", "PUT", "/images/disk.raw", ""},
	{awshttp.S3, "s3:DeleteObject", "DELETE", "/images/disk.raw", ""},
	{awshttp.S3, "s3:GetObjectAttributes", "GET", "/images/disk.raw?attributes", ""},
	{awshttp.S3, "s3:GetObject", "GET", "/images/disk.raw?attributes", ""},
	{awshttp.S3, "s3:GetObjectAcl", "GET", "/images/disk.raw?acl", ""},
	{awshttp.S3, "s3:PutObjectAcl", "PUT", "/images/disk.raw?acl", ""},
	{awshttp.S3, "s3:GetObjectTagging", "GET", "/images/disk.raw?tagging", ""},
	{awshttp.S3, "s3:PutObjectTagging", "PUT", "/images/disk.raw?tagging", "<Tagging/>"},
	{awshttp.S3, "s3:DeleteObjectTagging", "DELETE", "/images/disk.raw?tagging", ""},
	{awshttp.S3, "s3:PutObject", "POST", "/images/disk.raw?uploads", ""},
	{awshttp.S3, "s3:PutObject", "PUT", "/images/disk.raw?uploadId=x&partNumber=1", ""},
	{awshttp.S3, "s3:PutObject", "POST", "/images/disk.raw?uploadId=x", "<CompleteMultipartUpload/>"},
	{awshttp.S3, "s3:ListMultipartUploadParts", "GET", "/images/disk.raw?uploadId=x", ""},
	{awshttp.S3, "s3:AbortMultipartUpload", "DELETE", "/images/disk.raw?uploadId=x", ""},
	{awshttp.Diskport, "diskport:ListTasks", "GET", "/-/v1/tasks", ""},
	{awshttp.Diskport, "diskport:GetTask", "GET", "/-/v1/tasks/T", ""},
	{awshttp.Diskport, "diskport:GetTask", "GET", "/-/v1/tasks/T/events", ""},
	{awshttp.Diskport, "diskport:ListSnapshots", "GET", "/-/v1/snapshots", ""},
	{awshttp.Diskport, "diskport:GetSnapshot", "GET", "/-/v1/snapshots/S", ""},
	{awshttp.Diskport, "ebs:GetSnapshotBlock", "GET", "/-/v1/snapshots/S/data", ""},
	{awshttp.Diskport, "ebs:ListSnapshotBlocks", "GET", "/-/v1/snapshots/S/data", ""},
	{awshttp.Diskport, "diskport:VerifySnapshot", "POST", "/-/v1/snapshots/S/verify", ""},
	{awshttp.Diskport, "diskport:MeasureSnapshot", "GET", "/-/v1/snapshots/S/sizes", ""},
	{awshttp.Diskport, "diskport:ListRegions", "GET", "/-/v1/regions", ""},
	{awshttp.Diskport, "diskport:CollectGarbage", "POST", "/-/v1/gc", ""},
	{awshttp.Diskport, "diskport:GetStats", "GET", "/-/v1/stats", ""},
	{awshttp.Diskport, "diskport:PlanCompaction", "GET", "/-/v1/compact", ""},
	{awshttp.Diskport, "diskport:Compact", "POST", "/-/v1/compact", ""},
	{awshttp.Diskport, "diskport:ListDomains", "GET", "/-/v1/domains", ""},
	{awshttp.Diskport, "diskport:RotateDataKeys", "POST", "/-/v1/domains/rotate", ""},
	{awshttp.Diskport, "diskport:RotateMasterKey", "POST", "/-/v1/master-key/rotate", ""},
	{awshttp.Diskport, "diskport:ListAccounts", "GET", "/-/v1/accounts", ""},
	{awshttp.Diskport, "diskport:AddAccount", "POST", "/-/v1/accounts", ""},
	{awshttp.Diskport, "diskport:RemoveAccount", "DELETE", "/-/v1/accounts/123456789012", ""},
}

// walkPaths is TestAllButOneThing for EBS direct, S3 and the service's own API.
func (r refusable) walkPaths(t *testing.T, stranger refusable, but func(deny string), refused func(int, string) bool) {
	walked := map[string]bool{}
	for _, a := range addressed {
		walked[a.permission] = true
		path := strings.ReplaceAll(a.path, "/S", "/"+r.names["SnapshotId"])
		path = strings.ReplaceAll(path, "=S", "="+r.names["SnapshotId"])
		path = strings.ReplaceAll(path, "/T", "/"+r.names["ImportTaskId"])
		ask := func(who refusable) (int, string) { return who.ask(t, a.service, a.method, path, []byte(a.body), nil) }
		but(`"Action":"` + a.permission + `","Resource":"*"`)
		if status, answer := ask(r); !refused(status, answer) {
			t.Errorf("%s %s by who may not %s: %d %s", a.method, path, a.permission, status, answer)
		}
		but(`"Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"` + region + `"}}`)
		if status, answer := ask(r); !refused(status, answer) {
			t.Errorf("%s %s in a region that is denied: %d %s", a.method, path, status, answer)
		}
		names := path != a.path || strings.HasPrefix(path, "/images")
		but(`"Action":"*","Resource":"arn:aws:ec2:` + region + `:*"`)
		if status, answer := ask(r); names && a.service != awshttp.S3 && !refused(status, answer) {
			t.Errorf("%s %s, which is in a region that is denied: %d %s", a.method, path, status, answer)
		}
		for _, elsewhere := range []string{"eu-north-1", "cn-north-1"} { // S3 compares the region with the bucket's itself
			if status, answer := ask(r.in(elsewhere)); names && a.service != awshttp.S3 && status/100 == 2 {
				t.Errorf("%s %s from %s: %d %s", a.method, path, elsewhere, status, answer)
			}
		}
		but(`"Action":"*","Resource":` + r.names["-denied"])
		if status, answer := ask(r); names && !refused(status, answer) {
			t.Errorf("%s %s, which is denied: %d %s", a.method, path, status, answer)
		}
		if a.service != awshttp.S3 && names {
			but(`"Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/keep":"yes"}}`)
			if status, answer := ask(r); !refused(status, answer) {
				t.Errorf("%s %s, whose tag is denied: %d %s", a.method, path, status, answer)
			}
		}
		if status, answer := ask(stranger); !refused(status, answer) && (names || a.path == "/-/v1/gc" || a.path == "/-/v1/compact" || a.path == "/-/v1/stats" || a.path == "/-/v1/domains" || a.path == "/-/v1/master-key/rotate" || a.path == "/-/v1/accounts") && status/100 == 2 {
			t.Errorf("%s %s by another account: %d %s", a.method, path, status, answer)
		}
	}
	for service, actions := range map[string][]string{awshttp.EBS: built()[awshttp.EBS], awshttp.S3: s3api.Permissions()} {
		for _, action := range actions {
			if !walked[service+":"+action] {
				t.Errorf("%s:%s was not tried", service, action)
			}
		}
	}
}

// furnish makes one of everything, tagged, and returns the parameters that name it, and
// as "-denied" the ARNs.
func (s *service) furnish(t *testing.T, dir string) map[string]string {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	name, tags := aws.String("kept"), []iamtypes.Tag{{Key: aws.String("keep"), Value: aws.String("yes")}}
	_, err := s.IAM.CreateUser(ctx, &iam.CreateUserInput{UserName: name, Tags: tags})
	check(err)
	trust := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"}}`
	_, err = s.IAM.CreateRole(ctx, &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: &trust, Tags: tags})
	check(err)
	document := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`
	_, err = s.IAM.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: name, PolicyDocument: &document, Tags: tags})
	check(err)
	_, err = s.IAM.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: name, Tags: tags})
	check(err)
	accessKey, err := s.IAM.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name})
	check(err)
	key, err := s.kms().CreateKey(ctx, &kms.CreateKeyInput{Tags: []kmstypes.Tag{{TagKey: aws.String("keep"), TagValue: aws.String("yes")}}})
	check(err)
	_, err = s.kms().CreateAlias(ctx, &kms.CreateAliasInput{AliasName: aws.String("alias/kept"), TargetKeyId: key.KeyMetadata.KeyId})
	check(err)
	grant, err := s.kms().CreateGrant(ctx, &kms.CreateGrantInput{
		KeyId: key.KeyMetadata.KeyId, GranteePrincipal: aws.String("arn:aws:iam::000000000000:user/kept"), Operations: []kmstypes.GrantOperation{kmstypes.GrantOperationDecrypt},
	})
	check(err)
	encrypted, err := s.kms().Encrypt(ctx, &kms.EncryptInput{KeyId: key.KeyMetadata.KeyId, Plaintext: []byte("x")})
	check(err)
	s.putImage(t, smallRaw(t, dir, "disk.raw"), "disk.raw")
	task, err := s.EC2.ImportSnapshot(ctx, &ec2.ImportSnapshotInput{
		DiskContainer: &ec2types.SnapshotDiskContainer{Url: aws.String("s3://images/disk.raw")},
	})
	check(err)
	done, err := s.Watch(ctx, *task.ImportTaskId, func(client.Task) {})
	check(err)
	image, err := s.EC2.RegisterImage(ctx, &ec2.RegisterImageInput{
		Name: name, RootDeviceName: aws.String("/dev/sda1"),
		BlockDeviceMappings: []ec2types.BlockDeviceMapping{{DeviceName: aws.String("/dev/sda1"), Ebs: &ec2types.EbsBlockDevice{SnapshotId: &done.SnapshotID}}},
	})
	check(err)
	volume, err := s.EC2.CreateVolume(ctx, &ec2.CreateVolumeInput{AvailabilityZone: aws.String(region + "a"), SnapshotId: &done.SnapshotID})
	check(err)
	_, err = s.EC2.CreateTags(ctx, &ec2.CreateTagsInput{
		Resources: []string{*task.ImportTaskId, done.SnapshotID, *image.ImageId, *volume.VolumeId}, Tags: []ec2types.Tag{{Key: aws.String("keep"), Value: aws.String("yes")}},
	})
	check(err)
	const account, owner = "arn:aws:iam::000000000000:", "000000000000"
	keyARN := *key.KeyMetadata.Arn
	denied, err := json.Marshal([]string{
		"arn:aws:s3:::images", "arn:aws:s3:::images/disk.raw", account + "user/kept", account + "role/kept", account + "policy/kept", account + "instance-profile/kept", keyARN, "arn:aws:kms:" + region + ":" + owner + ":alias/kept",
		"arn:aws:ec2:" + region + "::snapshot/" + done.SnapshotID, "arn:aws:ec2:" + region + "::image/" + *image.ImageId,
		"arn:aws:ec2:" + region + ":" + owner + ":import-snapshot-task/" + *task.ImportTaskId, "arn:aws:ec2:" + region + ":" + owner + ":volume/" + *volume.VolumeId,
	})
	check(err)
	return map[string]string{
		"-denied":  string(denied),
		"UserName": *name, "RoleName": *name, "PolicyName": *name, "PolicyArn": account + "policy/kept", "AccessKeyId": *accessKey.AccessKey.AccessKeyId,
		"InstanceProfileName": *name, "PermissionsBoundary": account + "policy/kept", "RetiringPrincipal": account + "user/kept",
		"RoleArn": account + "role/kept", "RoleSessionName": "session",
		"KeyId": keyARN, "AliasName": "alias/kept", "TargetKeyId": *key.KeyMetadata.KeyId,
		"GrantId": *grant.GrantId, "DestinationKeyId": keyARN, "CiphertextBlob": base64.StdEncoding.EncodeToString(encrypted.CiphertextBlob),
		"SnapshotId": done.SnapshotID, "SourceSnapshotId": done.SnapshotID, "SourceRegion": region, "ImageId": *image.ImageId, "ImportTaskId": *task.ImportTaskId,
		"SourceImageId": *image.ImageId, "InstanceId": *image.ImageId, "Name": "another", "Attribute": "launchPermission", "DeprecateAt": "2030-01-01T00:00:00Z",
		"VolumeId": *volume.VolumeId, "AvailabilityZone": region + "a", "Size": "9",
		"ResourceId.1": done.SnapshotID, "BlockDeviceMapping.1.Ebs.SnapshotId": done.SnapshotID, "DiskContainer.1.SnapshotId": done.SnapshotID,
	}
}
