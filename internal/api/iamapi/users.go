package iamapi

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/diskport/diskport/internal/identity/iam"
)

// onUser names the user that a request is about. It is embedded in requests.
type onUser struct{ UserName string }

func (r onUser) user() string { return r.UserName }

func (r onUser) owner(c call) iam.Owner { return iam.UserOwner(c.account(), r.UserName) }

// onSelf is onUser for requests that are about the caller if they have no name.
type onSelf struct{ onUser }

func (onSelf) self() {}

// name returns the name of the user that a request is about; empty means the
// caller's root.
func (r onSelf) name(c call) (string, error) {
	switch {
	case r.UserName != "":
		return r.UserName, nil
	case c.Principal.Kind == iam.User:
		return c.Principal.Name, nil
	case c.Principal.Kind == iam.Root:
		return "", nil
	}
	return "", errNoName
}

var errNoName = &iam.ValidationError{Message: "Must specify userName when calling with non-User credentials"}

// theUser is like theRole, for users.
func theUser[R interface{ user() string }](ctx context.Context, c call, r R) (subject, error) {
	name := r.user()
	if _, self := any(r).(interface{ self() }); self && name == "" {
		if c.Principal.Kind != iam.User {
			return subject{arn: c.Principal.ARN}, nil
		}
		name = c.Principal.Name
	}
	user, err := c.opts.Service.GetUser(ctx, c.account(), name)
	switch {
	case errors.Is(err, iam.ErrNotFound):
		return subject{arn: c.opts.Service.UserARN(c.account(), name)}, nil
	case err != nil:
		return subject{}, err
	}
	return subject{arn: c.opts.Service.ARNOfUser(user), tags: user.Tags, boundary: user.Boundary}, nil
}

// userXML is a user as sent to clients. Root has neither path nor name.
type userXML struct {
	Path       string `xml:",omitempty"`
	UserName   string `xml:",omitempty"`
	UserId     string
	Arn        string
	CreateDate stamp
	// Absent in lists of users, and if there is none.
	PermissionsBoundary *boundaryXML
	Tags                *members[tagXML]
}

func (c call) userXML(u iam.UserInfo) userXML {
	return userXML{Path: u.Path, UserName: u.Name, UserId: u.ID, Arn: c.opts.Service.ARNOfUser(u), CreateDate: stamp(u.Created)}
}

type userOut struct{ User userXML }

func (c call) userOut(u iam.UserInfo) userOut {
	x := c.userXML(u)
	x.PermissionsBoundary, x.Tags = newBoundaryXML(u.Boundary), someTags(u.Tags)
	return userOut{x}
}

type createUserIn struct {
	onUser
	Path string
	boundIn
	taggingIn
}

func newUser(_ context.Context, c call, r createUserIn) (subject, error) {
	return subject{arn: c.opts.Service.EntityARN(c.account(), "user", r.Path, r.UserName)}, nil
}

func createUser(ctx context.Context, c call, r createUserIn) (any, error) {
	u, err := c.opts.Service.CreateUser(ctx, c.account(), iam.UserSpec{Name: r.UserName, Path: r.Path, Tags: r.givesTags(), Boundary: r.PermissionsBoundary})
	return c.userOut(u), err
}

type getUserIn struct{ onSelf }

func getUser(ctx context.Context, c call, r getUserIn) (any, error) {
	name, err := r.name(c)
	switch {
	case err != nil:
		return nil, err
	case name == "":
		return userOut{userXML{UserId: c.Principal.ID, Arn: c.Principal.ARN, CreateDate: stamp(c.Principal.Since)}}, nil
	}
	u, err := c.opts.Service.GetUser(ctx, c.account(), name)
	return c.userOut(u), err
}

type listUsersIn struct {
	paging
	PathPrefix string
}

func listUsers(ctx context.Context, c call, r listUsersIn) (any, error) {
	list, err := c.opts.Service.ListUsers(ctx, c.account(), r.PathPrefix)
	if err != nil {
		return nil, err
	}
	list, cut, err := page(r.paging, list, func(u iam.UserInfo) string { return u.Name })
	return struct {
		Users members[userXML]
		pageXML
	}{convert(list, c.userXML), cut}, err
}

type updateUserIn struct {
	onUser
	NewUserName string
	NewPath     string
}

// theUserAndNext returns the user and the ARN that it would get. The caller needs
// the permission on both, or he could take a name that policies give rights to.
func theUserAndNext(ctx context.Context, c call, r updateUserIn) (subject, error) {
	what, err := theUser(ctx, c, r)
	if err != nil {
		return what, err
	}
	path := r.NewPath
	if path == "" {
		_, old, _ := strings.Cut(what.arn, ":user/")
		path = "/" + old[:strings.LastIndexByte(old, '/')+1]
	}
	what.then = c.opts.Service.EntityARN(c.account(), "user", path, cmp.Or(r.NewUserName, r.UserName))
	return what, nil
}

func updateUser(ctx context.Context, c call, r updateUserIn) (any, error) {
	return nil, c.opts.Service.UpdateUser(ctx, c.account(), r.UserName, r.NewUserName, r.NewPath)
}

type userIn struct{ onUser }

func deleteUser(ctx context.Context, c call, r userIn) (any, error) {
	return nil, c.opts.Service.DeleteUser(ctx, c.account(), r.UserName)
}

type tagUserIn struct {
	onUser
	taggingIn
}

func tagUser(ctx context.Context, c call, r tagUserIn) (any, error) {
	return nil, c.opts.Service.TagUser(ctx, c.account(), r.UserName, r.givesTags())
}

type untagUserIn struct {
	onUser
	untaggingIn
}

func untagUser(ctx context.Context, c call, r untagUserIn) (any, error) {
	return nil, c.opts.Service.UntagUser(ctx, c.account(), r.UserName, r.TagKeys)
}

// selfList is a request for a list that belongs to a user, or to the caller.
type selfList struct {
	onSelf
	paging
}

// everything is a request for a list of all that the account has.
type everything struct {
	paging
	PathPrefix       string // of groups
	AssignmentStatus string // of devices
}

type credentialsOf struct {
	selfList
	ServiceName string
	AllUsers    bool
}

// name is that of selfList, but empty if the request is about all users.
func (r credentialsOf) name(c call) (string, error) {
	if r.AllUsers {
		return "", nil
	}
	return r.selfList.name(c)
}

// theUserOrAll returns the user whose credentials are asked for, or anything.
func theUserOrAll(ctx context.Context, c call, r credentialsOf) (subject, error) {
	if r.AllUsers {
		return anything(ctx, c, r)
	}
	return theUser(ctx, c, r)
}

// noLogin answers that a user has no password, as none has.
func noLogin(ctx context.Context, c call, r selfIn) (any, error) {
	name, err := r.name(c)
	if err == nil && name != "" {
		_, err = c.opts.Service.GetUser(ctx, c.account(), name)
	}
	if err != nil {
		return nil, err
	}
	return nil, &iam.EntityError{Kind: kindLogin, Name: name, Err: iam.ErrNotFound}
}

const kindLogin = "login profile"

type selfIn struct{ onSelf }

// userList is a request for a list that belongs to a user.
type userList struct {
	onUser
	paging
}

func listUserTags(ctx context.Context, c call, r userList) (any, error) {
	u, err := c.opts.Service.GetUser(ctx, c.account(), r.UserName)
	if err != nil {
		return nil, err
	}
	return tagPage(r.paging, u.Tags)
}
