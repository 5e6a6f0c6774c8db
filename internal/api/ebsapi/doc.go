// Package ebsapi is the edge of the EBS direct APIs: it lists the blocks of
// snapshots, says where two differ, serves blocks with their checksums, and takes
// new snapshots block by block, in REST-JSON. It gets the blocks from package
// snapshot.
//
//	api.go     the edge: table of operations, order of checks
//	params.go  what a request may say, with the rules of each parameter
//	list.go    ListSnapshotBlocks, ListChangedBlocks
//	block.go   GetSnapshotBlock
//	start.go   StartSnapshot
//	write.go   PutSnapshotBlock, CompleteSnapshot
//	library.go open snapshots, kept for the next request
//	tokens.go  block and page tokens
//	errors.go  errors → exception, status, reason, message
//
// The cost of a list is in proportion to its answer. Tokens carry their own state,
// so any node can serve any request.
package ebsapi
