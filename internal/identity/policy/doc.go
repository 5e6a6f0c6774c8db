// Package policy parses and evaluates IAM policy documents: the policies of
// users and roles, the trust policies of roles, and the policies of resources.
//
// Parse refuses what IAM refuses, so that a stored document can always be evaluated
// and a misspelt word never weakens one. Evaluate then returns one of four
// decisions; package iam combines those of identity, resource and account. Both are
// pure.
//
// Documents come from anybody who may store one, and the values they are compared
// with come from anybody who may send a request. So both are bounded, matching does
// not backtrack, and an evaluation counts its steps and ends with its request
// (Work). What can't be known, because two tags give the same condition key or a
// variable has no value, is neither true nor false: no Allow rests on it, and a
// Deny holds.
//
// Why this is our own and not a library: docs/adr/0002-own-policy-evaluation.md.
//
//	document.go   the parsed form, Parse
//	json.go       JSON that refuses what encoding/json lets pass
//	validate.go   the rules of each element
//	accept.go     what IAM refuses besides, and its texts
//	keys.go       condition keys that AWS sets and this service does not
//	cache.go      documents that were parsed before
//	evaluate.go   Request, Decision, statements
//	context.go    the values of condition keys, and what is true of them
//	work.go       what one request may cost
//	condition.go  the condition block: quantifiers, IfExists, negation
//	operator.go   the table of condition operators
//	pattern.go    wildcards
//	variable.go   policy variables
package policy
