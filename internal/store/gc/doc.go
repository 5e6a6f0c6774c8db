// Package gc frees what nothing references: blocks, manifest pages and files.
//
// One cycle runs in the order of the ordering invariant (design §5, rule 8),
// for blocks and pages alike:
//
//  1. mark what drafts and roots reference, to find candidates;
//  2. condemn what is not marked;
//  3. wait for every unit of work in flight at that moment: finished, or its
//     lease lost;
//  4. mark from all drafts' registered pages and blocks and all roots once more:
//     whatever is referenced is no longer condemned;
//  5. delete the rows that this cycle condemned and that still are;
//  6. remove files without live rows, then their rows;
//  7. remove files that have no row.
//
// A dedupe hit takes the condemnation of its block back (blockstore.Catalog.Claim),
// so a unit that began after step 2 is safe by itself, and one that began before
// is waited for and then marked. Step 2 therefore decides nothing: it may condemn
// too much. Drafts are marked before roots, because a draft becomes a root in one
// transaction and never the other way round. A draft may hold the root of a
// snapshot from the moment it begins as that one; roots and holds are therefore
// read together, at one moment.
//
// Any step may be the last: a cycle that starts over takes a new number and
// deletes only what it condemned itself. Two cycles at once do no harm either.
// Memory is bounded: marks are a column, written page by page.
//
// The interleavings of all this are enumerated in model_test.go.
package gc
