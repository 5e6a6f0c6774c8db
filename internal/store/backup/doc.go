// Package backup copies a service's database and files to another place, and back, while
// the service works.
//
// A backup is of one moment: that at which the database was copied by its engine's own
// way. Before that, all files are held (snapshot.Holds.TakeAll): gc goes on, but removes
// none. What the copy names is then copied from the store and the embedded S3, if it is
// not in the target yet: files never change and names are never used again, so a second
// backup moves only what is new. Last comes the manifest of the moment, under its name all
// at once; without it there is no backup, so one that is cut off anywhere leaves those
// before it as they were.
//
// While it is copied, a frame, page or root is checked as far as that is possible without
// the keys of its domain. What is damaged in the source is copied as it is, noted in the
// manifest, and told; a copy from before the damage, which the target may have, stays. Once
// it is whole again it is copied again, for the moments too that noted the damage.
//
// # The target, format 1
//
//	diskport-backup         the line "diskport backup 1 " and the store's identity
//	moments/MOMENT.json.gz  manifests; MOMENT is a time in UTC, 20060102T150405.000000Z
//	databases/MOMENT.db     the database as it was then
//	blocks/…, objects/…     files of the store and the embedded S3, under their own names
//	lock                    of a directory: locked while a backup is being made
//
// A manifest is lines of JSON, compressed: a Moment; a File for each file that its database
// names; and an end, with the number of lines, the SHA-256 of what is before it, and its proof. Names
// with a part that begins with a dot are being written, or were.
//
// # Secrets
//
// What is secret in the database is wrapped under the master key, which is not part of a
// backup unless the operator asks for it. A Moment carries a wrapped text for each master
// key that was in use, so that a restoration can tell whether it was given the right one.
//
// The proof of a manifest is its SHA-256, wrapped under the master key of that moment: only the
// service can have made it. What no proof covers is not restored, and a later backup does not take a
// checksum from it. That the newest backup is there is not proven: who can write to a target
// can remove it.
package backup
