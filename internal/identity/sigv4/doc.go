// Package sigv4 verifies AWS Signature Version 4, in the Authorization header
// and in a presigned query, for every service.
//
// It is the first stage of a request's life: the front chain (awshttp) asks Scope
// which service the request is for, Parse reads what it claims, the caller looks up
// the secret that belongs to Request.AccessKeyID, and Request.Verify says whether
// the claim holds. The package does no I/O and keeps no state; a Request holds
// copies and outlives its http.Request.
//
// What is signed is the canonical request, SHA-256 over these lines:
//
//	method
//	path        S3: encoded once, as sent; others: normalised, encoded twice
//	query       sorted by encoded name, then encoded value; no X-Amz-Signature
//	headers     name:value of each signed header, lower case, spaces folded
//	            (an empty line)
//	names       the signed header names, joined by ";"
//	payload     hex SHA-256 of the body, or what X-Amz-Content-Sha256 says
//
// What is signed inside a body is checked while the body is read: chunks.go verifies
// the chunk signatures and trailers of STREAMING- payloads. The asymmetric version 4a
// is refused. So is version 2, unless the caller asks for it: EC2 queries and
// requests to S3 can be parsed as a V2 (v2.go).
package sigv4
