package ebsapi

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// answered is what a case of the contract wants.
type answered struct {
	status             int
	code, reason, want string
}

// contracted is every row of contract §7.5: the exceptions with their reasons, then
// the literal cases. … is any text.
var contracted = []struct {
	about string
	answered
}{
	{"a key that can't be used", answered{400, "ValidationException", "INVALID_DEPENDENCY_REQUEST", "…"}},
	{"a key that is denied", answered{403, "AccessDeniedException", "DEPENDENCY_ACCESS_DENIED", "…"}},
	{"a key that is not there", answered{404, "ResourceNotFoundException", "DEPENDENCY_RESOURCE_NOT_FOUND", "…"}},
	{"no permission", answered{403, "AccessDeniedException", "UNAUTHORIZED_ACCOUNT", "…"}},
	{"too many requests for blocks", answered{400, "RequestThrottledException", "ACCOUNT_THROTTLED", "…"}},
	{"too many requests", answered{400, "ThrottlingException", "", "…"}},
	{"no space", answered{402, "ServiceQuotaExceededException", "DEPENDENCY_SERVICE_QUOTA_EXCEEDED", "…"}},
	{"too many pending snapshots", answered{400, "ConcurrentLimitExceededException", "", "…"}},
	{"token reused", answered{409, "ConflictException", "", "…"}},
	{"internal", answered{500, "InternalServerException", "", "…"}},
	{"tag", answered{400, "ValidationException", "INVALID_TAG", "…"}},
	{"volume size", answered{400, "ValidationException", "INVALID_VOLUME_SIZE", "…"}},
	{"two writers of a block", answered{400, "ValidationException", "CONFLICTING_BLOCK_UPDATE", "…"}},

	{"id of another shape (List)", answered{400, "ValidationException", "", ""}},
	{"unknown id (List, Get)", answered{404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "The snapshot '…' does not exist."}},
	{"unknown id (Put, Complete)", answered{400, "ValidationException", "INVALID_SNAPSHOT_ID", "Value (snap-…) for parameter snapshotId is invalid. Expected: 'snap-...'."}},
	{"id that does not start with 0", answered{400, "ValidationException", "INVALID_SNAPSHOT_ID", "Value (snap-f…) for parameter snapshotId is invalid. Expected: 'snap-...'."}},
	{"block outside the volume", answered{400, "ValidationException", "INVALID_BLOCK", "Block index … is beyond the volume size extent"}},
	{"checksum of a block", answered{403, "InvalidSignatureException", "", "The value passed in as x-amz-Checksum does not match the computed checksum. Computed checksum: … expected checksum: …"}},
	{"short body", answered{400, "ValidationException", "INVALID_PARAMETER_VALUE", "Failed to read block data"}},
	{"block token", answered{400, "ValidationException", "INVALID_BLOCK_TOKEN", "The block token … is invalid."}},
	{"page token", answered{400, "ValidationException", "INVALID_PAGE_TOKEN", "The pagination token … is invalid."}},
	{"unrelated snapshots, strictly", answered{400, "ValidationException", "UNRELATED_SNAPSHOTS", "…"}},
	{"Encrypted with a parent", answered{400, "ValidationException", "INVALID_PARAMETER_VALUE", "The parameters Encrypted and ParentSnapshotId cannot be used together."}},
	{"key without Encrypted", answered{400, "ValidationException", "INVALID_PARAMETER_VALUE", "The parameter KmsKeyArn requires the parameter Encrypted to be true."}},
}

// never are the reasons of AWS's model that this service never has.
var never = map[string]string{
	"INVALID_CUSTOMER_KEY":         "INVALID_DEPENDENCY_REQUEST says it",
	"INVALID_GRANT_TOKEN":          "no operation takes one",
	"GRANT_NOT_FOUND":              "no operation takes one",
	"INVALID_CONTENT_ENCODING":     "an encoded body has another length",
	"INVALID_IMAGE_ID":             "no operation takes one",
	"IMAGE_NOT_FOUND":              "no operation takes one",
	"WRITE_REQUEST_TIMEOUT":        "a body that does not come is one that can't be read",
	"DEPENDENCY_REQUEST_THROTTLED": "the KMS is part of the service",
	"RESOURCE_LEVEL_THROTTLE":      "requests are counted by account",
}

// reasons are those of AWS's model.
const reasons = `
INVALID_CUSTOMER_KEY INVALID_PAGE_TOKEN INVALID_BLOCK_TOKEN INVALID_GRANT_TOKEN INVALID_SNAPSHOT_ID UNRELATED_SNAPSHOTS
INVALID_BLOCK INVALID_CONTENT_ENCODING INVALID_TAG INVALID_DEPENDENCY_REQUEST INVALID_PARAMETER_VALUE INVALID_VOLUME_SIZE
CONFLICTING_BLOCK_UPDATE INVALID_IMAGE_ID WRITE_REQUEST_TIMEOUT SNAPSHOT_NOT_FOUND GRANT_NOT_FOUND
DEPENDENCY_RESOURCE_NOT_FOUND IMAGE_NOT_FOUND UNAUTHORIZED_ACCOUNT DEPENDENCY_ACCESS_DENIED ACCOUNT_THROTTLED
DEPENDENCY_REQUEST_THROTTLED RESOURCE_LEVEL_THROTTLE DEPENDENCY_SERVICE_QUOTA_EXCEEDED`

// cases returns the answers that all tests want.
func cases() []answered {
	all := []answered{
		{403, "AccessDeniedException", "UNAUTHORIZED_ACCOUNT", ""},      // TestGrants
		{400, "ThrottlingException", "", ""},                            // TestThrottle
		{400, "RequestThrottledException", "ACCOUNT_THROTTLED", ""},     // TestThrottle
		{400, "ValidationException", "UNRELATED_SNAPSHOTS", "in words"}, // TestStrictComparesNothingUnrelated
	}
	for _, c := range readCases(newFixture()) {
		all = append(all, answered{c.status, c.code, c.reason, c.want})
	}
	for _, c := range writeCases() {
		all = append(all, answered{c.status, c.code, c.reason, c.want})
	}
	return all
}

// TestEveryRowOfTheContractIsTested: a row of the contract, or a reason of the model,
// without a case is a gap.
func TestEveryRowOfTheContractIsTested(t *testing.T) {
	all := cases()
	for _, c := range contracted {
		words := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(c.want), "…", ".*") + "$")
		if !slices.ContainsFunc(all, func(a answered) bool {
			return a.status == c.status && a.code == c.code && a.reason == c.reason && words.MatchString(a.want)
		}) {
			t.Errorf("%s: no case wants %v", c.about, c.answered)
		}
	}
	for reason := range strings.FieldsSeq(reasons) {
		tested := slices.ContainsFunc(all, func(a answered) bool { return a.reason == reason })
		if why, not := never[reason]; tested == not {
			t.Errorf("%s: tested %v, never answered %q", reason, tested, why)
		}
	}
}
