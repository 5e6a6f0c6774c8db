// Package diskimage reads virtual disk images as sized, sparse, concurrently
// readable disks.
//
// A decoder (one sub-package per format) turns an io.ReaderAt and a size into
// a Disk. Everything above (import, export, NBD, verification) works on a Disk
// and does not know which format it came from. A finished snapshot is a Disk
// too, so one conformance checker (imagetest.Check) tests both.
//
// Decoders are given bytes and nothing else: they never open a file or an
// address, whatever an image names. All lengths and offsets are bytes unless a
// name says sectors (512 bytes).
//
// Most callers want package detect, which finds out what an object is and opens it,
// including containers:
//
//	raw, vhd, vhdx, vmdk, qcow2, vdi, qed, parallels, dmg  one format each
//	wrap, ova                                              what images come in
//	detect                                                 which of them it is
//	imagetest                                              images and laws for tests
//
// A disk may be used by many goroutines. Nothing here starts one, keeps state
// outside of values, writes a log or reads the environment. Images are not trusted:
// whatever the bytes of an image are, a fault in it is a FormatError, and Limits
// bound the memory that it takes. An image may cost time in proportion to the bytes
// of its object, or of its disk; to spend less, set Limits.VirtualSize.
//
// # Stability
//
// From version 1 of the module on, everything that is exported here and in the
// packages above (except internal ones and imagetest) stays as it is within a major
// version: identifiers, their meaning, and the contents of images that can be read.
// Until then a minor version may change it, and its changelog says so. At any time
// more images may be read than before, structs may get fields, and the text of
// errors may change; so use the fields of FormatError, and name the fields in
// literals. Disk will not get more methods; abilities are added as interfaces of
// their own.
package diskimage

import (
	"io"
	"iter"
)

// Kind says what the bytes of an extent or a run are.
type Kind uint8

// The kinds, in the order of how much is known to be stored.
const (
	// Hole is a range for which the image holds nothing. It reads as zeros.
	Hole Kind = iota
	// Zero is a range that the image marks as zero. It reads as zeros.
	Zero
	// Data is a range whose bytes are stored. They may happen to be zero.
	Data
)

func (k Kind) String() string {
	switch k {
	case Hole:
		return "hole"
	case Zero:
		return "zero"
	case Data:
		return "data"
	}
	return "invalid"
}

// Extent is a range of a disk whose bytes are all of one Kind.
type Extent struct {
	Off  int64 // first byte on the disk
	Len  int64 // bytes, > 0
	Kind Kind
}

// Disk is a virtual disk. All methods may be called concurrently.
//
// ReadAt follows io.ReaderAt: it fills p or returns an error; reading at or
// past Size returns io.EOF. What an image does not store reads as zeros.
//
// Extents walks [off, off+n) clipped to the disk, and obeys five laws (checked
// by imagetest.Check): extents are ascending and contiguous; none is empty;
// together they cover exactly the query; neighbours differ in Kind; and what
// is not Data reads as zeros. It reads tables only, never data. After a
// non-nil error the sequence ends.
type Disk interface {
	io.ReaderAt
	Size() int64 // virtual bytes
	Extents(off, n int64) iter.Seq2[Extent, error]
}

// Run says where the bytes of a virtual range lie in the source and how they
// are coded.
type Run struct {
	Off  int64 // first byte on the disk
	Len  int64 // bytes on the disk, > 0
	Kind Kind

	// For Data only. The bytes of a plain run are Src[SrcOff:SrcOff+Len]. Those of
	// a coded run are what RunDisk.Decode makes from Src[SrcOff:SrcOff+SrcLen];
	// SrcLen is then an upper bound that stays inside the source.
	Src    io.ReaderAt
	SrcOff int64
	SrcLen int64
	Coded  bool
}

// DataBytes returns how many bytes of a disk are Data, by its tables.
func DataBytes(d Disk) (n int64, err error) {
	for e, err := range d.Extents(0, d.Size()) {
		if err != nil {
			return 0, err
		}
		if e.Kind == Data {
			n += e.Len
		}
	}
	return n, nil
}

// RunDisk is the optional fast path of a Disk: it lets a caller read the source
// in physical order with few large reads and decode in parallel straight into
// the place where the bytes are wanted.
//
// Runs obeys the first three laws of Extents and agrees with it on Kind; coded
// runs are whole units of the image (a grain, a cluster, cut only at Size), so
// the first and the last may stick out of the query.
//
// Decode expands one coded run into dst, whose length is run.Len; src holds
// run.SrcLen source bytes. It may be called concurrently, keeps neither slice
// and allocates nothing in the steady state.
type RunDisk interface {
	Disk
	Runs(off, n int64) iter.Seq2[Run, error]
	Decode(run Run, dst, src []byte) error
}

// SparseReaderAt is an optional ability of a source: it knows its own holes, so
// that a raw disk need not be read where it holds nothing.
type SparseReaderAt interface {
	io.ReaderAt
	// NextData returns the first range [start, end) at or after off that may hold
	// data. Bytes from off to start read as zeros. When no data follows, both are
	// the size of the source.
	NextData(off int64) (start, end int64, err error)
}

// Description is what is known about an image.
type Description struct {
	Format      string // lower case: "vmdk", "vhd", "vhdx", "raw", …
	Variant     string // as the format calls it: "streamOptimized", "dynamic", …
	VirtualSize int64  // bytes
	UnitSize    int64  // bytes of a grain, block or cluster; 0 when there is none
	Creator     string // the program that made it, if the image names it; printable ASCII
	Container   string // the container of the image: "gzip", "ova", "ova/gzip"; "" for none
	Warnings    []string
}

// Describer is an optional ability of a Disk.
type Describer interface {
	Describe() Description
}

// Limits bound the size and the memory that an image may ask for. The zero value
// means the defaults.
type Limits struct {
	VirtualSize   int64 // largest virtual disk in bytes; 0 = 64 TiB
	MetadataBytes int64 // tables held in memory at once; 0 = 64 MiB
}

// Default limits.
const (
	DefaultVirtualSize   = 64 << 40 // EBS's largest volume
	DefaultMetadataBytes = 64 << 20
)

// WithDefaults returns l with zero fields replaced by the defaults.
func (l Limits) WithDefaults() Limits {
	if l.VirtualSize == 0 {
		l.VirtualSize = DefaultVirtualSize
	}
	if l.MetadataBytes == 0 {
		l.MetadataBytes = DefaultMetadataBytes
	}
	return l
}
