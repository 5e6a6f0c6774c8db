// Package blobs3 keeps the files of the block store in a bucket of an S3-compatible store:
// it is the blockstore.Backend of nodes that share one. docs/store.md says what the
// store must be able to do.
//
// Every file is one object under the prefix of the store. A file of up to one part is
// stored by one PutObject, a longer one by a multipart upload, whose parts are sent as
// soon as they are full; both end with If-None-Match: *, so nothing ever replaces a file.
// Beside the files lie
//
//	identity           the storage format and whose store it is: the line
//	                   "diskport store 2 " and 32 hexadecimal digits, written once
//	aside/TIME/NAME    a file NAME that was set aside at TIME, such as
//	                   20260203T040506Z; to bring it back, copy it to NAME
//
// Names that begin with a dot belong to the probe; what one leaves that was cut off goes with
// Purge.
//
// # Removal
//
// A file that was removed while it was open can't be closed any more, although the node
// that removes it and the one that writes it know nothing of each other, and the request
// that makes the file may be on its way. So Remove does not delete the object: it puts a
// mark in its place, a small object with the metadata "diskport-removed", without any
// condition. Of the two requests the store does one first. If it makes the file first, the
// mark replaces it. If it puts the mark first, the file's If-None-Match fails, now and
// at every later try. Only then are the parts of uploads of that name let go, which frees
// what they take but decides nothing. To readers and listings a mark is no file.
//
// A mark leaves, with Purge, after as long as files that were set aside stay, and not
// before markLife, when nothing can close the file any more: a Writer refuses to begin
// that once it is older than writerLife, and a request that was signed before, and held
// up since, is refused by the store because its date is more than 15 minutes old.
//
// # Lost answers
//
// Every request is repeated when no answer came, or one that says that the store is not
// well. Those that read, put a mark or a part can be done twice. One that makes a file
// can't, because of its condition: if it is refused, or remains without an answer, the
// object is asked for, and is this writer's if its metadata has the writer's token. Where
// that does not answer either, Close fails, and Abort puts a mark in the place of whatever
// may come to be there.
//
// # Memory
//
// Parts that are not stored yet are in memory: as many as fit into a budget for all
// writers together. A write that needs one more waits until an upload gives its own
// back. When no upload is under way, all memory is held by parts that wait for more to be
// written, perhaps by the very goroutines that would wait here: then there is no waiting,
// and the budget is exceeded by a part. So no writer ever waits for another one to write.
package blobs3
