// Package blobdir keeps the files of the block store in a local directory: it
// is the blockstore.Backend of a single node.
//
// Files are preallocated and written with O_DIRECT, past the page cache, which an
// import would fill with data that is not read again soon; where the file system
// refuses O_DIRECT, they are written through the cache. A file has the suffix
// ".open" until it is closed; closing truncates it to its size, syncs it, renames
// it and syncs its directory. Every directory on the way is synced before a file in
// it counts as durable. The files that were read last stay open, so that a read is
// one system call.
//
// Beside the files lie
//
//	identity               the storage format and whose store it is: the line
//	                       "diskport store 2 " and 32 hexadecimal digits, written once
//	quarantine/TIME/NAME   a file NAME that was set aside at TIME, such as
//	                       20260203T040506Z; to bring it back, move it to NAME
//
// Names that begin with a dot belong to the probe, or to other programs.
package blobdir
