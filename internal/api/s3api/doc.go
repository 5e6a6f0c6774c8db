// Package s3api is the S3 edge: it serves buckets and objects over net/http.
//
//	request ─► which bucket, key and sub-resource   target.go
//	        ─► the operation                        operations.go, a table
//	        ─► what policies may ask                keys.go
//	        ─► authorise: IAM and bucket policy     authorize.go
//	        ─► handler                              one file for each family
//	        ─► answer or error                      answer.go, errors.go
//
// The front chain has verified the signature of the request. What is signed inside a
// body, its hashes and its trailers are checked here while the body is read
// (body.go); nothing is stored before they have been. Everything that can be known
// without the body is checked before its first byte is asked for, so that a client
// that waits for leave to send (Expect: 100-continue) hears the refusal instead.
//
// What is authorised must be exactly what is then done, however it is spelled. Keys
// are opaque: no spelling of one is another's. A request that could be read in two
// ways is refused: a malformed query, a parameter given twice, two sub-resources.
//
// Behind the edge stands package objects. What it calls settings of a bucket are
// documents whose meaning is known here alone (settings.go).
package s3api
