// Package server is the composition root: it makes the service out of its parts and
// runs it. New opens the parts in the order in which they need each other, Run
// serves until its context ends, and Close closes everything.
//
// The data directory, all of which belongs to one running service:
//
//	lock          held while a service runs; says which process
//	endpoint      where it listens, for other commands
//	credentials   root access key, in AWS's shared credentials format (0600)
//	master.key    wraps every secret that is stored (0600)
//	metadata.db   SQLite: tasks, snapshots, catalog, identities
//	commits       how many transactions it has committed: tells an older one
//	blocks/       packs, manifest pages and roots
//	audit/        records of the audit log that their bucket does not have yet
//	s3/ pins/     the embedded S3's objects, and those that imports hold
package server
