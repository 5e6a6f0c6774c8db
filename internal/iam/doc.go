// Package iam says who asks, and whether they may: accounts' root keys, roles
// and their policies, and the decision over a request.
//
// Its place in the flow: the front chain takes the access key of a verified
// signature to Service.Lookup and gets a Principal; every edge passes that
// Principal to Authorize before it does anything; an import passes the name of
// the service role to Service.AssumeServiceRole and asks Authorize about the
// object. Everything is read from the Store at each call and nothing is cached:
// a role made a moment ago works, a policy removed a moment ago is gone.
//
// Policy documents are evaluated by package policy; Store is implemented by
// metadb and held to the suite in iamtest.
package iam
