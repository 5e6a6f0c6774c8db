// Package blockstore stores blocks: sealed frames in append-only packs, found
// through a catalog, each stored once inside its dedupe domain.
//
// A unit of work writes packs through a PackWriter; the event that finishes the
// unit enters their blocks into the catalog (design §5, the ordering invariant).
// A Store reads blocks back, and every read is verified.
package blockstore
