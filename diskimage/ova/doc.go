// Package ova finds the disk in an OVA, a tar archive of an OVF description, its
// disks, and mostly a manifest; and in a tar archive that holds a disk and no OVF.
// Package detect opens what it finds.
//
// Sources: DMTF DSP0243 (OVF 1.1 and 2.1) and POSIX.1-2001 for ustar and pax,
// the manual of GNU tar for sparse members, and the files of ovftool, VirtualBox,
// VMware and osbuild for what they leave open: the order of members, unit
// spellings, and sizes that are missing.
//
// A member is a header of 512 bytes and its data, padded to 512:
//
//	0    100  name; 345 155 prefix of it in ustar
//	124  12   size: octal, or base 256 with the top bit set (GNU)
//	148  8    checksum: the sum of the header's bytes, these taken as blanks
//	156  1    type: 0 or NUL file, x and g pax records, L long name (GNU),
//	          S sparse file (GNU), 5 folder, V the archive's name
//	257  8    "ustar" 00 "00", or "ustar  " 00 (GNU); anything before ustar
//	386  96   of a sparse file: 4 segments, offset and length of 12 each
//	482  1    of a sparse file: 1 when blocks of 21 segments follow, each with the
//	          same mark at 504
//	483  12   of a sparse file: its size; that at 124 is of what is stored
//
// Pax records (path, size, GNU.sparse.*) and a GNU long name replace what the next
// header says. The data of a sparse file of the pax form 1.0 begin with its map: how
// many segments, and of each the offset and the length, a decimal number a line,
// padded to 512. Two blocks of zeros end the archive; if they are missing, there is
// a warning. Files in folders are members by their names with the folders; links and
// devices are refused, and so are names that lead out of the archive and two members
// whose names differ in case alone. Folders, and the files that macOS adds, are
// passed over.
//
// In the OVF, Envelope/References/File (id, href, size, compression, chunkSize)
// names the members, and DiskSection/Disk (diskId, fileRef, capacity,
// capacityAllocationUnits, parentRef) the disks. Names are relative to the OVF. A
// file with chunkSize may lie in pieces called name.000000000 and so on. A disk
// without fileRef is to be created empty. Only members are opened. Of the machine,
// VirtualSystem/OperatingSystemSection (osType) and VirtualHardwareSection/Config (key
// firmware) of VMware, and Machine (OSType) and Machine/Hardware/Firmware (type) of
// VirtualBox are read; they only say what they say.
//
// The manifest has lines "SHA1(name)= hex" or "SHA256 (name) = hex", also with SHA384
// and SHA512 and their other spellings, or "hex name". The digest of the OVF is
// verified first, then that of the chosen disk, in a pass over it before anything
// else of it is read. Certificates are ignored.
package ova
