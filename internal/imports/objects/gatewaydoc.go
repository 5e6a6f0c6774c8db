package objects

// The gateway (gateway*.go, keys.go, probe.go) is the S3 server that stands in until the
// edge s3api serves this package.
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
// inode and renames it into place, so a hard link is a stable snapshot.
//
// It works on paths relative to the working directory, so while a Gateway runs the
// process stands in <data>/s3 and every other path of the process must be absolute; and
// there can be one Gateway in a process at a time.
