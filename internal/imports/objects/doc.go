// Package objects is the embedded S3 behind its edge: buckets, objects and their
// versions, multipart uploads, and pins, by which an import keeps reading the object
// that it was given even if that is replaced or deleted.
//
// In the flow it stands between s3api, which speaks HTTP, and source, which pins and
// reads objects without going through HTTP.
//
// Names and all that is known of objects are rows (store.go; package metadb). Bytes lie
// in pieces: files that are written once, under a number that is never used again. An
// object, a part of an upload or a pin names a content, which is a sequence of ranges
// of pieces and never changes: so a copy, a completed upload or a pin moves no bytes.
//
//	NewPiece … Finish   a file is durable, and has only a row of its own      piece.go
//	Put, PutPart        one transaction names it; the answer comes after it
//	Open                reads the pieces of a content at random               reader.go
//	Encrypt             the pieces of an object under a data key of its own   encrypt.go, chunk.go
//	Sweep               frees the files that nothing names any more           sweep.go
//	VerifyObjects       reads all files, and compares them with their proofs  prove.go
//
// The order is that of the block store: the row of a piece is committed before the first
// byte of its file, and the file is durable before a row names its bytes. So a process
// that dies leaves open pieces, which the sweep of the next one frees, and never half an
// object.
package objects
