// Package objects is the embedded S3: the life of the gateway that stores uploads,
// its layout on disk, and pins, by which an import keeps reading the object that it
// was given even if that is replaced or deleted.
//
// In the flow it stands between s3gate, which forwards verified S3 requests
// over Gateway.Transport, and source, which pins and reads objects without
// going through HTTP.
//
// Layout below the data directory:
//
//	s3/<bucket>/<key>    objects, as the gateway's posix back end keeps them
//	s3/<bucket>/.sgwtmp  its unfinished uploads
//	s3-meta/             ETags and the like, where the file system has no
//	                     extended attributes; else they lie on the files
//	pins/<pin id>        hard links to pinned objects
//
// All three must be on one file system. The gateway writes each object to a new
// inode and renames it into place, so a hard link is a stable snapshot: replacing
// or deleting the object removes a name, but no data. Only metadata (tags) can
// change afterwards, which an import doesn't read.
//
// Two things about the gateway (github.com/versity/versitygw) that callers
// must know: it works on paths relative to the working directory, so while a
// Gateway runs the process stands in <data>/s3 and every other path of the
// process must be absolute; and there can be one Gateway in a process at a time.
package objects
