package iamapi

import (
	"errors"

	"github.com/diskport/diskport/internal/awshttp"
	"github.com/diskport/diskport/internal/ec2query"
	"github.com/diskport/diskport/internal/iam"
	"github.com/diskport/diskport/internal/policy"
	"github.com/diskport/diskport/internal/tag"
)

// codes says how each error that is fit to be shown is told.
var codes = []struct {
	status int
	code   string
	is     func(error) (text string, ok bool)
}{
	{403, "AccessDenied", shown[*iam.DeniedError]},
	{400, "MalformedPolicyDocument", shown[*policy.SyntaxError]},
	{400, "ValidationError", shown[*iam.ValidationError]},
	{409, "LimitExceeded", shown[*iam.LimitError]},
	{404, "NoSuchEntity", entity(iam.ErrNotFound, "The ", " cannot be found.")},
	{409, "EntityAlreadyExists", entity(iam.ErrExists, "The ", " already exists.")},
	{409, "DeleteConflict", entity(iam.ErrInUse, "Cannot delete entity, must delete policies first: the ", " has some.")},
	{409, "LimitExceeded", tooManyTags},
	{400, "InvalidInput", shownTag},
	// A parameter that AWS may have and this service has not: to accept it and
	// do nothing about it would be worse.
	{400, "UnsupportedOperation", shown[*ec2query.UnknownParameterError]},
	{400, "ValidationError", shown[*ec2query.ValueError]},
	{400, "ValidationError", shown[*ec2query.LimitError]},
}

func known(err error) (awshttp.Fault, bool) {
	for _, row := range codes {
		if text, ok := row.is(err); ok {
			return awshttp.Fault{Status: row.status, Code: row.code, Message: text}, true
		}
	}
	return awshttp.Fault{}, false
}

// shown matches errors of a type whose text is meant for the client.
func shown[E error](err error) (string, bool) {
	e, ok := errors.AsType[E](err)
	if !ok {
		return "", false
	}
	return e.Error(), true
}

// entity matches a sentinel and says which entity it is about.
func entity(want error, before, after string) func(error) (string, bool) {
	return func(err error) (string, bool) {
		e, ok := errors.AsType[*iam.EntityError](err)
		if !ok || !errors.Is(err, want) {
			return "", false
		}
		return before + e.Kind + " with name " + e.Name + after, true
	}
}

func tooManyTags(err error) (string, bool) {
	return tag.ErrTooMany.Message, errors.Is(err, tag.ErrTooMany)
}

func shownTag(err error) (string, bool) {
	e, ok := errors.AsType[*tag.Error](err)
	if !ok {
		return "", false
	}
	return e.Message, true
}
