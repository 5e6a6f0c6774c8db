// Package gc frees what nothing references: blocks, manifest pages and files.
//
// # Candidates
//
// A cycle begins with what was let go since the last one. Every event that lets go
// of something notes it as a candidate in its own transaction: the root of a
// deleted snapshot, the pages of a failed import, the blocks of a draft that ended
// or overwrote them, a file whose last block or page is gone. Files that were never
// closed and whose lease is lost are candidates by themselves. Without candidates a
// cycle ends at once. What is not a candidate is neither condemned nor written to;
// the worst that can happen to it is that it stays.
//
// A candidate leaves when its row is deleted, or when marking finds it referenced,
// since whatever references it will note it again when it lets go. One that a unit
// of work claimed meanwhile stays a candidate, because the unit may fail.
//
// # The order
//
// Roots that were let go, and that no draft or hold keeps, are expanded: the pages
// under them become candidates. Then, for one window of candidates after the other,
// in the order of the ordering invariant (ARCHITECTURE.md, rule 8), and both for
// pages and for the blocks that they name:
//
//  1. take the candidates, in the name of a new pass; mark what roots, drafts and
//     holds reference, to find those that nothing does;
//  2. condemn these;
//  3. wait for every unit of work in flight at that moment: finished, or its
//     lease lost;
//  4. mark from the pages and blocks of all pending snapshots and all roots once more;
//  5. note the blocks again, since the pages that named them go; delete the rows
//     that this pass condemned, that still are, and that were not marked.
//
// Last, files are removed that nothing names, then their rows.
//
// A dedupe hit takes the condemnation of its block back (blockstore.Catalog.Claim),
// so what a unit relies on that began after step 2 is safe, and a unit that began
// before is waited for and what it registered is marked. Step 1 therefore decides
// only what may leave the candidates. Pending snapshots are marked before roots, because a
// draft becomes a root in one transaction and never the other way round. A draft or
// a reader takes its hold of a root while the snapshot still exists; roots and
// holds are therefore read together, at one moment, so that one of the two is seen.
//
// A range is finished in slices, each of which registers its blocks with the pages that
// name them and ends its lease; so a cycle waits for the slice in flight, not for the
// range, and what earlier slices registered is marked from their pages. When a draft or
// import ends, the rows that name its pages and blocks go in slices too: those that are
// left are marked from, and what they name becomes a candidate when they go, unless the
// root of the snapshot names it by then.
//
// A cycle may stop after any step and be run again: a candidate leaves only after
// it has been dealt with, and a pass deletes only what it condemned itself. Two
// cycles at once do no harm either. Memory is bounded by the window
// (Collector.Window), and by 64 bytes for each distinct page of the store, 512 MiB
// of data, while marking.
//
// The interleavings of all this are enumerated in model_test.go.
//
// # Damage
//
// Nothing is deleted because of one row that may itself be wrong or missing.
//
// A closed file is removed when two things agree: no row names it, and as many
// of its blocks or pages were let go as were written to it. A file that a block,
// page, snapshot, draft or hold names stays, whatever its own row says; so does a
// closed one whose blocks lost their rows in any other way. A root that was not
// let go is marked from even if no snapshot names it any more.
//
// A root that can't be read may name any page, and through it any block of its
// snapshot's domain. Until it can be read, no page is freed, and no block of that
// domain (of any domain, if it is not known). A page that can't be read, or has no
// row, may name any block of its root's domain, so none of these is freed. Other
// domains, and files, are freed as ever. What is in doubt stays a candidate, and
// Report.Damaged names the cause.
//
// A closed file that no row names is not removed but set aside
// (blockstore.Quarantine), and purged after Collector.Keep. If there are more of
// them than damage explains (blockstore.Plausible), the database is not the one
// that the store was written with: they are left alone, and Report.Implausible says
// so.
package gc
