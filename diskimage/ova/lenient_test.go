package ova_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/ova"
)

// Manifests as various tools write them.
func TestManifests(t *testing.T) {
	ovf, disk := described("a"), text("a", "the disk")
	one, other := sha256.Sum256(disk.Data), sha512.Sum512(disk.Data)
	three, wrong := sha512.Sum384(disk.Data), sha256.Sum256(nil)
	for _, line := range []string{
		"SHA256(a)= %x\n", "SHA256 (a) = %x\r\n", "sha256(a)= %x", "SHA2-256(a)= %x\n", "SHA-256(a)= %x\n", "\ufeffSHA256(a)= %x\n",
		"# a comment\n\nSHA256(a)= %x\n", "SHA256(./a)= %x\n", "%x  a\n", "%x *a\n", "%X  ./a\n",
	} {
		_, err := find(imagetest.Tar(ovf, text("vm.mf", fmt.Sprintf(line, one)), disk), ova.Options{})
		if err != nil {
			t.Errorf("%q: %v", line, err)
		}
		_, err = find(imagetest.Tar(ovf, text("vm.mf", fmt.Sprintf(line, wrong)), disk), ova.Options{})
		imagetest.WantFault(t, err, diskimage.Malformed, `the SHA256 of "a"`)
	}
	for _, lines := range []string{fmt.Sprintf("SHA2-512(a)= %x", other), fmt.Sprintf("SHA384(a)= %x\n%x  a\n", three, other), string(toUTF16(fmt.Sprintf("SHA256(a)= %x\r\n", one)))} {
		if _, err := find(imagetest.Tar(ovf, text("vm.mf", lines), disk), ova.Options{}); err != nil {
			t.Errorf("%q: %v", lines, err)
		}
	}
}

func toUTF16(s string) []byte {
	p := []byte("\xff\xfe")
	for _, u := range utf16.Encode([]rune(s)) {
		p = binary.LittleEndian.AppendUint16(p, u)
	}
	return p
}

// Descriptions in the encodings that XML may be in, declared or not.
func TestEncodings(t *testing.T) {
	const name = "Café€.vmdk"
	ovf := strings.Replace(string(imagetest.OVF(name)), "disks", "Größe", 1)
	cp1252 := strings.NewReplacer("é", "\xe9", "€", "\x80", "ö", "\xf6", "ß", "\xdf")
	declared := func(encoding string) string { return strings.Replace(ovf, "UTF-8", encoding, 1) }
	bigEndian := toUTF16(declared("UTF-16"))
	for i := 0; i < len(bigEndian); i += 2 {
		bigEndian[i], bigEndian[i+1] = bigEndian[i+1], bigEndian[i]
	}
	for what, c := range map[string]struct {
		text     []byte
		warnings int
	}{
		"UTF-8":             {[]byte(ovf), 0},
		"a byte order mark": {[]byte("\ufeff" + ovf), 0},
		"UTF-16":            {toUTF16(declared("UTF-16")), 0},
		"no mark":           {toUTF16(declared("utf-16"))[2:], 0},
		"big endian":        {bigEndian, 0},
		"windows-1252":      {[]byte(cp1252.Replace(declared("windows-1252"))), 0},
		"XML 1.1":           {[]byte(strings.Replace(ovf, `version="1.0"`, `version="1.1"`, 1)), 0},
		"not what it says":  {[]byte(cp1252.Replace(ovf)), 1},
		"not said":          {[]byte(cp1252.Replace(ovf[strings.Index(ovf, "?>")+2:])), 1},
	} {
		d, err := find(imagetest.Tar(imagetest.Member{Name: "vm.ovf", Data: c.text}, text(name, "the disk")), ova.Options{})
		if err != nil {
			t.Errorf("%s: %v", what, err)
		} else if bytesOf(t, d.File) != "the disk" || len(d.Warnings) != c.warnings {
			t.Errorf("%s: warnings %q", what, d.Warnings)
		}
	}
	d, err := find(imagetest.Tar(imagetest.Member{Name: "vm.ovf", Data: []byte(strings.Replace(strings.Replace(ovf, "UTF-8", "Shift_JIS", 1), name, "a", 1))}, text("a", "")), ova.Options{})
	if err != nil || len(d.Warnings) > 0 {
		t.Errorf("Shift_JIS in UTF-8: %v", err)
	}
	d, err = find(imagetest.Tar(imagetest.Member{Name: "vm.ovf", Data: []byte(strings.NewReplacer("UTF-8", "Shift_JIS", name, "a", "ö", "\x83\x42").Replace(ovf))}, text("a", "")), ova.Options{})
	if err != nil || len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], "Shift_JIS") {
		t.Errorf("Shift_JIS: %+v, %v", d, err)
	}
}

// A disk in pieces is the sequence of them. Each piece may have a digest, or all of
// them together.
func TestPieces(t *testing.T) {
	parts := []imagetest.Member{text("d.vmdk.000000000", "the "), text("d.vmdk.000000001", "disk"), text("d.vmdk.000000002", "!")}
	whole := text("d.vmdk", "the disk!")
	ovf := described(`d.vmdk ovf:size="9" ovf:chunkSize="4"`)
	for name, digests := range map[string][]byte{
		"no manifest": nil, "of the pieces": imagetest.Manifest(append(parts, ovf)...), "of the whole": imagetest.Manifest(whole),
	} {
		members := append([]imagetest.Member{ovf}, parts...)
		if digests != nil {
			members = append(members, imagetest.Member{Name: "vm.mf", Data: digests})
		}
		d, err := find(imagetest.Tar(members...), ova.Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := bytesOf(t, d.File); got != "the disk!" {
			t.Errorf("%s: %q", name, got)
		}
		p := make([]byte, 5)
		if n, err := d.File.R.ReadAt(p, 3); n != 5 || err != nil || string(p) != " disk" {
			t.Errorf("%s: across pieces: %q, %v", name, p[:n], err)
		}
	}
	bad := imagetest.Manifest(text("d.vmdk.000000001", "dusk"))
	_, err := find(imagetest.Tar(append(parts, ovf, imagetest.Member{Name: "vm.mf", Data: bad})...), ova.Options{})
	imagetest.WantFault(t, err, diskimage.Malformed, "d.vmdk.000000001")
	if d, err := find(imagetest.Tar(ovf, whole), ova.Options{}); err != nil || bytesOf(t, d.File) != "the disk!" {
		t.Errorf("whole: %v", err)
	}
}

// Archives as people make them: of a folder, on a Mac, without an OVF.
func TestFolders(t *testing.T) {
	folder := func(name string) imagetest.Member {
		return imagetest.Member{Name: name, Header: func(h *tar.Header) { h.Typeflag = tar.TypeDir }}
	}
	ovf, disk := described("a"), text("vm/a", "the disk")
	ovf.Name = "vm/vm.ovf"
	mf := imagetest.Member{Name: "vm/vm.mf", Data: imagetest.Manifest(text("a", "the disk"))}
	d, err := find(imagetest.Tar(folder("vm/"), text("vm/._vm.ovf", "of macOS"), ovf, mf, disk), ova.Options{})
	if err != nil || bytesOf(t, d.File) != "the disk" || !d.OVF {
		t.Errorf("%+v, %v", d, err)
	}
	mf.Data = imagetest.Manifest(text("a", "another"))
	_, err = find(imagetest.Tar(ovf, mf, disk), ova.Options{})
	imagetest.WantFault(t, err, diskimage.Malformed, "the SHA256 of")

	isDisk := func(name string, f diskimage.File) bool { return strings.HasSuffix(name, ".raw") }
	box := []imagetest.Member{folder("./"), text("./Vagrantfile", "x"), text("./metadata.json", "{}"), text("./image/disk.raw", "the disk")}
	d, err = find(imagetest.Tar(box...), ova.Options{IsDisk: isDisk})
	if err != nil || bytesOf(t, d.File) != "the disk" || d.OVF || d.Name != "image/disk.raw" {
		t.Errorf("%+v, %v", d, err)
	}
	two := append(box, text("b.raw", "another"))
	var choice *ova.ChoiceError
	if _, err = find(imagetest.Tar(two...), ova.Options{IsDisk: isDisk}); !errors.As(err, &choice) || len(choice.Disks) != 2 {
		t.Errorf("two disks: %v", err)
	}
	if d, err = find(imagetest.Tar(two...), ova.Options{IsDisk: isDisk, Member: "b.raw"}); err != nil || bytesOf(t, d.File) != "another" {
		t.Errorf("one of two: %v", err)
	}
	_, err = find(imagetest.Tar(box[:3]...), ova.Options{IsDisk: isDisk})
	imagetest.WantFault(t, err, diskimage.Unsupported, "tar x")
	for _, name := range []string{"../a.raw", "/a.raw", "a/../b.raw", "a//b.raw", "a/./b.raw", `a\b.raw`, "c:a.raw"} {
		_, err = find(imagetest.Tar(text(name, "")), ova.Options{IsDisk: isDisk})
		imagetest.WantFault(t, err, diskimage.Malformed, "the member's name")
	}
}

// Sparse members, as tar -S writes them, are read in full and know their holes.
func TestSparseMembers(t *testing.T) {
	dir := t.TempDir()
	want := make([]byte, 4<<20+512)
	for i := range 40 { // more segments than a header and a block behind it hold
		copy(want[i*96<<10:], imagetest.Mixed(4096, uint64(i)))
	}
	copy(want[len(want)-512:], bytes.Repeat([]byte{7}, 512))
	f, err := os.Create(filepath.Join(dir, "disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // checked by reading it
	for off := 0; off < len(want); off += 512 {
		if p := want[off : off+512]; len(bytes.Trim(p, "\x00")) > 0 {
			if _, err := f.WriteAt(p, int64(off)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, format := range []string{"oldgnu", "gnu", "pax"} {
		object, err := exec.Command("tar", "-C", dir, "--format="+format, "-S", "-c", "disk.raw").Output()
		if err != nil {
			t.Fatal(err)
		}
		d, err := find(object, ova.Options{IsDisk: func(string, diskimage.File) bool { return true }})
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		if got := bytesOf(t, d.File); got != string(want) || d.Name != "disk.raw" {
			t.Errorf("%s: %q reads as something else", format, d.Name)
		}
		holes := int64(0)
		for off := int64(0); off < d.File.Size; {
			start, end, err := d.File.R.(diskimage.SparseReaderAt).NextData(off)
			if err != nil || start < off || end < start {
				t.Fatalf("%s: data from %d: %d to %d, %v", format, off, start, end, err)
			}
			holes += start - off
			off = max(end, start)
		}
		if holes < 3<<20 {
			t.Errorf("%s: %d bytes of holes", format, holes)
		}
		for n := 512; n < len(object); n += 512 * 7 {
			if _, err := find(object[:n], ova.Options{IsDisk: func(string, diskimage.File) bool { return true }}); err != nil {
				var fault *diskimage.FormatError
				if !errors.As(err, &fault) {
					t.Errorf("%s, cut to %d: %v", format, n, err)
				}
			}
		}
	}
}
