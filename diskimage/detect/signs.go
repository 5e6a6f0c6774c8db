package detect

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// sign indicates that bytes are a disk, or a volume, as they are.
type sign struct {
	title string
	match func(probe) bool
}

// signs are partition tables and the superblocks of file systems and volumes. One
// of them is enough to take content of no known format for a raw disk without a
// warning.
var signs = []sign{
	{"GPT", anyOf(holds(512, "EFI PART"), holds(4096, "EFI PART"))},
	{"NTFS", holds(3, "NTFS    ")},
	{"exFAT", holds(3, "EXFAT   ")},
	{"BitLocker", holds(3, "-FVE-FS-")},
	{"FAT", anyOf(holds(54, "FAT1"), holds(82, "FAT32"))},
	{"XFS", starts("XFSB")},
	{"ext", isExt},
	{"btrfs", holds(0x10040, "_BHRfS_M")},
	{"LVM", anyOf(holds(0, "LABELONE"), holds(512, "LABELONE"), holds(1024, "LABELONE"), holds(1536, "LABELONE"))},
	{"LUKS", starts("LUKS\xba\xbe", "SKUL\xba\xbe")},
	{"swap", anyOf(holds(4086, "SWAPSPACE2"), holds(8182, "SWAPSPACE2"), holds(16374, "SWAPSPACE2"), holds(65526, "SWAPSPACE2"), holds(4086, "SWAP-SPACE"))},
	{"ISO 9660", holds(0x8001, "CD001")},
	{"UDF", anyOf(holds(0x8001, "BEA01"), holds(0x8801, "NSR0"))},
	{"ZFS", isZFS},
	{"F2FS", holds(1024, "\x10\x20\xf5\xf2")},
	{"EROFS", holds(1024, "\xe2\xe1\xf5\xe0")},
	{"SquashFS", starts("hsqs", "sqsh")},
	{"cramfs", starts("\x45\x3d\xcd\x28", "\x28\xcd\x3d\x45")},
	{"romfs", starts("-rom1fs-")},
	{"HFS+", anyOf(holds(1024, "H+\x00\x04"), holds(1024, "HX\x00\x05"))},
	{"APFS", holds(32, "NXSB")},
	{"Apple partition map", func(p probe) bool { return starts("ER")(p) && holds(512, "PM\x00\x00")(p) }},
	{"BSD disklabel", holds(512, "\x57\x45\x56\x82")},
	{"UFS", anyOf(holds(8192+1372, "\x54\x19\x01\x00"), holds(8192+1372, "\x19\x01\x54\x19"), holds(65536+1372, "\x19\x01\x54\x19"))},
	{"JFS", holds(0x8000, "JFS1")},
	{"ReiserFS", holds(0x10034, "ReIsEr")},
	{"GFS2", holds(0x10000, "\x01\x16\x19\x70")},
	{"OCFS2", holds(0x2000, "OCFSV2")},
	{"bcache", holds(4120, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca")},
	{"Linux RAID", anyOf(starts("\xfc\x4e\x2b\xa9"), holds(4096, "\xfc\x4e\x2b\xa9"))},
	{"Android partitions", holds(4096, "gDla")},
	{"boot sector", isBootSector},
}

func anyOf(matches ...func(probe) bool) func(probe) bool {
	return func(p probe) bool {
		for _, match := range matches {
			if match(p) {
				return true
			}
		}
		return false
	}
}

// isExt finds the magic of ext2 to ext4 and, since that is short, a plausible size
// of blocks.
func isExt(p probe) bool {
	return holds(1080, "\x53\xef")(p) && len(p.head) >= 1052 && binary.LittleEndian.Uint32(p.head[1048:]) <= 6
}

// isZFS finds an uberblock in the first label, in either order of bytes.
func isZFS(p probe) bool {
	for at := 128 << 10; at+8 <= min(len(p.head), 256<<10); at += 1 << 10 {
		if v := binary.LittleEndian.Uint64(p.head[at:]); v == 0x00bab10c || v == 0x0cb1ba0000000000 {
			return true
		}
	}
	return false
}

// hasBootMark finds what firmware looks for at the end of a first sector.
func hasBootMark(p probe) bool { return holds(510, "\x55\xaa")(p) }

// isBootSector finds the boot mark together with a partition table that makes
// sense, or with code that begins with a jump.
func isBootSector(p probe) bool {
	if !hasBootMark(p) {
		return false
	}
	jump := p.head[0] == 0xeb || p.head[0] == 0xe9 || p.head[0] == 0xfa || p.head[0] == 0x33
	return jump || hasMBR(p)
}

// hasMBR finds a partition table of the old kind that is not empty.
func hasMBR(p probe) bool {
	if !hasBootMark(p) {
		return false
	}
	used := false
	for _, e := range mbr(p) {
		if e[0]&0x7f != 0 {
			return false
		}
		used = used || e[4] != 0
	}
	return used
}

// mbr returns the four entries of a partition table of the old kind.
func mbr(p probe) [4][]byte {
	var all [4][]byte
	for i := range all {
		all[i] = p.head[446+16*i:][:16]
	}
	return all
}

// disk returns the sign of a disk that the content bears, "" for none.
func (p probe) disk() string {
	for _, s := range signs {
		if s.match(p) {
			return s.title
		}
	}
	return ""
}

// missing says that a disk is larger, according to its contents, than the object:
// the object was cut, or the disk was shrunk. It returns "" when nothing indicates
// that.
func (p probe) missing() string {
	what, size := p.claims()
	if size <= p.size {
		return ""
	}
	return fmt.Sprintf("%s is for a disk of %d bytes at least, the object has %d: it may not be all there", what, size, p.size)
}

// claims returns how large a disk is at least, according to its contents; 0 if that
// is unknown.
func (p probe) claims() (what string, size int64) {
	le := binary.LittleEndian
	const most = 1 << 53 // sectors; no disk has more
	switch {
	case holds(512, "EFI PART")(p) && len(p.head) >= 1024:
		if last := le.Uint64(p.head[512+32:]); last < most {
			return "its GPT", int64(last+1) * 512
		}
	case hasMBR(p) && !holds(3, "NTFS    ")(p) && !holds(54, "FAT1")(p) && !holds(82, "FAT32")(p):
		for _, e := range mbr(p) {
			if e[4] != 0 && e[4] != 0xee {
				size = max(size, (int64(le.Uint32(e[8:]))+int64(le.Uint32(e[12:])))*512)
			}
		}
		return "its partition table", size
	case isExt(p):
		return "its ext file system", int64(le.Uint32(p.head[1028:])) << (10 + le.Uint32(p.head[1048:]))
	case starts("XFSB")(p) && len(p.head) >= 16:
		if block, n := binary.BigEndian.Uint32(p.head[4:]), binary.BigEndian.Uint64(p.head[8:]); n < most && block <= 64<<10 {
			return "its XFS file system", int64(n) * int64(block)
		}
	}
	return "", 0
}

// isZero reports whether nothing but zeros was seen of an object.
func (p probe) isZero() bool {
	return len(bytes.Trim(p.head, "\x00")) == 0 && len(bytes.Trim(p.tail, "\x00")) == 0
}
