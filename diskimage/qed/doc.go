// Package qed reads QED images, as written by qemu.
//
// Source: QEMU, docs/interop/qed_spec.txt. All numbers are little-endian.
//
//	offset     bytes                  structure
//	0          header+12 clusters     header, name of the backing file
//	header+40  table                  L1 table
//	L1 entry   table                  L2 table
//	L2 entry   1 cluster              data
//
// A table is header+8 clusters long, of entries of 8 bytes: offsets in the
// object, multiples of a cluster; 0 is none. The L2 entry 1 is a cluster of
// zeros that is not stored.
//
// Header:
//
//	0   4  "QED\x00"
//	4   4  bytes of a cluster: a power of two from 4 KiB to 64 MiB
//	8   4  clusters of a table: a power of two from 1 to 16
//	12  4  clusters of the header
//	16  8  features: bit 0 has a backing file, 1 needs a check, 2 its backing
//	       file is raw
//	24  8  compatible features, ignored
//	32  8  features that a writer clears, ignored
//	40  8  offset of the L1 table
//	48  8  size of the disk in bytes, whole sectors of 512
//	56  4  offset of the backing file's name
//	60  4  its length
//
// Not supported, and refused by name: backing files.
package qed
