package detect_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// Open an image of any format: its description, where it holds data, and the data.
func ExampleOpen() {
	data := bytes.Repeat([]byte("guest "), 1000)
	object := imagetest.VHD{Size: 16 << 20, BlockSize: 2 << 20, Blocks: map[int64][]byte{3: data}}.Build()

	d, err := detect.Open(bytes.NewReader(object), int64(len(object)), detect.Options{})
	if err != nil {
		panic(err)
	}
	about := d.(diskimage.Describer).Describe()
	fmt.Println(about.Format, about.Variant, about.VirtualSize>>20, "MiB")
	for e, err := range d.Extents(0, d.Size()) {
		if err != nil {
			panic(err)
		}
		fmt.Printf("%8d %8d %v\n", e.Off, e.Len, e.Kind)
	}
	p := make([]byte, 11)
	if _, err := d.ReadAt(p, 6<<20); err != nil && !errors.Is(err, io.EOF) {
		panic(err)
	}
	fmt.Printf("%s\n", p)
	// Output:
	// vhd dynamic 16 MiB
	//        0  6291456 hole
	//  6291456  2097152 data
	//  8388608  8388608 hole
	// guest guest
}

// A disk of several files: the descriptor names them, and the caller gives the
// contents of each.
func ExampleOpen_files() {
	descriptor := imagetest.VMDKDescriptor("twoGbMaxExtentFlat", `RW 2 FLAT "disk-f001.vmdk" 0`, `RW 1 FLAT "disk-f002.vmdk" 0`)
	open := func(with map[string]diskimage.File) (diskimage.Disk, error) {
		return detect.Open(bytes.NewReader([]byte(descriptor)), int64(len(descriptor)), detect.Options{With: with})
	}

	_, err := open(nil)
	var missing *diskimage.MissingFileError
	if errors.As(err, &missing) {
		fmt.Println("needs", missing.Names)
	}
	first, second := bytes.Repeat([]byte("1"), 1024), bytes.Repeat([]byte("2"), 512)
	d, err := open(map[string]diskimage.File{
		"disk-f001.vmdk": {R: bytes.NewReader(first), Size: 1024},
		"disk-f002.vmdk": {R: bytes.NewReader(second), Size: 512},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(d.Size(), "bytes")
	// Output:
	// needs [disk-f001.vmdk disk-f002.vmdk]
	// 1536 bytes
}

// A damaged image is refused with the place of the damage.
func ExampleOpen_refused() {
	object := imagetest.VHD{Size: 16 << 20, BlockSize: 2 << 20}.Build()
	imagetest.Patches{imagetest.BE32(imagetest.VHDHeader+32, 511)}.Apply(object)
	imagetest.SumVHD(object[imagetest.VHDHeader:imagetest.VHDTable], 36)

	_, err := detect.Open(bytes.NewReader(object), int64(len(object)), detect.Options{})
	var fault *diskimage.FormatError
	if errors.As(err, &fault) {
		fmt.Println(fault.Class, "in", fault.Structure)
		fmt.Printf("%s = %d at offset %d\n", fault.Field, fault.Value, fault.Offset)
	}
	// Output:
	// malformed in dynamic header
	// block size = 511 at offset 544
}

// Find out what an object is without opening it.
func ExampleSniff() {
	object := []byte("QFI\xfb\x00\x00\x00\x01 and so on")
	match, err := detect.Sniff(bytes.NewReader(object), int64(len(object)))
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s, supported: %v\n", match.Title, match.Supported)
	// Output: qcow version 1, supported: false
}
