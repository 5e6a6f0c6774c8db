package detect

import (
	"io"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/parallels"
	"github.com/diskport/diskport/diskimage/qcow2"
	"github.com/diskport/diskport/diskimage/qed"
	"github.com/diskport/diskport/diskimage/raw"
	"github.com/diskport/diskport/diskimage/vdi"
	"github.com/diskport/diskport/diskimage/vhd"
	"github.com/diskport/diskport/diskimage/vhdx"
	"github.com/diskport/diskport/diskimage/vmdk"
)

// format is one row of the table.
type format struct {
	name  string // lower case; several rows may make up one format
	title string // for people
	match func(p probe) bool
	open  openFunc // nil when it is only known by name
}

type openFunc func(r io.ReaderAt, size int64, limits diskimage.Limits) (diskimage.Disk, error)

// rawFormat is what matches nothing.
var rawFormat = format{name: "raw", title: "raw", open: openRaw}

// formats is every format known, in the order in which matches are named. What
// is not supported is here so that it is never imported as raw.
var formats = []format{
	{"vhdx", "VHDX", starts("vhdxfile"), openVHDX},
	{"vhd", "VHD", isVHD, openVHD},
	{"vmdk", "VMDK", starts("KDMV"), openVMDK},
	{"qcow2", "qcow2", isQcow2, openQcow2},
	{"vdi", "VDI", holds(64, "\x7f\x10\xda\xbe"), openVDI},
	{"qed", "QED", starts("QED\x00"), openQED},
	{"parallels", "Parallels", starts("WithoutFreeSpace", "WithouFreSpacExt"), openParallels},

	{"vmdk descriptor", "VMDK descriptor", isDescriptor, nil},
	{"cowd", "VMDK of type COWD", starts("COWD"), nil},
	{"sesparse", "VMDK of type seSparse", starts("\xbe\xba\xfe\xca\x00\x00\x00\x00"), nil},
	{"qcow", "qcow version 1", starts("QFI\xfb\x00\x00\x00\x01"), nil},
	{"dmg", "DMG", isDMG, nil},
	{"luks", "LUKS", starts("LUKS\xba\xbe"), nil},
	{"bochs", "Bochs", starts("Bochs Virtual HD Image"), nil},
	{"cloop", "cloop", starts("#!/bin/sh\n#V2.0 Format"), nil},
	{"ewf", "EWF", starts("EVF\x09"), nil},
	{"aff", "AFF", starts("AFF10\r\n\x00"), nil},
	{"wim", "WIM", starts("MSWIM\x00\x00\x00"), nil},
	{"vma", "VMA", starts("VMA\x00"), nil},
	{"sparseimage", "sparse image of macOS", starts("sprs"), nil},
	{"asif", "ASIF", starts("shdw"), nil},

	{"gzip", "gzip", starts("\x1f\x8b\x08"), nil},
	{"xz", "xz", isXz, nil},
	{"zstd", "zstd", isZstd, nil},
	{"bzip2", "bzip2", isBzip2, nil},
	{"lz4", "lz4", starts("\x04\x22\x4d\x18"), nil},
	{"zip", "zip", starts("PK\x03\x04"), nil},
	{"tar", "tar (OVA)", isTar, nil},

	// A disk that is a file system for optical discs is taken as it is; it is
	// here because a polyglot of it and something else is ambiguous.
	{"raw", "ISO 9660", holds(0x8001, "CD001"), openISO},
}

func openRaw(r io.ReaderAt, size int64, l diskimage.Limits) (diskimage.Disk, error) {
	return opened(raw.Open(r, size, raw.Options{Limits: l}))
}

func openISO(r io.ReaderAt, size int64, l diskimage.Limits) (diskimage.Disk, error) {
	return opened(raw.Open(r, size, raw.Options{Limits: l, Warnings: []string{"an ISO 9660 file system, taken as it is"}}))
}

func openVHD(r io.ReaderAt, size int64, l diskimage.Limits) (diskimage.Disk, error) {
	return opened(vhd.Open(r, size, vhd.Options{Limits: l}))
}

func openVHDX(r io.ReaderAt, size int64, l diskimage.Limits) (diskimage.Disk, error) {
	return opened(vhdx.Open(r, size, vhdx.Options{Limits: l}))
}

func openVMDK(r io.ReaderAt, size int64, l diskimage.Limits) (diskimage.Disk, error) {
	return opened(vmdk.Open(r, size, vmdk.Options{Limits: l}))
}

func openQcow2(r io.ReaderAt, size int64, l diskimage.Limits) (diskimage.Disk, error) {
	return opened(qcow2.Open(r, size, qcow2.Options{Limits: l}))
}

func openVDI(r io.ReaderAt, size int64, l diskimage.Limits) (diskimage.Disk, error) {
	return opened(vdi.Open(r, size, vdi.Options{Limits: l}))
}

func openQED(r io.ReaderAt, size int64, l diskimage.Limits) (diskimage.Disk, error) {
	return opened(qed.Open(r, size, qed.Options{Limits: l}))
}

func openParallels(r io.ReaderAt, size int64, l diskimage.Limits) (diskimage.Disk, error) {
	return opened(parallels.Open(r, size, parallels.Options{Limits: l}))
}

// opened keeps a nil *Image from becoming a Disk that is not nil.
func opened[D diskimage.Disk](d D, err error) (diskimage.Disk, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}
