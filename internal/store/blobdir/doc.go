// Package blobdir keeps the files of the block store in a local directory: it
// is the blockstore.Backend of a single node.
//
// Files are preallocated and written with O_DIRECT, past the page cache, which
// an import would fill with what nobody reads soon; where the file system
// refuses O_DIRECT, through the cache. A file has the suffix ".open" until it
// is closed: truncated to its size, synced, renamed, its directory synced.
// Every directory on the way is synced before a file in it counts as durable.
package blobdir
