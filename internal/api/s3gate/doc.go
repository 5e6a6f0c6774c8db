// Package s3gate is the S3 edge: it decides whether a principal may do what an
// S3 request asks, and forwards the request as it came to the embedded gateway.
//
//	request ─► which bucket and key       target.go
//	        ─► which IAM actions on what  actions.go
//	        ─► what policies may ask      keys.go
//	        ─► authorise                  gate.go
//	        ─► forward, byte for byte     proxy.go
//
// The gateway verifies the signature a second time, and it alone verifies those of
// the chunks of a streamed body. So nothing that is signed may change on the way:
// Host, path and query as they were spelled, headers, body, trailers.
//
// What is authorised must be exactly what the gateway then does, however it is
// spelled. So a request that two parsers could read differently is refused: dot
// segments, a fragment, a malformed query, two sub-resources at once.
package s3gate
