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
// Of STREAMING- payloads only the seed signature is checked here, not the chunk
// signatures and trailers. The asymmetric version 4a is refused. So is version 2,
// unless the caller asks for it: EC2 queries and presigned GETs of S3 can be parsed
// as a V2 (v2.go), and signed again with version 4 for the back end (resign.go).
package sigv4
