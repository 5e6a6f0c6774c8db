// Package verify finds bit rot, and mends it: it reads everything that the block store
// keeps and compares it with itself and with the rows of the catalog.
//
// # What is checked
//
//   - the database, by the means of its engine;
//   - domains: that their keys open, and are those that their rows say;
//   - every closed file with a row: that it is there, as long as its row says, and counts
//     what lies in it right. Of a pack, header, trailer and every frame, live or dead, are
//     read: a frame is opened and compared with the ID of its block, or, while the key
//     of its domain can't be used, compared with its checksums, which is told apart from
//     damage. Of a pages file and of a root every byte is under a MAC;
//   - every row of a block or page: that what it names lies where it says;
//   - files that no row knows;
//   - every snapshot: that its row says what its root says, and that each page and block under the root can be
//     read. Blocks were read with the packs, so each byte of the store is read once, however
//     many snapshots share it.
//
// A run goes on to the end whatever it finds. What changes meanwhile is no damage: a
// doubtful row is read again before it is reported.
//
// # Mending
//
// What is mended is written anew, by a unit that rewrites packs (package compact), and an event moves
// only those blocks that can't be read where they lie: so neither gc nor readers see
// anything that they don't know. That enters a block or page, too, whose
// row is lost: it is written anew as one that can't be read. A rebuild enters rows of files that have none; what it
// enters becomes a candidate of gc at its end, if everything could be entered.
//
// # Marks
//
// A block that can't be read is marked in its row, so it is no dedupe hit any more
// (blockstore.Catalog.MarkDamaged); the mark of one that was proven whole is taken away,
// for instance when a file is back.
package verify
