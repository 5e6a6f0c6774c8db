package iamapi

import (
	"context"

	"github.com/diskport/diskport/internal/awshttp"
	"github.com/diskport/diskport/internal/ec2query"
	"github.com/diskport/diskport/internal/iam"
)

var stsActions = map[string]action{"GetCallerIdentity": getCallerIdentity}

// getCallerIdentity needs no permission: at AWS not even a Deny hides who one is.
func getCallerIdentity(_ context.Context, c call) (any, error) {
	var none struct{}
	if err := ec2query.Decode(c.Form, &none); err != nil {
		return nil, err
	}
	return struct{ Arn, UserId, Account string }{c.Principal.ARN, c.Principal.ID, c.Principal.Account}, nil
}

type getUserIn struct{ UserName string }

// theUser is the caller, or who is named.
func theUser(_ context.Context, c call, r getUserIn) (string, error) {
	if r.UserName == "" {
		return c.Principal.ARN, nil
	}
	return c.opts.Service.UserARN(c.Principal.Account, r.UserName), nil
}

// getUser answers for the caller's root: there are no users yet.
func getUser(_ context.Context, c call, r getUserIn) (any, error) {
	switch {
	case r.UserName != "":
		return nil, awshttp.Fault{Status: 404, Code: "NoSuchEntity", Message: "The user with name " + shorten(r.UserName) + " cannot be found."}
	case c.Principal.Kind != iam.Root:
		return nil, &iam.ValidationError{Message: "Must specify userName when calling with non-User credentials"}
	}
	type userXML struct {
		UserId, Arn string
		CreateDate  stamp
	}
	return struct{ User userXML }{userXML{c.Principal.ID, c.Principal.ARN, stamp(c.Principal.Since)}}, nil
}
