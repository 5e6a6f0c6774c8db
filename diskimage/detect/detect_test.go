package detect_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/vmdk"
)

func open(image []byte, format string) (diskimage.Disk, error) {
	return detect.Open(bytes.NewReader(image), int64(len(image)), detect.Options{Format: format})
}

// fixtures are images of every supported format, of the same contents.
func fixtures() (images map[string][]byte, want []byte) {
	want = imagetest.Mixed(1<<20, 3)
	clear(want[440:512])
	copy(want[446:], "\x80\x00\x00\x00\x83\x00\x00\x00\x01\x00\x00\x00\x10") // a partition
	copy(want[510:], "\x55\xaa")
	whole := map[int64][]byte{0: want}
	return map[string][]byte{
		"raw":       want,
		"vmdk":      stream(want),
		"vhd":       imagetest.VHD{Size: 1 << 20, BlockSize: 1 << 20, Blocks: whole}.Build(),
		"qcow2":     imagetest.Qcow2{Size: 1 << 20, ClusterBits: 20, Clusters: map[int64]imagetest.Qcow2Cluster{0: {Data: want}}}.Build().Bytes,
		"vdi":       imagetest.VDI{Size: 1 << 20, Blocks: whole}.Build(),
		"qed":       imagetest.QED{Size: 1 << 20, Cluster: 1 << 20, Clusters: whole}.Build().Bytes,
		"parallels": imagetest.Parallels{Size: 1 << 20, Tracks: 2048, Clusters: whole}.Build(),
		"vhdx":      imagetest.VHDX{Size: 1 << 20, BlockSize: 1 << 20, Blocks: whole}.Build(),
		"dmg":       imagetest.DMG{Size: 1 << 20, Chunk: 1 << 20, Chunks: whole}.Build(),
	}, want
}

// stream returns data as a stream-optimised VMDK.
func stream(data []byte) []byte {
	d, err := open(data, "raw")
	if err != nil {
		panic(err)
	}
	var image bytes.Buffer
	if err := vmdk.WriteStream(context.Background(), &image, d, vmdk.StreamOptions{}); err != nil {
		panic(err)
	}
	return image.Bytes()
}

func titleOf(format string) string {
	switch format {
	case "raw", "qcow2":
		return format
	case "parallels":
		return "Parallels"
	}
	return strings.ToUpper(format)
}

// Every format, declared as every other: it opens only as what its content is, and
// as raw, which gives the bytes.
func TestDeclaredAndActual(t *testing.T) {
	images, want := fixtures()
	for actual, image := range images {
		for _, declared := range append(slices.Collect(maps.Keys(images)), "") {
			for _, spelling := range []string{declared, strings.ToUpper(declared)} {
				t.Run(fmt.Sprintf("%q is %s", spelling, actual), func(t *testing.T) {
					d, err := open(image, spelling)
					switch {
					case declared == "" || declared == actual:
						checkContents(t, d, err, want)
						if w := d.(diskimage.Describer).Describe().Warnings; len(w) > 0 {
							t.Errorf("warnings: %q", w)
						}
					case declared == "raw":
						checkContents(t, d, err, image)
						w := d.(diskimage.Describer).Describe().Warnings
						if len(w) != 1 || !strings.Contains(w[0], "declared raw, content looks like "+titleOf(actual)) {
							t.Errorf("warnings: got %q", w)
						}
					default:
						refused(t, err, diskimage.NotFormat, fmt.Sprintf("declared %s, content looks like %s", titleOf(declared), titleOf(actual)))
					}
				})
			}
		}
	}
}

func checkContents(t *testing.T, d diskimage.Disk, err error, want []byte) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	padded := append(bytes.Clone(want), make([]byte, d.Size()-int64(len(want)))...)
	if err := diskimage.Compare(context.Background(), d, memory(t, padded)); err != nil {
		t.Error(err)
	}
}

func memory(t *testing.T, data []byte) diskimage.Disk {
	t.Helper()
	d, err := open(data, "raw")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func refused(t *testing.T, err error, class diskimage.Class, text string) {
	t.Helper()
	var fault *diskimage.FormatError
	if !errors.As(err, &fault) || fault.Class != class || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want %v with %q", err, class, text)
	}
}

func TestNames(t *testing.T) {
	images, _ := fixtures()
	if _, err := open(images["vhd"], "VPC"); err != nil {
		t.Errorf("vpc: %v", err)
	}
	for _, name := range []string{"luks", "lz4", "none", "\x1b[31m"} {
		_, err := open(images["raw"], name)
		if !errors.Is(err, detect.ErrUnknownFormat) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: got %v, want ErrUnknownFormat", name, err)
		}
	}
}

// at returns n bytes with a text at an offset.
func at(n, off int, text string) []byte {
	p := make([]byte, n)
	copy(p[off:], text)
	return p
}

func TestRefusedByName(t *testing.T) {
	for name, image := range map[string][]byte{
		"qcow":        at(4096, 0, "QFI\xfb\x00\x00\x00\x01"),
		"lz4":         []byte("\x04\x22\x4d\x18"),
		"zip":         []byte("PK\x03\x04"),
		"bochs":       []byte("Bochs Virtual HD Image"),
		"cloop":       []byte("#!/bin/sh\n#V2.0 Format\n"),
		"ewf":         []byte("EVF\x09\x0d\x0a\xff\x00"),
		"aff":         []byte("AFF10\r\n\x00"),
		"wim":         []byte("MSWIM\x00\x00\x00"),
		"vma":         []byte("VMA\x00"),
		"sparseimage": []byte("sprs"),
		"asif":        []byte("shdw"),
		"sesparse":    []byte("\xbe\xba\xfe\xca\x00\x00\x00\x00"),
	} {
		_, err := open(image, "")
		refused(t, err, diskimage.Unsupported, name+": ")
		got, err := detect.Sniff(bytes.NewReader(image), int64(len(image)))
		if err != nil || got.Format != name || got.Supported {
			t.Errorf("sniffing %s: got %+v, %v", name, got, err)
		}
		if d, err := open(image, "raw"); err != nil || len(d.(diskimage.Describer).Describe().Warnings) != 1 {
			t.Errorf("%s declared raw: got %v, %v, want a disk with a warning", name, d, err)
		}
	}
}

// tarOf returns a tar header for a member of the name.
func tarOf(name string) []byte {
	p := at(1024, 0, name)
	copy(p[257:], "ustar\x0000")
	sum := 8 * int(' ')
	for _, b := range p[:512] {
		sum += int(b)
	}
	copy(p[148:], fmt.Sprintf("%06o\x00 ", sum))
	return p
}

func TestFraming(t *testing.T) {
	images, _ := fixtures()
	koly := at(512, 0, "koly\x00\x00\x00\x04\x00\x00\x02\x00")
	polyglot := at(64<<10, 0x8001, "CD001")
	copy(polyglot, "QFI\xfb\x00\x00\x00\x03")
	dmgTail := append(bytes.Clone(images["vhd"]), koly...)
	comments := bytes.Repeat([]byte("# nothing here\n"), 70_000)
	bootVMDK := at(1<<20, 510, "\x55\xaa")
	copy(bootVMDK, "KDMV\x01\x00\x00\x00")
	brokenTar := tarOf("x")
	brokenTar[0]++
	for _, c := range []struct {
		name, declared string
		image          []byte
		class          diskimage.Class // 0: opens
		text           string
	}{
		{"1 empty", "", nil, diskimage.NotFormat, "empty object"},
		{"1 empty, declared", "vhd", nil, diskimage.NotFormat, "empty object"},
		{"2 one byte", "", []byte{0xff}, 0, ""},
		{"2 513 bytes", "", bytes.Repeat([]byte{0xff}, 513), 0, ""},
		{"3 VHD magic", "", []byte("conectix"), diskimage.Truncated, "vhd: "},
		{"3 VHDX magic", "", []byte("vhdxfile"), diskimage.Truncated, "vhdx: "},
		{"3 VMDK magic", "", []byte("KDMV"), diskimage.Truncated, "vmdk: "},
		{"7 raw disk with a qcow2 header", "raw", at(4096, 0, "QFI\xfb\x00\x00\x00\x03"), 0, ""},
		{"8 ISO and qcow2", "", polyglot, diskimage.Malformed, "qcow2 and ISO 9660"},
		{"8 ISO alone", "", at(64<<10, 0x8001, "CD001"), 0, ""},
		{"9 boot sector and VMDK", "", bootVMDK, diskimage.External, "vmdk: "},
		{"9 the same, declared raw", "raw", bootVMDK, 0, ""},
		{"10 VHD and DMG", "", dmgTail, diskimage.Malformed, "VHD and DMG"},
		{"10 declared VHD", "vhd", dmgTail, 0, ""},
		{"11 tar and qcow2", "", tarOf("QFI\xfb.ovf"), diskimage.Malformed, "qcow2 and tar"},
		{"11 not a tar", "", brokenTar, 0, ""},
		{"12 raw declared VHD", "vhd", make([]byte, 4096), diskimage.NotFormat, "declared VHD, content looks like raw"},
		{"13 1 MiB of comments", "", append(comments, "version=1\n"...), diskimage.NotFormat, "vmdk"},
		{"13 a script is no disk", "", []byte("#!/bin/sh\necho\n"), diskimage.NotFormat, "a script"},
		{"13 a script, declared raw", "raw", []byte("#!/bin/sh\necho\n"), 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := open(c.image, c.declared)
			if c.class != 0 {
				refused(t, err, c.class, c.text)
			} else if err != nil || d == nil {
				t.Errorf("got %v, want a disk", err)
			}
		})
	}
}

// A fixed VHD has its only footer at the end: it is not a raw disk, and padding
// does not make it one.
func TestFixedVHDIsNotRaw(t *testing.T) {
	image := imagetest.VHD{Size: 8192, Blocks: map[int64][]byte{0: []byte("guest")}}.Build()
	for _, pad := range []int{0, 1, 511, 512, 65536} {
		padded := append(bytes.Clone(image), make([]byte, pad)...)
		got, err := detect.Sniff(bytes.NewReader(padded), int64(len(padded)))
		if err != nil || got.Format != "vhd" || !got.Supported {
			t.Errorf("with %d zeros behind: got %+v, %v", pad, got, err)
		}
	}
}

func TestSniffRaw(t *testing.T) {
	image := at(1<<20, 510, "\x55\xaa")
	if got, err := detect.Sniff(bytes.NewReader(image), 1<<20); err != nil || got.Format != "raw" || !got.Supported {
		t.Errorf("got %+v, %v", got, err)
	}
	broken := errors.New("input/output error")
	for _, from := range []int64{0, 1<<20 - 1} {
		_, err := detect.Sniff(&imagetest.Faulty{R: bytes.NewReader(image), From: from, Err: broken}, 1<<20)
		if !errors.Is(err, broken) {
			t.Errorf("reads from %d failing: got %v", from, err)
		}
	}
}
