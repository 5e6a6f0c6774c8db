// Package iamapi is the edge of IAM (2010-05-08) and STS (2011-06-15): the
// Query protocol over package iam.
//
// A request comes from the front chain with its form and its principal. The
// dispatcher (dispatch.go) decodes it, asks iam.Authorize, calls the domain and
// writes the response. actions.go has the table of actions that are built,
// unsupported.go those that AWS has and this service does not.
//
//	roles.go, users.go, keys.go  those entities
//	inline.go                    policies of users and roles, attached ones too
//	policies.go, versions.go     managed policies
//	boundaries.go                permissions boundaries
//	profiles.go                  instance profiles
//	sts.go                       sessions, and who one is
//	answer.go, errors.go         envelopes, pages, codes
package iamapi
