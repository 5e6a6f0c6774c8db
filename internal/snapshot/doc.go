// Package snapshot is the waist of the hourglass: what every import and every
// direct write fills (a draft) and what every reader reads (blocks, or the same
// as a diskimage.Disk).
//
// A snapshot's manifest is a tree of two levels: a small root names pages, a
// page names the blocks of PageBlocks consecutive indexes by their IDs. Pages
// are immutable and named by a MAC of their content, so snapshots that share
// content share pages. Where a block or a page lies is the catalog's to know,
// so packs can be rewritten without touching a manifest.
package snapshot
