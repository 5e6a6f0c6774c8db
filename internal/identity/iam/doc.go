// Package iam authenticates and authorises callers: accounts, users, roles, their
// keys and policies, sessions, and the decision on each request.
//
// Its place in the flow: the front chain takes the access key of a verified
// signature to Service.Lookup and gets a Principal; every edge passes that
// Principal to Authorize before it does anything; an import passes the name of
// the service role to Service.AssumeServiceRole and asks Authorize about the
// object. Everything is read from the Store at each call and nothing is cached:
// a role made a moment ago works, a policy removed a moment ago is gone.
//
//	service.go     Service, ids and ARNs      store.go    what is kept, Store
//	account.go     accounts and root keys     rules.go    names, sizes, quotas
//	user.go        users                      errors.go   sentinels
//	key.go         access keys
//	role.go        roles                      principal.go  who asks
//	inline.go      inline policies            authorize.go  may they?
//	managed.go     managed policies           decide.go     … with a resource's policy
//	boundary.go    permissions boundaries     federation.go federated users
//	profile.go     instance profiles
//	identifiers.go unique ids of principals
//	awsmanaged.go  AWS's own                  context.go    condition keys
//	session.go     session tokens, Lookup     sts.go, assume.go  into a role
//
// Policy documents are evaluated by package policy; Store is implemented by
// metadb and held to the suite in iamtest.
package iam
