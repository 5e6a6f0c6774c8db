// Package vmdk reads VMware virtual disks at random and by runs: those that are
// whole in one object, monolithicSparse and streamOptimized, and those of several
// files that the caller gives, flat, sparse and COWD. It writes streamOptimized.
//
// Sources: VMware, "Virtual Disk Format 5.0" (2011), for the structures; the
// files of the producers named below for what the text does not say. All
// numbers are little-endian; a sector is 512 bytes.
//
// Sparse header, sector 0:
//
//	0   4  "KDMV"
//	4   4  version: 1; 2 with zeroed grains; 3 in streams and with changed block
//	       tracking, read as 1
//	8   4  flags: bit 0 line ends below are valid, 1 redundant tables in use,
//	       2 zeroed grains, 16 compressed grains, 17 markers
//	12  8  capacity of the disk in sectors
//	20  8  grain size in sectors; a power of two, 128 in practice
//	28  8  sector of the descriptor
//	36  8  its length in sectors
//	44  4  entries of a grain table: 512
//	48  8  sector of the redundant grain directory
//	56  8  sector of the grain directory; all ones: see the footer
//	64  8  sectors of metadata before the first grain
//	72  1  1 while a writer has it open
//	73  4  "\n \r\n", which transfers in text mode change
//	77  2  compression: 0 none, 1 deflate
//
// The grain directory has an entry of 4 bytes for each 512 grains: the sector of
// a grain table, or 0 for none. A grain table has 512 entries of 4 bytes: the
// sector of a grain, 0 for none, or 1, where the flag allows it, for zeros. The
// redundant ones are a second copy of both.
//
// Compressed grains and, in most streams, the tables are records that begin with
// a marker, at a sector:
//
//	0   8  grain: its first sector on the disk; else sectors of what follows
//	8   4  grain: bytes of the zlib stream at 12; else 0
//	12  4  0 end of stream, 1 grain table, 2 grain directory, 3 footer
//
// A grain's record is padded to a sector; the other markers fill one and their
// content follows. The order is that of a writer that cannot go back: grains,
// then the table that points at them, and at last the directory. The footer is a
// copy of the header that says where the directory is.
//
//	producer                      directory           footer  end-of-stream
//	vSphere, ovftool, VirtualBox  at the end          yes     yes
//	vmware-vdiskmanager           before the grains   no      yes
//	vmdktool                      by the header, late yes     yes
//	qemu-img                      before, with copy   no      no, zeros to 64 KiB
//	Xen Orchestra                 at the end          yes     yes, and zeros after it
//
// The end of the stream is all zeros itself, so a footer is the last sector of
// an object that is not.
//
// The descriptor is text: comments, "key=value" lines, and a line for each extent,
//
//	access sectors type "name" start
//
// access is RW, RDONLY or, refused, NOACCESS. In the images above there is one
// extent, and its name means nothing (real ones hold the name before the last
// renaming, or "generated-stream.vmdk") and is not looked at. A descriptor that is
// an object of its own, or all that is in a sparse image whose capacity is 0 (ESX),
// describes a disk of several files, one extent after the other:
//
//	createType                          types        the file
//	monolithicFlat, twoGbMaxExtentFlat  FLAT, VMFS   bytes, from sector start on
//	vmfs and its kinds                  FLAT, VMFS   the same; start is 0 if missing
//	twoGbMaxExtentSparse                SPARSE       a sparse image, without descriptor
//	vmfsSparse                          VMFSSPARSE   COWD, below
//	any of them                         ZERO         none: zeros
//
// The names must be plain names of files, and those of Options.With. A line of
// text that is cut is refused, and so are files of another size than it says.
//
// COWD header, 4 sectors; numbers of 4 bytes:
//
//	0     "COWD"
//	4     version: 1
//	8     flags: bit 0 builds upon no other disk
//	12    sectors of the extent
//	16    grain size in sectors; 1 is usual
//	20    sector of the grain directory
//	24    entries in it
//	28    next free sector
//	32    cylinders, heads, sectors; or the name of the disk that it builds upon
//	1648  1 while a writer has it open
//
// Directory and tables are as above, with 4096 entries in a table and no copies.
// All snapshots of ESX are of this kind, so one is only read when a descriptor
// says that it builds upon no other disk.
//
// Not supported, and refused by name: snapshots and linked clones, seSparse, raw
// device mappings and devices, encryption.
package vmdk
