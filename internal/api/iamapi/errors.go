package iamapi

import (
	"cmp"
	"errors"
	"strings"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

// codes maps each error that may be shown to its code.
var codes = []struct {
	status int
	code   string
	is     func(error) (text string, ok bool)
}{
	{403, "AccessDenied", shown[*iam.DeniedError]},
	{403, "AccessDenied", sentinel(iam.ErrRootAssumes, "Roles may not be assumed by root accounts.")},
	{403, "AccessDenied", sentinel(iam.ErrSessionAsks, "Cannot call GetSessionToken with session credentials")},
	{400, "MalformedPolicyDocument", shownPolicy},
	{400, "ValidationError", shown[*iam.ValidationError]},
	{400, "InvalidInput", shown[*iam.ARNError]},
	{400, "InvalidParameterValue", shown[*iam.SessionTagError]},
	{400, "PackedPolicyTooLarge", shown[*iam.PackedError]},
	{409, "LimitExceeded", shown[*iam.LimitError]},
	{404, "NoSuchEntity", entity(iam.ErrNotFound, missingTexts)},
	{404, "NoSuchEntity", sentinel(iam.ErrUnknownKey, "The Access Key cannot be found.")},
	{409, "EntityAlreadyExists", entity(iam.ErrExists, presentTexts)},
	{409, "DeleteConflict", entity(iam.ErrInUse, inUseTexts)},
	{409, "DeleteConflict", sentinel(iam.ErrInProfile, "Cannot delete entity, must remove roles from instance profile first.")},
	{409, "DeleteConflict", sentinel(iam.ErrVersions, "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")},
	{409, "LimitExceeded", sentinel(tag.ErrTooMany, tag.ErrTooMany.Message)},
	{400, "InvalidInput", shownTag},
	// A parameter that AWS may have and this service does not: it would be worse to
	// accept it and do nothing about it.
	{400, "UnsupportedOperation", shown[*ec2query.UnknownParameterError]},
	{400, "ValidationError", shown[*ec2query.ValueError]},
	{400, "ValidationError", shown[*ec2query.LimitError]},
}

// Texts by kind of entity; * is replaced by the name, and "" is for the kinds that
// are not listed.
var (
	missingTexts = map[string]string{
		iam.KindKey:        "The Access Key with id * cannot be found.",
		iam.KindManaged:    "Policy * was not found.",
		iam.KindVersion:    "Policy version * was not found.",
		iam.KindAttachment: "Policy * does not exist or is not attachable.",
		iam.KindBoundary:   "Scope ARN: * does not exist or is not attachable.",
		iam.KindProfile:    "Instance Profile * cannot be found.",
		kindLogin:          "Login Profile for User * cannot be found.",
	}
	presentTexts = map[string]string{
		iam.KindUser:    "User with name * already exists.",
		iam.KindRole:    "Role with name * already exists.",
		iam.KindProfile: "Instance Profile * already exists.",
		iam.KindManaged: "A policy called * already exists. Duplicate names are not allowed.",
	}
	inUseTexts = map[string]string{
		iam.KindUser:    "Cannot delete entity, must delete access keys and policies first.",
		iam.KindRole:    "Cannot delete entity, must delete policies first.",
		iam.KindManaged: "Cannot delete a policy attached to entities.",
		iam.KindProfile: "Cannot delete entity, must remove roles from instance profile first.",
		iam.KindVersion: "Cannot delete the default version of a policy.",
	}
)

func known(err error) (awshttp.Fault, bool) {
	for _, row := range codes {
		if text, ok := row.is(err); ok {
			return awshttp.Fault{Status: row.status, Code: row.code, Message: text}, true
		}
	}
	return awshttp.Fault{}, false
}

// shown matches errors of a type whose text is meant for clients.
func shown[E error](err error) (string, bool) {
	e, ok := errors.AsType[E](err)
	if !ok {
		return "", false
	}
	return e.Error(), true
}

// entity matches a sentinel, and names the entity that the error is about.
func entity(want error, texts map[string]string) func(error) (string, bool) {
	return func(err error) (string, bool) {
		e, ok := errors.AsType[*iam.EntityError](err)
		if !ok || !errors.Is(err, want) {
			return "", false
		}
		text := cmp.Or(texts[e.Kind], "The "+e.Kind+" with name * cannot be found.")
		return strings.Replace(text, "*", e.Name, 1), true
	}
}

func sentinel(want error, text string) func(error) (string, bool) {
	return func(err error) (string, bool) { return text, errors.Is(err, want) }
}

// shownPolicy matches documents that are no valid policies, and says so in IAM's words.
func shownPolicy(err error) (string, bool) {
	e, ok := errors.AsType[*policy.SyntaxError](err)
	if !ok {
		return "", false
	}
	return cmp.Or(e.Text, e.Error()), true
}

func shownTag(err error) (string, bool) {
	e, ok := errors.AsType[*tag.Error](err)
	if !ok {
		return "", false
	}
	return e.Message, true
}
