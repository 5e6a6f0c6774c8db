package detect

import (
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/dmg"
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

type openFunc func(in input) (image, error)

// rawFormat is the format of content that matches nothing.
var rawFormat = format{name: "raw", title: "raw", open: openRaw}

// formats are all known formats, in the order in which matches are named. Those
// that are not supported are here so that they are never imported as raw.
var formats = []format{
	{"vhdx", "VHDX", starts("vhdxfile"), openVHDX},
	{"vhd", "VHD", isVHD, openVHD},
	{"vmdk", "VMDK", starts("KDMV"), openVMDK},
	{"vmdk", "VMDK descriptor", isDescriptor, openVMDK},
	{"vmdk", "VMDK of type COWD", starts("COWD"), openVMDK},
	{"qcow2", "qcow2", isQcow2, openQcow2},
	{"vdi", "VDI", holds(64, "\x7f\x10\xda\xbe"), openVDI},
	{"qed", "QED", starts("QED\x00"), openQED},
	{"parallels", "Parallels", starts("WithoutFreeSpace", "WithouFreSpacExt"), openParallels},
	{"dmg", "DMG", isDMG, openDMG},

	{"sesparse", "VMDK of type seSparse", starts("\xbe\xba\xfe\xca\x00\x00\x00\x00"), nil},
	{"qcow", "qcow version 1", starts("QFI\xfb\x00\x00\x00\x01"), nil},
	{"bochs", "Bochs", starts("Bochs Virtual HD Image"), nil},
	{"cloop", "cloop", starts("#!/bin/sh\n#V2.0 Format"), nil},
	{"ewf", "EWF", starts("EVF\x09"), nil},
	{"aff", "AFF", starts("AFF10\r\n\x00"), nil},
	{"wim", "WIM", starts("MSWIM\x00\x00\x00"), nil},
	{"vma", "VMA", starts("VMA\x00"), nil},
	{"sparseimage", "sparse image of macOS", starts("sprs"), nil},
	{"asif", "ASIF", starts("shdw"), nil},

	{"gzip", "gzip", starts("\x1f\x8b\x08"), openPacked("gzip")},
	{"xz", "xz", isXz, openPacked("xz")},
	{"zstd", "zstd", isZstd, openPacked("zstd")},
	{"bzip2", "bzip2", isBzip2, openPacked("bzip2")},
	{"lz4", "lz4", starts("\x04\x22\x4d\x18"), nil},
	{"zip", "zip", starts("PK\x03\x04"), nil},
	{"ova", "tar (OVA)", isTar, openOVA},

	// A disk that is a file system for optical discs is taken as it is; it is
	// here because a polyglot of it and something else is ambiguous.
	{"raw", "ISO 9660", holds(0x8001, "CD001"), openISO},
}

func openRaw(in input) (image, error) {
	// Archives hold text and scripts too, and only an OVF says that this is a disk.
	if strings.HasSuffix(in.inside, "ova") && in.size%512 != 0 {
		return nil, fault("raw", diskimage.NotFormat, "%d bytes inside an OVA are of no known format, and no whole sectors", in.size)
	}
	warnings, err := in.unsigned()
	if err != nil {
		return nil, err
	}
	return opened(raw.Open(in.r, in.size, raw.Options{Limits: in.opts.Limits, Warnings: warnings}))
}

func openISO(in input) (image, error) {
	return opened(raw.Open(in.r, in.size, raw.Options{Limits: in.opts.Limits, Warnings: []string{"an ISO 9660 file system, taken as it is"}}))
}

func openVHD(in input) (image, error) {
	return opened(vhd.Open(in.r, in.size, vhd.Options{Limits: in.opts.Limits}))
}

func openVHDX(in input) (image, error) {
	return opened(vhdx.Open(in.r, in.size, vhdx.Options{Limits: in.opts.Limits}))
}

func openVMDK(in input) (image, error) {
	d, err := vmdk.Open(in.r, in.size, vmdk.Options{Limits: in.opts.Limits, With: in.opts.With})
	if err != nil {
		return nil, err
	}
	for _, name := range d.Files() {
		in.used[name] = true
	}
	return d, nil
}

func openQcow2(in input) (image, error) {
	return opened(qcow2.Open(in.r, in.size, qcow2.Options{Limits: in.opts.Limits}))
}

func openVDI(in input) (image, error) {
	return opened(vdi.Open(in.r, in.size, vdi.Options{Limits: in.opts.Limits}))
}

func openQED(in input) (image, error) {
	return opened(qed.Open(in.r, in.size, qed.Options{Limits: in.opts.Limits}))
}

func openParallels(in input) (image, error) {
	return opened(parallels.Open(in.r, in.size, parallels.Options{Limits: in.opts.Limits}))
}

func openDMG(in input) (image, error) {
	return opened(dmg.Open(in.r, in.size, dmg.Options{Limits: in.opts.Limits}))
}

// opened keeps a nil *Image from becoming a Disk that is not nil.
func opened[D image](d D, err error) (image, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}
