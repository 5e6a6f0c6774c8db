package vmdk

import (
	"fmt"
	"slices"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// createType is a type of disk as descriptors name it.
type createType struct {
	name string
	// kinds are the types of extents, of a disk whose data are in other files;
	// nil for one that is whole in the object that its descriptor is in.
	kinds []string
}

func (c createType) inFiles() bool { return c.kinds != nil }

const (
	sparseType = "monolithicSparse"
	streamType = "streamOptimized"
)

// typeOf returns the create type of the name, in any case.
func typeOf(name string) (t createType, ok bool) {
	for _, t := range []createType{
		{sparseType, nil},
		{streamType, nil},
		{"monolithicFlat", flatKinds()},
		{"twoGbMaxExtentFlat", flatKinds()},
		{"2GbMaxExtentFlat", flatKinds()},
		{"vmfs", flatKinds()},
		{"vmfsThin", flatKinds()},
		{"vmfsPreallocated", flatKinds()},
		{"vmfsEagerZeroedThick", flatKinds()},
		{"twoGbMaxExtentSparse", []string{kindSparse, kindZero}},
		{"2GbMaxExtentSparse", []string{kindSparse, kindZero}},
		{"vmfsSparse", []string{kindCOWD, kindZero}},
	} {
		if strings.EqualFold(t.name, name) {
			return t, true
		}
	}
	return createType{}, false
}

// Types of extents.
const (
	kindFlat   = "FLAT"
	kindVMFS   = "VMFS"
	kindSparse = "SPARSE"
	kindCOWD   = "VMFSSPARSE"
	kindZero   = "ZERO"
)

func flatKinds() []string { return []string{kindFlat, kindVMFS, kindZero} }

// refusal says why disks of a create type are not read.
func refusal(name string) (diskimage.Class, string) {
	switch strings.ToLower(name) {
	case "sesparse":
		return diskimage.Unsupported, "the seSparse format is not read"
	case "fulldevice", "partitioneddevice", "vmfsraw", "vmfsrdm", "vmfsrawdevicemap", "vmfspassthroughrdm", "vmfspassthroughrawdevicemap":
		return diskimage.External, "its data are a device"
	case "custom":
		return diskimage.Unsupported, "a disk of extents of any kind, which is not read"
	}
	return diskimage.Unsupported, unknownType
}

const unknownType = "not known"

// validateKind checks that the disk stands alone and is of a type that is read
// here, and returns that type.
func (d descriptor) validateKind() (createType, error) {
	switch v := d.values["version"]; v {
	case "1", "2", "3", "4":
	default:
		return createType{}, d.fault(diskimage.Unsupported, "version", 0, "%q, want 1 to 4", bounded.Printable(v))
	}
	if hint, ok := d.values["parentfilenamehint"]; ok {
		return createType{}, d.fault(diskimage.External, "parentFileNameHint", 0, "the disk builds upon %q", bounded.Printable(hint))
	}
	parent, said := d.values["parentcid"]
	if said && !strings.EqualFold(parent, "ffffffff") {
		return createType{}, d.fault(diskimage.External, "parentCID", 0, "the disk builds upon another, %q", bounded.Printable(parent))
	}
	for key := range d.values {
		if strings.HasPrefix(key, "encryption") || strings.HasSuffix(key, "keysafe") || strings.HasPrefix(key, "ddb.iofilters") {
			return createType{}, d.fault(diskimage.Unsupported, bounded.Printable(key), 0, "the disk is encrypted or filtered")
		}
	}
	t, err := d.validateType()
	if err == nil && slices.Contains(t.kinds, kindCOWD) && !said { // snapshots are of this type
		err = d.fault(diskimage.External, "parentCID", 0, "missing: the disk may build upon another")
	}
	return t, err
}

func (d descriptor) validateType() (createType, error) {
	name, ok := d.values["createtype"]
	if !ok {
		return createType{}, d.fault(diskimage.Malformed, "createType", 0, "missing")
	}
	t, ok := typeOf(name)
	if !ok {
		class, why := refusal(name)
		return createType{}, d.fault(class, "createType", 0, "%q: %s", bounded.Printable(name), why)
	}
	return t, nil
}

// assumeType takes the createType from the header in which the descriptor is
// embedded, as qemu does, when there is none or one that is not known: for a disk
// that is in one object, the header says all that it could say.
func (d *descriptor) assumeType(head header) {
	name, said := d.values["createtype"]
	_, known := typeOf(name)
	_, why := refusal(name)
	if head.capacity == 0 || known || why != unknownType && !strings.EqualFold(name, "custom") {
		return
	}
	assumed := sparseType
	if head.compressed() {
		assumed = streamType
	}
	d.values["createtype"] = assumed
	d.assumed = "the descriptor has no createType; the header is that of a " + assumed + " disk"
	if said {
		d.assumed = fmt.Sprintf("the descriptor's createType is %q, which is not known; the header is that of a %s disk", bounded.Printable(name), assumed)
	}
}

// validateEmbedded checks that the disk is the one sparse extent of the size in
// sectors that the descriptor is embedded in. Its name may be anything, since
// renaming the file does not change it.
func (d descriptor) validateEmbedded(capacity uint64) error {
	if len(d.extents) != 1 {
		return d.fault(diskimage.Malformed, "extents", 0, "%d of them, want the one that this is embedded in", len(d.extents))
	}
	e := d.extents[0]
	switch {
	case e.kind != kindSparse:
		return d.fault(diskimage.External, "extent", e.at, "of type %s in another file, %q", e.kind, bounded.Printable(e.name))
	case e.access == noAccess:
		return d.fault(diskimage.Unsupported, "extent", e.at, "not to be accessed")
	case e.sectors != capacity:
		return d.fault(diskimage.Malformed, "extent", e.at, "of %d sectors, the header says %d", e.sectors, capacity)
	}
	return nil
}
