package detect_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// noise is bytes of no format, without text and without signatures.
func noise(n int) []byte {
	p := imagetest.Mixed(n, 11)
	for i := range p {
		p[i] = p[i]*151 + byte(i*31) + 3
	}
	copy(p, "\x00\x01\x02\x03")
	return p
}

func behind(magic string) []byte { return append([]byte(magic), noise(4096)...) }

// isNotDisk fails t unless err says that content is not a disk.
func isNotDisk(t *testing.T, err error, text string) {
	t.Helper()
	refused(t, err, diskimage.NotFormat, text)
	var not *detect.NotDiskError
	if !errors.As(err, &not) {
		t.Errorf("got %v, want a NotDiskError", err)
	}
}

// Content that people take for a disk by mistake is refused by name, and taken when
// it is declared as raw.
func TestForeign(t *testing.T) {
	utf16le := []byte("\xff\xfe")
	for _, u := range utf16.Encode([]rune("Windows writes text like this\r\n")) {
		utf16le = binary.LittleEndian.AppendUint16(utf16le, u)
	}
	for name, c := range map[string]struct {
		object []byte
		text   string
	}{
		"7z":             {behind("7z\xbc\xaf\x27\x1c"), "7-Zip"},
		"rar":            {behind("Rar!\x1a\x07\x01\x00"), "RAR"},
		"lzma":           {behind("\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00"), "LZMA"},
		"lzip":           {behind("LZIP\x01\x0c"), "lzip"},
		"lzop":           {behind("\x89LZO\x00\r\n\x1a\n"), "lzop"},
		"compress":       {behind("\x1f\x9d\x90"), "compress"},
		"gzip 9":         {behind("\x1f\x8b\x09"), "gzip"},
		"cpio":           {behind("070701"), "cpio"},
		"deb":            {behind("!<arch>\n"), "Debian"},
		"Android":        {behind("\x3a\xff\x26\xed\x01\x00"), "simg2img"},
		"Partclone":      {behind("partclone-image\x00"), "partclone.restore"},
		"picture":        {behind("\x89PNG\r\n\x1a\n"), "PNG"},
		"photo":          {behind("\xff\xd8\xff\xe0"), "JPEG"},
		"document":       {behind("%PDF-1.7\n\x00"), "PDF"},
		"program":        {behind("\x7fELF\x02"), "ELF"},
		"saved state":    {behind("\xd2\xbe\xd2\xbe"), "VMware"},
		"LFS":            {[]byte("version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 1\n"), "Git LFS"},
		"S3 error":       {[]byte("<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code></Error>"), "AccessDenied"},
		"OVF":            {imagetest.OVF("a.vmdk"), "OVF"},
		"manifest":       {[]byte("SHA256(vm.ovf)= 00\n"), "manifest"},
		"VMX":            {[]byte(".encoding = \"UTF-8\"\nconfig.version = \"8\"\n"), "VMX"},
		"web page":       {[]byte("<!DOCTYPE html><html><head></head></html>\n"), "web page"},
		"XML":            {[]byte("\ufeff<?xml version=\"1.0\"?><a/>"), "XML"},
		"JSON":           {[]byte("{\"message\": \"not found\"}"), "JSON"},
		"script":         {[]byte("#!/bin/sh\n"), "script"},
		"text":           {[]byte("Der Käse läuft über\n"), "text"},
		"Latin-1":        {[]byte("Der K\xe4se l\xe4uft \xfcber, und das seit gestern\n"), "text"},
		"a large text":   {bytes.Repeat([]byte("line of a log\n"), 100_000), "text"},
		"UTF-16":         {utf16le, "UTF-16"},
		"headless VMDK":  {append(noise(512), imagetest.VMDKDescriptor("monolithicSparse", `RW 1 SPARSE "a"`)...), "first sector is missing"},
		"headless VHD":   {append(noise(512), "cxsparse"...), "first sector is missing"},
		"headless VHDX":  {append(append(append(noise(64<<10), "head"...), noise(128<<10-4)...), "regi"...), "identifier"},
		"Japanese":       {bytes.Repeat([]byte("これはテキストです。\n"), 10_000), "text"},
		"shifted qcow2":  {append([]byte("\x00\x01HTTP/1.1 200 OK\r\n\r\n"), "QFI\xfb\x00\x00\x00\x03"...), "bytes in front"},
		"shifted VHD":    {append([]byte("\n"), imagetest.VHD{Size: 8192, BlockSize: 4096}.Build()[:2048]...), "bytes in front"},
		"shifted VHDX":   {append([]byte("\xef\xbb\xbf"), imagetest.VHDX{Size: 1 << 20, BlockSize: 1 << 20}.Build()...), "bytes in front"},
		"VDI, no magic":  {append([]byte("<<< Oracle VM VirtualBox Disk Image >>>\n"), noise(1000)...), "VDI"},
		"bzip2, damaged": {behind("BZh9\x00"), "bzip2"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(c.object, "")
			isNotDisk(t, err, c.text)
			d, err := open(c.object, "raw")
			if err != nil || d.Size() != (int64(len(c.object))+511)/512*512 {
				t.Errorf("declared raw: %v", err)
			}
		})
	}
	var scratch imagetest.Scratch
	_, err := openWith(imagetest.Pack(t, []byte("{}"), "gzip"), detect.Options{Scratch: &scratch})
	isNotDisk(t, err, "unpack it from the gzip and declare it raw")
}

// Content that isn't what its name promises is refused, or taken with a warning if
// it is a disk all the same.
func TestPromisingNames(t *testing.T) {
	images, want := fixtures()
	partitioned, unknown := images["raw"], noise(1<<20)
	for _, name := range []string{"a.vmdk", "images/a.VHD", "a.vhdx", "a.qcow2", "a.vdi", "a.qed", "a.hds", "a.dmg"} {
		for _, object := range [][]byte{partitioned, unknown, make([]byte, 4096)} {
			_, err := openWith(object, detect.Options{Name: name})
			isNotDisk(t, err, "promises")
			if _, err := openWith(object, detect.Options{Name: name, Format: "raw"}); err != nil {
				t.Errorf("%s, declared raw: %v", name, err)
			}
		}
	}
	var scratch imagetest.Scratch
	_, err := openWith(imagetest.Pack(t, unknown, "gzip"), detect.Options{Name: "a.vmdk.gz", Scratch: &scratch})
	isNotDisk(t, err, "promises VMDK")
	_, err = openWith(unknown, detect.Options{Name: "a.img.gz"})
	isNotDisk(t, err, "promises gzip")
	for name, c := range map[string]struct {
		object   []byte
		warnings int
	}{
		"a.img.gz":    {partitioned, 1}, // it was unpacked when it was fetched
		"a.vhd":       {images["vmdk"], 1},
		"a.vmdk":      {images["vmdk"], 0},
		"a-flat.vmdk": {partitioned, 0},
		"a.raw":       {partitioned, 0},
		"a":           {partitioned, 0},
		"vmdk":        {partitioned, 0},
	} {
		d, err := openWith(c.object, detect.Options{Name: name})
		checkContents(t, d, err, want)
		if w := d.(diskimage.Describer).Describe().Warnings; len(w) != c.warnings {
			t.Errorf("%s: warnings %q, want %d", name, w, c.warnings)
		}
	}
}

// A raw disk is taken without a warning when something indicates that it is one.
func TestSigns(t *testing.T) {
	empty := make([]byte, 1<<20)
	with := func(off int, magic string) []byte {
		p := noise(300 << 10)
		copy(p[off:], magic)
		return p
	}
	table := with(446, "\x80\x00\x00\x00\x83\x00\x00\x00\x01\x00\x00\x00\x10\x00\x00\x00"+strings.Repeat("\x00", 48)+"\x55\xaa")
	large := bytes.Clone(table)
	binary.LittleEndian.PutUint32(large[446+12:], 1<<20)
	gpt := with(512, "EFI PART")
	binary.LittleEndian.PutUint64(gpt[512+32:], 300<<10/512-1)
	cut := bytes.Clone(gpt)
	binary.LittleEndian.PutUint64(cut[512+32:], 2047)
	for name, c := range map[string]struct {
		object []byte
		warn   string // "" for none
	}{
		"partition table": {table, ""}, "GPT": {gpt, ""},
		"a table of a larger disk": {large, "may not be all there"}, "GPT of a larger disk": {cut, "1048576 bytes at least"},
		"boot code": {append([]byte("\xeb\x63\x90"), with(507, "\x55\xaa")...), ""}, "boot mark": {with(510, "\x55\xaa"), ""},
		"ext":  {with(1024, "\x10\x00\x00\x00\x20\x00\x00\x00"+strings.Repeat("\x00", 48)+"\x53\xef"), ""},
		"NTFS": {with(0, "\xeb\x52\x90NTFS    "), ""}, "FAT32": {with(82, "FAT32   "), ""},
		"btrfs": {with(0x10040, "_BHRfS_M"), ""}, "LVM": {with(512, "LABELONE"), ""}, "swap": {with(4086, "SWAPSPACE2"), ""},
		"LUKS": {with(0, "LUKS\xba\xbe\x00\x02"), "encrypted"}, "ZFS": {with(128<<10, "\x0c\xb1\xba\x00\x00\x00\x00\x00"), ""},
		"a start of letters": {append(bytes.Repeat([]byte("a"), 128<<10), empty...), "is this a disk?"},
		"zeros":              {empty, "begins with zeros"}, "nothing known": {noise(1 << 20), "is this a disk?"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "ext" {
				binary.LittleEndian.PutUint32(c.object[1048:], 2)
			}
			d, err := open(c.object, "")
			checkContents(t, d, err, c.object)
			w := strings.Join(d.(diskimage.Describer).Describe().Warnings, "; ")
			if (w == "") != (c.warn == "") || !strings.Contains(w, c.warn) {
				t.Errorf("warnings %q, want %q", w, c.warn)
			}
			d, err = open(c.object, "raw")
			checkContents(t, d, err, c.object)
			if w := d.(diskimage.Describer).Describe().Warnings; len(w) > 0 {
				t.Errorf("declared raw: warnings %q", w)
			}
		})
	}
}

// Anything behind a footer or a trailer is left out.
func TestBytesBehind(t *testing.T) {
	images, want := fixtures()
	fixed := imagetest.VHD{Size: 1 << 20, Blocks: map[int64][]byte{0: want}}.Build()
	for format, image := range map[string][]byte{"vhd": fixed, "dmg": images["dmg"]} {
		for _, tail := range [][]byte{[]byte("\n"), {0xff}, noise(64), noise(512), noise(5000), append(make([]byte, 4096), 1)} {
			d, err := open(append(bytes.Clone(image), tail...), "")
			checkContents(t, d, err, want)
			got := d.(diskimage.Describer).Describe()
			if got.Format != format || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "left out") {
				t.Errorf("%s and %d bytes: %+v", format, len(tail), got)
			}
		}
	}
	// The footer of a disk inside the guest's is the guest's.
	guest := append(bytes.Clone(images["raw"]), imagetest.VHD{Size: 4096, Blocks: map[int64][]byte{}}.Build()...)
	guest = append(guest, noise(1000)...)
	d, err := open(guest[:len(guest)/512*512], "")
	checkContents(t, d, err, guest[:len(guest)/512*512])
}

// A version that isn't supported is refused by its format, and never taken for raw.
func TestVersions(t *testing.T) {
	images, _ := fixtures()
	for name, c := range map[string]struct {
		format string
		patch  imagetest.Patch
	}{
		"qcow2 of version 4": {"qcow2", imagetest.BE32(4, 4)}, "qcow2 of version 0": {"qcow2", imagetest.BE32(4, 0)},
		"VMDK of version 9": {"vmdk", imagetest.LE32(4, 9)}, "VDI of version 0.1": {"vdi", imagetest.LE32(68, 1)},
		"Parallels of version 3": {"parallels", imagetest.LE32(16, 3)}, "QED with new features": {"qed", imagetest.LE64(16, 1<<40)},
	} {
		image := bytes.Clone(images[c.format])
		imagetest.Patches{c.patch}.Apply(image)
		_, err := open(image, "")
		var fault *diskimage.FormatError
		if !errors.As(err, &fault) || fault.Class != diskimage.Unsupported || fault.Format != c.format {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
