// Package compact rewrites packs, so that space comes back: it is the one job that
// drops dead frames, merges small packs and compresses what an import wrote as it
// was. It runs as a periodic duty at a bounded rate, and at once when an operator
// asks for it.
//
// # What is rewritten
//
// The rows of packs say how many of their blocks are dead, how long they are, and
// whether they have been compressed; nothing else is read to choose them (choose.go).
// Blocks keep the order that they have, so that a disk is read as it was.
//
// A frame that does not change is copied as it is, without any key, after its
// checksums were compared. A frame that can be compressed is opened, which proves
// it, and compressed, and the new one is opened again before it is written. When the
// key of a domain can't be used, everything is copied. A frame under a data key that is
// to go (Compactor.Rotate) is opened and encrypted under the newest. A frame that is damaged stays
// where it is: its block is marked (blockstore.Catalog.MarkDamaged) and named in the
// report, and everything around it moves.
//
// # Order
//
// One step makes one new pack of one domain. It belongs to a unit of work of its own,
// of which there is one for each domain, so that no two rewrite the same packs. The
// pack is durable before the transaction that moves its blocks (Store.Move), which
// checks the lease, and moves only those that still lie where they were read. A step
// that is cut off leaves a file with a row and no blocks, which is garbage as any
// other.
//
// Rewriting adds no reference and takes none away: condemned blocks stay condemned,
// deleted ones deleted, and gc waits for no step. The old packs are files all of whose
// blocks were let go; gc removes them in its order. A reader that meets a file that
// is gone looks its block up again. gc's model_test.go has the interleavings.
package compact
