package ebsapi

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/quota"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// zeroSum is the checksum of a block of zeros (contract §7.3).
const zeroSum = "B4VNL+8pega6gWheZgwzLeNtXRjVRpJ9MNqtbX/aFUE="

const noSpace = "The service has no disk space left and takes no more data. It goes on reading and deleting: delete snapshots or objects, or have its operator free space, and try again."

// putHeaders are those of a good PutSnapshotBlock of zeros; more replace some.
func putHeaders(more ...string) []string {
	return append([]string{"x-amz-Data-Length: 524288", "x-amz-Checksum: " + zeroSum, "x-amz-Checksum-Algorithm: SHA256"}, more...)
}

func completeHeaders(more ...string) []string {
	return append([]string{"x-amz-ChangedBlocksCount: 1"}, more...)
}

type writeCase struct {
	name, method, target string
	body                 []byte
	headers              []string
	err                  error // of the domain
	status               int
	code, reason, want   string
}

// writeCases are the rows of contract §7.5 that concern writing.
func writeCases() []writeCase {
	const (
		start, completion = "/snapshots", "/snapshots/completion/" + pendingS
		put               = "/snapshots/" + pendingS + "/blocks/3"
		v                 = "ValidationException"
		unusable          = "The KMS key of the request or of the snapshot cannot be used: "
	)
	zeros := make([]byte, block.Size)
	body := func(s string) []byte { return []byte(s) }
	notASnap := func(id string) string {
		return "Value (" + id + ") for parameter snapshotId is invalid. Expected: 'snap-...'."
	}
	other := block.Sum([]byte("other"))
	planted := fmt.Errorf("writing: %w", errPlanted)
	return []writeCase{
		{"not JSON", "POST", start, body("{"), nil, nil, 400, "SerializationException", "", ""},
		{"two documents", "POST", start, body(`{"VolumeSize":1}{}`), nil, nil, 400, "SerializationException", "", ""},
		{"a parameter that nobody knows", "POST", start, body(`{"VolumeSize":1,"Nope":1}`), nil, nil, 400, v, "INVALID_PARAMETER_VALUE", `A parameter of the request is not supported: json: unknown field "Nope"`},
		{"size in words", "POST", start, body(`{"VolumeSize":"one"}`), nil, nil, 400, "SerializationException", "", ""},
		{"no size", "POST", start, body(`{}`), nil, nil, 400, v, "", ""},
		{"no volume", "POST", start, body(`{"VolumeSize":0}`), nil, nil, 400, v, "INVALID_VOLUME_SIZE", "The volume size must be between 1 and 65536 GiB."},
		{"large volume", "POST", start, body(`{"VolumeSize":65537}`), nil, nil, 400, v, "INVALID_VOLUME_SIZE", "The volume size must be between 1 and 65536 GiB."},
		{"malformed parent", "POST", start, body(`{"VolumeSize":1,"ParentSnapshotId":"vol-1"}`), nil, nil, 400, v, "", ""},
		{"unknown parent", "POST", start, body(`{"VolumeSize":1,"ParentSnapshotId":"` + unknown + `"}`), nil, snapshot.ErrNotFound, 404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "The snapshot '" + unknown + "' does not exist."},
		{"larger parent", "POST", start, body(`{"VolumeSize":1,"ParentSnapshotId":"` + snapA + `"}`), nil, snapshot.ErrParentLarger, 400, v, "INVALID_VOLUME_SIZE", "The volume size is smaller than that of the parent snapshot '" + snapA + "'."},
		{"long description", "POST", start, body(`{"VolumeSize":1,"Description":"` + strings.Repeat("d", 256) + `"}`), nil, nil, 400, v, "", ""},
		{"long token", "POST", start, body(`{"VolumeSize":1,"ClientToken":"` + strings.Repeat("t", 256) + `"}`), nil, nil, 400, v, "", ""},
		{"odd token", "POST", start, body(`{"VolumeSize":1,"ClientToken":"ü"}`), nil, nil, 400, v, "", ""},
		{"token reused", "POST", start, body(`{"VolumeSize":1}`), nil, snapshot.ErrTokenReused, 409, "ConflictException", "", "The client token was used in a request with other parameters."},
		{"short timeout", "POST", start, body(`{"VolumeSize":1,"Timeout":9}`), nil, nil, 400, v, "", ""},
		{"long timeout", "POST", start, body(`{"VolumeSize":1,"Timeout":4321}`), nil, nil, 400, v, "", ""},
		{"encrypted child", "POST", start, body(`{"VolumeSize":1,"Encrypted":true,"ParentSnapshotId":"` + snapA + `"}`), nil, nil, 400, v, "INVALID_PARAMETER_VALUE", "The parameters Encrypted and ParentSnapshotId cannot be used together."},
		{"key alone", "POST", start, body(`{"VolumeSize":1,"KmsKeyArn":"arn:aws:kms:us-east-1:123456789012:key/k"}`), nil, nil, 400, v, "INVALID_PARAMETER_VALUE", "The parameter KmsKeyArn requires the parameter Encrypted to be true."},
		{"key id for an ARN", "POST", start, body(`{"VolumeSize":1,"Encrypted":true,"KmsKeyArn":"alias/k"}`), nil, nil, 400, v, "", ""},
		{"denied key", "POST", start, body(`{"VolumeSize":1,"Encrypted":true}`), nil, &keyring.Error{Key: "k", Reason: keyring.Denied}, 403, "AccessDeniedException", "DEPENDENCY_ACCESS_DENIED", unusable + "key-access-denied."},
		{"unknown key", "POST", start, body(`{"VolumeSize":1,"Encrypted":true}`), nil, &keyring.Error{Key: "k", Reason: keyring.NotFound}, 404, "ResourceNotFoundException", "DEPENDENCY_RESOURCE_NOT_FOUND", unusable + "key-not-found."},
		{"disabled key", "POST", start, body(`{"VolumeSize":1,"Encrypted":true}`), nil, &keyring.Error{Key: "k", Reason: keyring.Disabled}, 400, v, "INVALID_DEPENDENCY_REQUEST", unusable + "key-disabled."},
		{"tag twice", "POST", start, body(`{"VolumeSize":1,"Tags":[` + strings.Repeat(`{"Key":"k"},`, 50) + `{"Key":"l"}]}`), nil, nil, 400, v, "INVALID_TAG", "Duplicate tag key 'k' specified."},
		{"long tag key", "POST", start, body(`{"VolumeSize":1,"Tags":[{"Key":"` + strings.Repeat("k", 129) + `"}]}`), nil, nil, 400, v, "INVALID_TAG", "Tag key exceeds the maximum length of 128 characters"},
		{"long tag value", "POST", start, body(`{"VolumeSize":1,"Tags":[{"Key":"k","Value":"` + strings.Repeat("v", 257) + `"}]}`), nil, nil, 400, v, "INVALID_TAG", "Tag value exceeds the maximum length of 256 characters"},
		{"empty tag key", "POST", start, body(`{"VolumeSize":1,"Tags":[{"Key":"","Value":"v"}]}`), nil, nil, 400, v, "INVALID_TAG", "Tag key cannot be null or empty."},
		{"reserved tag", "POST", start, body(`{"VolumeSize":1,"Tags":[{"Key":"aws:x","Value":""}]}`), nil, nil, 400, v, "INVALID_TAG", "Tag keys starting with 'aws:' are reserved for internal use"},
		{"too many", "POST", start, body(`{"VolumeSize":1}`), nil, snapshot.ErrTooMany, 400, "ConcurrentLimitExceededException", "", "You have reached the limit for concurrent API requests."},
		{"start breaks", "POST", start, body(`{"VolumeSize":1}`), nil, planted, 500, "InternalServerException", "", "An internal error has occurred"},

		{"put to a volume", "PUT", "/snapshots/vol-1/blocks/3", zeros, putHeaders(), nil, 400, v, "INVALID_SNAPSHOT_ID", notASnap("vol-1")},
		{"put to nothing", "PUT", put, zeros, putHeaders(), snapshot.ErrNotFound, 400, v, "INVALID_SNAPSHOT_ID", notASnap(pendingS)},
		{"put to a completed one", "PUT", put, zeros, putHeaders(), snapshot.ErrNotPending, 400, v, "INVALID_SNAPSHOT_ID", "The snapshot '" + pendingS + "' is not pending."},
		{"put at words", "PUT", "/snapshots/" + pendingS + "/blocks/three", zeros, putHeaders(), nil, 400, v, "", ""},
		{"put at -1", "PUT", "/snapshots/" + pendingS + "/blocks/-1", zeros, putHeaders(), nil, 400, v, "", ""},
		{"put beyond", "PUT", put, zeros, putHeaders(), &snapshot.BeyondError{Index: 3}, 400, v, "INVALID_BLOCK", "Block index 3 is beyond the volume size extent"},
		{"put without headers", "PUT", put, zeros, nil, nil, 400, v, "", ""},
		{"put of other length", "PUT", put, zeros, putHeaders("x-amz-Data-Length: 524287"), nil, 400, v, "INVALID_PARAMETER_VALUE", "A block has 524288 bytes, not the 524287 of x-amz-Data-Length"},
		{"put with MD5", "PUT", put, zeros, putHeaders("x-amz-Checksum-Algorithm: MD5"), nil, 400, v, "", ""},
		{"put with nonsense", "PUT", put, zeros, putHeaders("x-amz-Checksum: !"), nil, 400, v, "", ""},
		{"put with short checksum", "PUT", put, zeros, putHeaders("x-amz-Checksum: AAAA"), nil, 400, v, "", ""},
		{"put past the end", "PUT", put, zeros, putHeaders("x-amz-Progress: 101"), nil, 400, v, "", ""},
		{"short body", "PUT", put, zeros[1:], putHeaders(), nil, 400, v, "INVALID_PARAMETER_VALUE", "Failed to read block data"},
		{"long body", "PUT", put, append(zeros, 0), putHeaders(), nil, 400, v, "INVALID_PARAMETER_VALUE", "Failed to read block data"},
		{"other data", "PUT", put, zeros, putHeaders(), &snapshot.ChecksumError{Computed: block.Sum(zeros), Expected: other}, 403, "InvalidSignatureException", "",
			"The value passed in as x-amz-Checksum does not match the computed checksum. Computed checksum: " + zeroSum + " expected checksum: " + other.Base64()},
		{"two at once", "PUT", put, zeros, putHeaders(), snapshot.ErrConflict, 400, v, "CONFLICTING_BLOCK_UPDATE", "Another update of this block of snapshot '" + pendingS + "' is in progress."},
		{"full", "PUT", put, zeros, putHeaders(), fmt.Errorf("writing: %w", blockstore.ErrFull), 402, "ServiceQuotaExceededException", "DEPENDENCY_SERVICE_QUOTA_EXCEEDED", noSpace},
		{"put breaks", "PUT", put, zeros, putHeaders(), planted, 500, "InternalServerException", "", "An internal error has occurred"},

		{"complete a volume", "POST", "/snapshots/completion/vol-1", nil, completeHeaders(), nil, 400, v, "INVALID_SNAPSHOT_ID", notASnap("vol-1")},
		{"complete nothing", "POST", completion, nil, completeHeaders(), snapshot.ErrNotFound, 400, v, "INVALID_SNAPSHOT_ID", notASnap(pendingS)},
		{"complete an import", "POST", completion, nil, completeHeaders(), snapshot.ErrNotPending, 400, v, "INVALID_SNAPSHOT_ID", "The snapshot '" + pendingS + "' is not pending."},
		{"no count", "POST", completion, nil, nil, nil, 400, v, "", ""},
		{"negative count", "POST", completion, nil, completeHeaders("x-amz-ChangedBlocksCount: -1"), nil, 400, v, "", ""},
		{"complete with MD5", "POST", completion, nil, completeHeaders("x-amz-Checksum: "+zeroSum, "x-amz-Checksum-Algorithm: MD5", "x-amz-Checksum-Aggregation-Method: LINEAR"), nil, 400, v, "", ""},
		{"complete by a tree", "POST", completion, nil, completeHeaders("x-amz-Checksum: "+zeroSum, "x-amz-Checksum-Algorithm: SHA256", "x-amz-Checksum-Aggregation-Method: TREE"), nil, 400, v, "", ""},
		{"complete with nonsense", "POST", completion, nil, completeHeaders("x-amz-Checksum: !", "x-amz-Checksum-Algorithm: SHA256", "x-amz-Checksum-Aggregation-Method: LINEAR"), nil, 400, v, "", ""},
		{"checksum alone", "POST", completion, nil, completeHeaders("x-amz-Checksum: " + zeroSum), nil, 400, v, "", ""},
		{"complete breaks", "POST", completion, nil, completeHeaders(), planted, 500, "InternalServerException", "", "An internal error has occurred"},
	}
}

func TestContractWriting(t *testing.T) {
	for _, tt := range writeCases() {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture()
			f.drafts.err = tt.err
			w := f.send(tt.method, tt.target, tt.body, tt.headers...)
			got := parse(t, w)
			if w.Code != tt.status || w.Header().Get("X-Amzn-Errortype") != tt.code || text(got.Reason) != tt.reason || text(got.Message) != tt.want {
				t.Errorf("got %d %s %s", w.Code, w.Header().Get("X-Amzn-Errortype"), w.Body)
			}
			if strings.Contains(w.Body.String(), "on fire") || tt.status == 500 && !strings.Contains(f.log.String(), "on fire") {
				t.Errorf("the cause belongs into the log and not into %s", w.Body)
			}
		})
	}
}

func TestZeroBlockSum(t *testing.T) {
	if got := block.Sum(make([]byte, block.Size)).Base64(); got != zeroSum {
		t.Errorf("got %s", got)
	}
	if _, err := base64.StdEncoding.DecodeString(zeroSum); err != nil {
		t.Error(err)
	}
}

// TestWriteGrants: writing needs permission, before anything is said about the
// request.
func TestWriteGrants(t *testing.T) {
	const arn = "arn:aws:ec2:us-east-1::snapshot/"
	zeros := make([]byte, block.Size)
	tests := []struct {
		name, action, resource, method, target string
		body                                   []byte
		headers                                []string
		status                                 int
	}{
		{"start", "ebs:StartSnapshot", arn + "*", "POST", "/snapshots", []byte(`{"VolumeSize":1}`), nil, 201},
		{"start with the right to put", "ebs:PutSnapshotBlock", "*", "POST", "/snapshots", []byte(`{}`), nil, 403},
		{"put", "ebs:PutSnapshotBlock", arn + pendingS, "PUT", "/snapshots/" + pendingS + "/blocks/0", zeros, putHeaders(), 201},
		{"put elsewhere", "ebs:PutSnapshotBlock", arn + snapA, "PUT", "/snapshots/" + pendingS + "/blocks/x", nil, nil, 403},
		{"complete", "ebs:CompleteSnapshot", arn + pendingS, "POST", "/snapshots/completion/" + pendingS, nil, completeHeaders(), 202},
		{"complete elsewhere", "ebs:CompleteSnapshot", arn + snapA, "POST", "/snapshots/completion/" + pendingS, nil, nil, 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture()
			f.allow(tt.action, tt.resource)
			if w := f.send(tt.method, tt.target, tt.body, tt.headers...); w.Code != tt.status {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, tt.status)
			}
		})
	}
}

func TestThrottleOfASnapshot(t *testing.T) {
	f := newFixture()
	f.PerSnapshot = quota.New(func() time.Time { return clock }, quota.Same(quota.Rate{PerSecond: 1, Burst: 1}))
	for _, id := range []string{snapA, snapB} {
		for i := range 2 {
			w := f.do("GET", "/snapshots/"+id+"/blocks/3")
			if got := parse(t, w); (got.Reason != nil && *got.Reason == "RESOURCE_LEVEL_THROTTLE") != (i == 1) {
				t.Errorf("%s, request %d: %d %s", id, i, w.Code, w.Body)
			}
		}
	}
	if w := f.do("GET", "/snapshots/"+snapA+"/blocks"); w.Code != 200 {
		t.Errorf("listing is not limited so: %d %s", w.Code, w.Body)
	}
}

func TestThrottle(t *testing.T) {
	f := newFixture()
	f.Throttle = quota.New(func() time.Time { return clock }, quota.Same(quota.Rate{PerSecond: 1, Burst: 1}))
	for _, tt := range []struct{ method, target, code, reason string }{
		{"GET", "/snapshots/" + snapA + "/blocks", "ThrottlingException", ""},
		{"POST", "/snapshots", "ThrottlingException", ""},
		{"GET", "/snapshots/" + snapA + "/blocks/3", "RequestThrottledException", "ACCOUNT_THROTTLED"},
		{"PUT", "/snapshots/" + snapA + "/blocks/3", "RequestThrottledException", "ACCOUNT_THROTTLED"},
	} {
		f.send(tt.method, tt.target, []byte("{}")) // uses up the burst
		w := f.send(tt.method, tt.target, []byte("{}"))
		if got := parse(t, w); w.Code != 400 || w.Header().Get("X-Amzn-Errortype") != tt.code || text(got.Reason) != tt.reason {
			t.Errorf("%s %s: got %d %v %s", tt.method, tt.target, w.Code, w.Header(), w.Body)
		}
	}
}

// TestThrottleComesAfterPermission: who may not ask takes nothing of what others may
// ask, and no account anything of another's.
func TestThrottleComesAfterPermission(t *testing.T) {
	f := newFixture()
	once := func() *quota.Throttle {
		return quota.New(func() time.Time { return clock }, quota.Same(quota.Rate{PerSecond: 1, Burst: 1}))
	}
	f.Throttle, f.PerSnapshot = once(), once()
	owner := f.who
	for _, tt := range []struct{ method, target string }{
		{"GET", "/snapshots/" + snapA + "/blocks"}, {"POST", "/snapshots"}, {"GET", "/snapshots/" + snapA + "/blocks/3"},
	} {
		for range 3 {
			f.who = owner.WithPolicies()
			f.who.Kind = iam.User
			if w := f.send(tt.method, tt.target, []byte(`{"VolumeSize":1}`)); w.Code != 403 {
				t.Errorf("%s %s without a right: got %d %s", tt.method, tt.target, w.Code, w.Body)
			}
			f.who = iam.Principal{Account: "999999999999", Kind: iam.Root}
			f.send(tt.method, tt.target, []byte("{}"))
		}
		f.who = owner
		if w := f.send(tt.method, tt.target, []byte("{}")); strings.Contains(w.Header().Get("X-Amzn-Errortype"), "hrottl") {
			t.Errorf("%s %s: others used up what the owner may: %d %s", tt.method, tt.target, w.Code, w.Body)
		}
	}
}

// TestStartWithTags: tags on a new snapshot need the permission to tag.
func TestStartWithTags(t *testing.T) {
	f := newFixture()
	bind := func(statements string) {
		d, err := policy.Parse(`{"Version":"2012-10-17","Statement":[`+statements+`]}`, policy.Identity)
		if err != nil {
			t.Fatal(err)
		}
		f.who = f.who.WithPolicies(d)
		f.who.Kind = iam.User
	}
	const start = `{"Effect":"Allow","Action":"ebs:StartSnapshot","Resource":"*"}`
	const tagging = `,{"Effect":"Allow","Action":"ec2:CreateTags","Resource":"arn:aws:ec2:us-east-1::snapshot/*","Condition":{"StringEquals":{"ec2:CreateAction":"StartSnapshot","aws:RequestTag/a":"b"}}}`
	for _, tt := range []struct {
		name, policy, body string
		refused            bool
	}{
		{"no tags", start, `{"VolumeSize":1}`, false},
		{"tags", start, `{"VolumeSize":1,"Tags":[{"Key":"a","Value":"b"}]}`, true},
		{"tags that may be given", start + tagging, `{"VolumeSize":1,"Tags":[{"Key":"a","Value":"b"}]}`, false},
		{"tags that may not be given", start + tagging, `{"VolumeSize":1,"Tags":[{"Key":"a","Value":"c"}]}`, true},
	} {
		bind(tt.policy)
		if w := f.send("POST", "/snapshots", []byte(tt.body)); (w.Code == 403) != tt.refused {
			t.Errorf("%s: got %d %s", tt.name, w.Code, w.Body)
		}
	}
}

func TestSharedSnapshots(t *testing.T) {
	f := newFixture()
	if w := f.do("GET", "/snapshots/"+shared+"/blocks"); w.Code != 200 {
		t.Errorf("shared: got %d %s", w.Code, w.Body)
	}
}

func TestStrictComparesALineage(t *testing.T) {
	f := newFixture()
	f.Strict = true
	child := f.Snapshots.(snapshots)[snapB]
	child.Lineage = snapA
	f.Snapshots.(snapshots)[snapB] = child
	if w := f.do("GET", "/snapshots/"+snapB+"/changedblocks?firstSnapshotId="+snapA); w.Code != 200 {
		t.Errorf("a child and its parent: got %d %s", w.Code, w.Body)
	}
}

func TestDigestOfAStart(t *testing.T) {
	size := func(n int64) *int64 { return &n }
	a := startRequest{VolumeSize: size(1), ClientToken: "x"}
	b := startRequest{VolumeSize: size(1), ClientToken: "y"}
	if a.digest() != b.digest() {
		t.Error("the token itself is part of the digest")
	}
	if c := (startRequest{VolumeSize: size(2)}); c.digest() == a.digest() {
		t.Error("sizes are not part of the digest")
	}
}
