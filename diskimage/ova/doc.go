// Package ova finds the disk in an OVA: a tar archive of an OVF description, its
// disks, and mostly a manifest. Package detect opens what it finds.
//
// Sources: DMTF DSP0243 (OVF 1.1 and 2.1) and POSIX.1-2001 for ustar and pax,
// and the files of ovftool, VirtualBox, vmware and osbuild for what they leave
// open: the order of members, unit spellings, and sizes that are missing.
//
// A member is a header of 512 bytes and its data, padded to 512:
//
//	0    100  name; 345 155 prefix of it in ustar
//	124  12   size: octal, or base 256 with the top bit set (GNU)
//	148  8    checksum: the sum of the header's bytes, these taken as blanks
//	156  1    type: 0 or NUL file, x and g pax records, L long name (GNU)
//	257  8    "ustar" 00 "00", or "ustar  " 00 (GNU)
//
// Pax records (path, size) and a GNU long name replace what the next header says.
// Two blocks of zeros end the archive; that they are missing is a warning. Only
// files without a folder are members; links, devices and sparse files are refused,
// and so are two members whose names differ in case alone.
//
// In the OVF, Envelope/References/File (id, href, size, compression, chunkSize)
// names the members, and DiskSection/Disk (diskId, fileRef, capacity,
// capacityAllocationUnits, parentRef) the disks. A disk without fileRef is one to
// be made empty. Nothing is opened that is not a member.
//
// The manifest has lines "SHA1(name)= hex", "SHA256 (name) = hex", or SHA512. The
// digest of the OVF is verified first, then that of the chosen disk, in a pass of
// its own over it before anything else is read of it. Certificates are not looked
// at.
package ova
