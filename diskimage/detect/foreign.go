package detect

import (
	"bytes"
	"encoding/binary"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// NotDiskError is what an error wraps when content without a declared format is
// known not to be a disk, or is not what its name promises. When it is declared as
// raw, its bytes are taken as they are.
type NotDiskError struct {
	Inside string // the container that the content is in; "" for none
}

func (e *NotDiskError) Error() string {
	if e.Inside != "" {
		return "to take its bytes as they are, unpack it from the " + e.Inside + " and declare it raw"
	}
	return "to take its bytes as they are, declare it raw"
}

// foreigner is a kind of content that people take for a disk by mistake.
type foreigner struct {
	title string // "a JPEG picture"
	hint  string // how to get a disk out of it; may be empty
	match func(probe) bool
}

const (
	unpackFirst  = "unpack it first"
	restoreFirst = "restore it to a disk or a file with the program that made it"
)

// foreigners are known by their first bytes. Content that bears the sign of a disk
// is not compared with them, since some boot sectors look like programs.
var foreigners = []foreigner{
	{"a 7-Zip archive", unpackFirst, starts("7z\xbc\xaf\x27\x1c")},
	{"a RAR archive", unpackFirst, starts("Rar!\x1a\x07")},
	{"a zip archive", unpackFirst, starts("PK\x05\x06", "PK\x07\x08")},
	{"a cabinet archive", unpackFirst, starts("MSCF\x00\x00\x00\x00")},
	{"a cpio archive", unpackFirst, starts("070701", "070702", "070707", "\xc7\x71")},
	{"an ar archive or a Debian package", unpackFirst, starts("!<arch>\n")},
	{"an RPM package", unpackFirst, starts("\xed\xab\xee\xdb")},
	{"an LZMA stream (xz --format=lzma)", unpackFirst, isLZMA},
	{"an lzip stream", unpackFirst, starts("LZIP\x01", "LZIP\x00")},
	{"an lzop stream", unpackFirst, starts("\x89LZO\x00\r\n\x1a\n")},
	{"an lrzip stream", unpackFirst, starts("LRZI")},
	{"a compress (.Z) stream", unpackFirst, starts("\x1f\x9d", "\x1f\xa0")},
	{"a gzip stream of an unknown kind", unpackFirst, starts("\x1f\x8b")},
	{"a bzip2 stream that is damaged", "upload it again", starts("BZh1", "BZh2", "BZh3", "BZh4", "BZh5", "BZh6", "BZh7", "BZh8", "BZh9")},
	{"a zstd stream of an old version", unpackFirst, anyOf(starts("\x1e\xb5\x2f\xfd"), isOldZstd)},
	{"a Snappy stream", unpackFirst, starts("\xff\x06\x00\x00sNaPpY")},
	{"an LZFSE stream", unpackFirst, starts("bvx1", "bvx2", "bvxn")},
	{"an Android sparse image", "make it raw with simg2img", starts("\x3a\xff\x26\xed")},
	{"a Partclone image", "restore it to a file: partclone.restore", starts("partclone-image")},
	{"an ntfsclone image", "restore it to a file: ntfsclone --restore-image", starts("\x00ntfsclone-image")},
	{"a Partimage volume", restoreFirst, starts("PaRtImAgE-VoLuMe")},
	{"an FSArchiver archive", restoreFirst, starts("FsArCh")},
	{"a Ghost image", restoreFirst, starts("\xfe\xef\x01", "\xfe\xef\x02")},
	{"an Acronis image", restoreFirst, starts("\xb4\x6e\x68\x44", "\xce\x24\xb9\xa2")},
	{"a compressed optical disc (CISO)", "make an ISO of it", starts("CISO")},
	{"a compressed optical disc (DAA, UIF, ISZ)", "make an ISO of it", starts("DAA\x00\x00", "IsZ!")},
	{"a compressed disk of MAME (CHD)", "make it raw with chdman", starts("MComprHD")},
	{"a saved state of QEMU", "", starts("QEVM")},
	{"a saved state of VirtualBox", "", starts("\x7fVirtualBox SavedState")},
	{"a saved state of VMware", "", starts("\xd0\xbe\xd2\xbe", "\xd2\xbe\xd2\xbe")},
	{"NVRAM of VMware", "", starts("MRVN")},
	{"a memory dump", "", starts("KDUMP   ", "PAGEDUMP", "PAGEDU64")},
	{"an ELF program", "", starts("\x7fELF")},
	{"a Windows program", "", isPE},
	{"a Mach-O program", "", starts("\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe")},
	{"a Java class or a Mach-O program", "", starts("\xca\xfe\xba\xbe")},
	{"a WebAssembly module", "", starts("\x00asm")},
	{"a boot image of Android", "", starts("ANDROID!")},
	{"a kernel image of U-Boot", "", starts("\x27\x05\x19\x56", "\xd0\x0d\xfe\xed")},
	{"a PDF document", "", starts("%PDF-")},
	{"a PostScript document", "", starts("%!PS")},
	{"an Office document", "", starts("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")},
	{"a PNG picture", "", starts("\x89PNG\r\n\x1a\n")},
	{"a JPEG picture", "", starts("\xff\xd8\xff")},
	{"a GIF picture", "", starts("GIF87a", "GIF89a")},
	{"a TIFF picture", "", starts("II*\x00", "MM\x00*")},
	{"a BMP picture", "", isBMP},
	{"a sound or a film (RIFF)", "", starts("RIFF")},
	{"a film (MP4)", "", holds(4, "ftyp")},
	{"a film (Matroska)", "", starts("\x1a\x45\xdf\xa3")},
	{"a sound", "", starts("OggS", "fLaC", "ID3\x02", "ID3\x03", "ID3\x04")},
	{"a database of SQLite", "", starts("SQLite format 3\x00")},
	{"a pack of Git", "", starts("PACK\x00\x00\x00\x02")},
	{"a file that OpenSSL encrypted", "decrypt it first", starts("Salted__")},

	// These are images that are incomplete, or do not begin where they should.
	{"a VMDK whose first sector is missing", "", holds(512, "# Disk DescriptorFile")},
	{"a VHD whose first sector is missing", "", holds(512, "cxsparse")},
	{"a VHDX whose file identifier is missing", "", func(p probe) bool { return holds(64<<10, "head")(p) && holds(192<<10, "regi")(p) }},
	{"a VDI whose signature is missing", "", func(p probe) bool {
		return starts("<<<")(p) && bytes.Contains(p.head[:min(64, len(p.head))], []byte("Disk Image >>>"))
	}},
	{"a qcow2 image with other bytes in front", "cut them off", within("QFI\xfb\x00\x00\x00\x02", "QFI\xfb\x00\x00\x00\x03")},
	{"a VMDK with other bytes in front", "cut them off", within("KDMV\x01\x00\x00\x00", "KDMV\x02\x00\x00\x00", "KDMV\x03\x00\x00\x00", "# Disk DescriptorFile")},
	{"a VHD with other bytes in front", "cut them off", within("conectix\x00\x00\x00\x02\x00\x01\x00\x00")},
	{"a VHDX with other bytes in front", "cut them off", within("vhdxfile")},
	{"a VDI with other bytes in front", "cut them off", within("\x7f\x10\xda\xbe\x01\x00\x01\x00")},
	{"a Parallels disk with other bytes in front", "cut them off", within("WithoutFreeSpace\x02\x00\x00\x00", "WithouFreSpacExt\x02\x00\x00\x00")},
}

// within recognises any of the magics anywhere in the first sectors.
func within(magics ...string) func(probe) bool {
	return func(p probe) bool {
		for _, m := range magics {
			if bytes.Contains(p.head[:min(len(p.head), 4<<10)], []byte(m)) {
				return true
			}
		}
		return false
	}
}

// isLZMA finds the usual properties, a dictionary of a size that is used, and a
// size that is unknown or sensible.
func isLZMA(p probe) bool {
	if !starts("\x5d\x00\x00")(p) || len(p.head) < 14 {
		return false
	}
	dictionary, size := binary.LittleEndian.Uint32(p.head[1:]), binary.LittleEndian.Uint64(p.head[5:])
	for dictionary > 1 && dictionary != 3 && dictionary&1 == 0 {
		dictionary >>= 1
	}
	return (dictionary == 1 || dictionary == 3) && (size == 1<<64-1 || size < 1<<50) && p.head[13] == 0
}

func isOldZstd(p probe) bool {
	return len(p.head) >= 4 && p.head[0] >= 0x22 && p.head[0] <= 0x27 && bytes.Equal(p.head[1:4], []byte{0xb5, 0x2f, 0xfd})
}

// isPE finds the header that a program's first bytes name.
func isPE(p probe) bool {
	if !starts("MZ")(p) || len(p.head) < 64 {
		return false
	}
	at := binary.LittleEndian.Uint32(p.head[60:])
	return at < 1<<16 && holds(int(at), "PE\x00\x00")(p)
}

func isBMP(p probe) bool {
	return starts("BM")(p) && len(p.head) >= 6 && int64(binary.LittleEndian.Uint32(p.head[2:])) == p.size
}

// text says what kind of text the content is, by its start and its end; "" when it
// is none.
func (p probe) text() (title, hint string) {
	head := p.head[:min(len(p.head), textSize)]
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		if isUTF16(head) {
			return "text in UTF-16", ""
		}
		return "", ""
	}
	tail := p.tail[max(0, len(p.tail)-textSize):]
	for i := 0; i < utf8.UTFMax && len(tail) > 0 && !utf8.RuneStart(tail[0]); i++ {
		tail = tail[1:] // the first rune may be cut
	}
	if !isText(head) || !isText(tail) {
		return "", ""
	}
	s := strings.TrimSpace(strings.TrimPrefix(string(head), "\ufeff"))
	lower := strings.ToLower(s[:min(len(s), 4<<10)])
	has := func(words ...string) bool {
		for _, w := range words {
			if !strings.Contains(lower, w) {
				return false
			}
		}
		return true
	}
	switch {
	case strings.HasPrefix(lower, "version https://git-lfs"):
		return "a pointer of Git LFS", "fetch what it points at: git lfs pull"
	case has("<error>", "<code>"):
		return "an error that a server answered, saved as a file (" + code(s) + ")", "download the image again"
	case has("<envelope", "ovf"):
		return "the OVF description of a machine", "import the disk that it names, or an OVA of them all"
	case strings.HasPrefix(lower, "<!doctype html"), has("<html"):
		return "a web page", "download the image itself"
	case strings.HasPrefix(lower, "<"):
		return "an XML document", ""
	case strings.HasPrefix(lower, "{"), strings.HasPrefix(lower, "["):
		return "a JSON document", ""
	case strings.HasPrefix(lower, "sha") && has("(", ")"), strings.HasPrefix(lower, "md5 ("):
		return "a manifest of digests", "import the disk that it is about"
	case has("virtualhw.version"), has("config.version"):
		return "a VMX description of a machine", "import its disk, a .vmdk"
	case strings.HasPrefix(lower, "-----begin "):
		return "a PEM file", ""
	case strings.HasPrefix(lower, "#!"):
		return "a script", ""
	}
	return "text", ""
}

// code returns what is in the first Code element.
func code(s string) string {
	_, rest, _ := strings.Cut(s, "<Code>")
	value, _, _ := strings.Cut(rest, "</Code>")
	return bounded.Printable(value[:min(len(value), 40)])
}

// textSize is how much of the start, and of the end, is looked at for text.
const textSize = 64 << 10

// isText reports whether p is text: without control characters other than those of
// lines, and UTF-8 or, in other encodings, mostly ASCII.
func isText(p []byte) bool {
	high := 0
	for _, b := range p {
		switch {
		case b >= 0x80:
			high++
		case b < ' ' && b != '\n' && b != '\r' && b != '\t' && b != '\f' && b != 0x1b, b == 0x7f:
			return false
		}
	}
	for cut := 0; high > 0 && cut < utf8.UTFMax; cut++ { // the last rune may be cut
		if cut < len(p) && utf8.Valid(p[:len(p)-cut]) {
			return true
		}
	}
	return len(p) > 0 && high*10 <= len(p)*3
}

// isUTF16 reports whether p, which begins with a byte order mark, is mostly ASCII
// in UTF-16.
func isUTF16(p []byte) bool {
	var order binary.ByteOrder = binary.BigEndian
	if p[0] == 0xff {
		order = binary.LittleEndian
	}
	ascii, n := 0, 0
	for i := 2; i+1 < len(p); i += 2 {
		n++
		if u := order.Uint16(p[i:]); u >= ' ' && u <= '~' || u == '\n' || u == '\r' || u == '\t' {
			ascii++
		}
	}
	return n > 0 && ascii*10 >= n*7
}

// promises are the formats that names promise, by their extensions.
var promises = map[string]string{
	".vmdk": "vmdk", ".vhd": "vhd", ".vpc": "vhd", ".vhdx": "vhdx", ".avhd": "vhd", ".avhdx": "vhdx", ".vhds": "vhdx",
	".qcow2": "qcow2", ".qcow": "qcow2", ".vdi": "vdi", ".qed": "qed", ".hds": "parallels", ".dmg": "dmg",
	".ova": "ova", ".ovf": "ova",
	".gz": "gzip", ".tgz": "gzip", ".xz": "xz", ".txz": "xz", ".zst": "zstd", ".bz2": "bzip2", ".tar": "ova", ".box": "ova",
}

// promised returns the format that a name promises, nil for none. The data file of
// a flat VMDK has a name in .vmdk too, and is a raw disk.
func promised(name string) *format {
	name = strings.ToLower(path.Base(name))
	if strings.HasSuffix(name, "-flat.vmdk") {
		return nil
	}
	f, _ := byName(promises[path.Ext(name)]) // no format has the empty name
	return f
}

// unpackedName returns the name of the contents of a compressed object.
func unpackedName(name string) string {
	base := path.Base(name)
	switch ext := strings.ToLower(path.Ext(base)); ext {
	case ".gz", ".xz", ".zst", ".bz2":
		return base[:len(base)-len(ext)]
	case ".tgz", ".txz":
		return base[:len(base)-len(ext)] + ".tar"
	}
	return ""
}

// unsigned judges content without a known format. It refuses content that is known
// not to be a disk, or is not what its name promises, and takes the rest for a raw
// disk, with warnings when nothing indicates that it is one.
func (in input) unsigned() (warnings []string, err error) {
	disk := in.seen.disk()
	if disk == "" && !hasBootMark(in.seen) {
		if err := in.foreign(); err != nil {
			return nil, err
		}
	}
	if f := in.promise; f != nil {
		if !f.container() || disk == "" {
			return nil, in.notDisk("the name %q promises %s, which the content is not: it may be cut, or the wrong object",
				bounded.Printable(path.Base(in.opts.Name)), f.title)
		}
		warnings = append(warnings, "the name promises "+f.title+", which the content is not")
	}
	switch {
	case disk == "LUKS":
		warnings = append(warnings, "an encrypted volume (LUKS), taken as it is")
	case disk == "" && in.seen.isZero():
		warnings = append(warnings, "no partition table, file system or boot sector was found: the disk begins with zeros")
	case disk == "" && !hasBootMark(in.seen):
		warnings = append(warnings, "no partition table, file system or boot sector was found: is this a disk?")
	}
	if m := in.seen.missing(); m != "" {
		warnings = append(warnings, m)
	}
	return warnings, nil
}

// foreign refuses content that is known not to be a disk.
func (in input) foreign() error {
	for _, f := range foreigners {
		if f.match(in.seen) {
			return in.isForeign(f.title, f.hint)
		}
	}
	if title, hint := in.seen.text(); title != "" {
		return in.isForeign(title, hint)
	}
	return nil
}

func (in input) isForeign(title, hint string) error {
	if hint != "" {
		return in.notDisk("the content is %s, not a disk (%s)", title, hint)
	}
	return in.notDisk("the content is %s, not a disk", title)
}

func (in input) notDisk(reason string, args ...any) error {
	f := fault("image", diskimage.NotFormat, reason, args...)
	f.Err = &NotDiskError{Inside: in.inside}
	return f
}
