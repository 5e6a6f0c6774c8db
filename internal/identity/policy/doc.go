// Package policy parses and evaluates IAM policy documents: the policies of
// users and roles, the trust policies of roles, and the policies of resources.
//
// Parse refuses what IAM refuses, so that a stored document can always be
// evaluated and a misspelt word never weakens one. Evaluate then answers with
// one of four decisions; who combines them (identity, resource, account) is
// package iam. Both are pure.
//
// Why it is written here and not taken from elsewhere:
// docs/adr/0002-own-policy-evaluation.md.
//
//	document.go   the parsed form, Parse
//	json.go       JSON that refuses what encoding/json lets pass
//	validate.go   the rules of each element
//	evaluate.go   Request, Decision, statements
//	condition.go  the condition block: quantifiers, IfExists, negation
//	operator.go   the table of condition operators
//	pattern.go    wildcards and policy variables
package policy
