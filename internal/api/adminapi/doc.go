// Package adminapi serves /-/v1/, the service's own JSON API, for what AWS's APIs
// can't say. Requests are signed with SigV4 as service "diskport"; the front chain
// (awshttp) has verified that before they come here.
//
//	GET  /-/v1/tasks                 tasks of the account, in full detail
//	GET  /-/v1/tasks/{id}            one task
//	GET  /-/v1/tasks/{id}/events     the task as server-sent events, until it ends
//	GET  /-/v1/image-tasks[/{id}[/events]]  likewise, of imports of machine images
//	GET  /-/v1/snapshots             its snapshots, with their sizes
//	GET  /-/v1/snapshots/{id}        one snapshot
//	GET  /-/v1/snapshots/{id}/data   what it holds, for an export
//	POST /-/v1/snapshots/{id}/verify read every block back: events, then the result
//	POST /-/v1/verify                likewise, everything that the store keeps
//	GET  /-/v1/snapshots/{id}/sizes  what it stores, shares and would give back: likewise
//	GET  /-/v1/regions               names of the regions that the service plays
//	POST /-/v1/repair                likewise, and mend what the store has another copy of
//	POST /-/v1/rebuild               enter what the store has and the database does not know: likewise
//	POST /-/v1/gc                    free what nothing references
//	GET  /-/v1/stats                 what the store holds and takes, all accounts together
//	GET  /-/v1/compact               what a compaction would rewrite
//	POST /-/v1/compact               rewrite packs smaller: events, then the result
//	GET  /-/v1/domains               dedupe domains of all accounts, with their data keys
//	POST /-/v1/domains/rotate        make new data keys, encrypt all anew: events, then the result
//	POST /-/v1/master-key/rotate     replace the master key of the service
//	POST /-/v1/backup                make a backup: events, then the result
//	GET  /-/v1/accounts              every account of the service
//	POST /-/v1/accounts[/{id}]       a new account with its root key, told this once
//	DELETE /-/v1/accounts/{id}       remove an account that owns nothing
//
// Tasks and snapshots are those of the region that a request is signed for.
//
// Tasks and snapshots come in pages, oldest first: ?limit=N entries, 1,000 unless
// less is asked for. While there are more, the answer has a "next", the value of
// ?after= in the request for the next page.
//
// What a snapshot stores and shares depends on all others of its account, so a list does
// not say it: it is measured, one snapshot at a time, which ends when its client goes.
// Its progress counts pages, of 512 MiB of a volume each.
// docs/sizes.md says what each size means.
//
// What a snapshot holds comes as a stream of records, ascending; what is in none of them
// is zeros. ?from=N begins at the offset N, a multiple of 512 KiB. Numbers are
// little-endian:
//
//	 0  4  "data", "end " or "fail"
//	 4  4  n, at most 512 KiB
//	 8  8  offset on the volume of what it holds; of "end ", the volume's size
//	16  4  CRC-32C of the 16 bytes before it and of what follows
//	20  n  data; of "fail", why the stream ends here, in words
//
// A stream that ends in another way was cut off. The service has verified the data;
// the checksum is for their way to the client. Policies must allow what reading the
// snapshot by EBS direct takes, ebs:ListSnapshotBlocks and ebs:GetSnapshotBlock, and the
// use of its key.
//
// A verification sends an event "finding" for everything that is damaged, and one of the
// whole store an event "snapshot" for each that was looked at.
//
// A compaction and a verification of the store take ?rate=N, bytes a second that they read
// and write at most. They end when their client goes.
//
// A rotation takes the same, and ?domain=ID, ?snapshot=ID or ?kmsKey=KEY; with ?rewrap=true
// it moves no block, and only wraps the keys anew.
//
// A backup takes a JSON document: {"place":"/srv/backups"} or, with credentials,
// "s3://BUCKET/PREFIX?endpoint=URL&region=REGION"; and keep, check, rate and
// includeMasterKey. It ends when its client goes; the backups before it stay.
//
// Accounts are managed by the service's own account alone: its root, and users
// whose policies allow it.
//
// Times are RFC 3339, sizes bytes unless a name says otherwise. An error is
// {"code","message"}. Fields may be added, and are never renamed.
package adminapi
