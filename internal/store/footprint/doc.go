// Package footprint measures what one snapshot takes of the store: the bytes of its
// blocks as they lie on disk, those that it shares, and those that only it names,
// which is what deleting it gives back. It only reads, on behalf of whoever asks, and
// stands beside gc: both go by what references a block, but gc decides what goes and
// this package only says what would.
//
// # What counts
//
// A block is shared when anything besides the snapshot names it: a page under another
// root (of a snapshot, of one that was deleted while a draft began as it, a volume was
// made from it, or a reader holds it), or a page or block of a pending snapshot. All
// of these are of the snapshot's dedupe domain, in whatever region, since blocks are
// never shared across domains. A draft that begins as the snapshot and a volume that
// was made from it keep all of it. A reader that holds the snapshot itself does not
// count: it only puts off what deleting gives back.
//
// # The way
//
//  1. Read the pages of the snapshot; gather the IDs of its blocks.
//  2. Walk everything else that may name them, pending snapshots first and roots
//     after, in the order in which gc marks: a pending snapshot becomes a root in one
//     transaction and never the other way round. A page that the snapshot has too is
//     not read, but noted as shared; of another, the blocks that were gathered are
//     noted.
//  3. Read the snapshot's shared pages again; their blocks are shared.
//  4. Look up how long the frames of the gathered blocks are, and add up.
//
// Each distinct page of the domain is read once, some 33 KiB for 512 MiB of data, and
// no block is. So it takes time in proportion to the domain, not to the snapshot.
//
// # Bounds
//
// At most a sample of Config.Sample blocks is gathered. Block IDs are keyed hashes, so
// the blocks whose IDs begin with k zero bits are a fair draw of one in 2^k; k grows
// until the sample fits. Up to half a TiB of distinct data k is 0 and the sizes are
// exact. Above, they are estimates, and Footprint.Margin says how far off they may be:
// three standard deviations, about 0.4 % of what is stored. One walk is enough
// however large the snapshot is.
//
// Pages that were read are remembered, 32 bytes for each, up to as many as sampled
// blocks; above that, 512 TiB of data, a page may be read more than once, which
// changes nothing. One snapshot is measured at a time in a process, and others wait;
// accounts take turns, so one that asks for many does not keep another from its first.
//
// # Damage
//
// What can't be read is named in Footprint.Damaged. The blocks under a page of the
// snapshot that can't be read are in none of the sums. What can't be read elsewhere
// may name any block of the domain, so Unique may be too large then; gc frees nothing
// of the domain until it can be read.
package footprint
