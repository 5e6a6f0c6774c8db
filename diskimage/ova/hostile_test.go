package ova_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/ova"
)

// sum corrects the checksum of the header at an offset.
func sum(object []byte, at int) {
	p := object[at : at+512]
	copy(p[148:156], "        ")
	n := 0
	for _, b := range p {
		n += int(b)
	}
	copy(p[148:], fmt.Sprintf("%06o\x00 ", n))
}

// header returns an archive of the member whose header was changed.
func header(m imagetest.Member, change func(p []byte)) []byte {
	object := imagetest.Tar(m)
	change(object)
	sum(object, 0)
	return object
}

// records returns a header of a type and its data, n times.
func records(kind byte, data string, n int) []byte {
	one := header(text("x", data), func(p []byte) { p[156] = kind })
	one = one[:len(one)-1024]
	return append(bytes.Repeat(one, n), imagetest.Tar(text("y", ""))...)
}

// sparse returns an archive of an old GNU sparse member of 8 bytes with one
// segment, and a size.
func sparse(off, n, size string) []byte {
	return header(text("a", "8 bytes."), func(p []byte) {
		p[156] = 'S'
		copy(p[386:], off)
		copy(p[398:], n)
		copy(p[483:], size)
	})
}

// paxSparse returns an archive of a sparse member of the form 1.0 with a map and 512
// bytes of data.
func paxSparse(layout string, size int) []byte {
	rec := func(key, value string) string {
		body := " " + key + "=" + value + "\n"
		n := len(body) + 2
		return fmt.Sprintf("%02d%s", n, body)
	}
	pax := rec("GNU.sparse.major", "1") + rec("GNU.sparse.minor", "0") + rec("GNU.sparse.name", "a") + rec("GNU.sparse.realsize", fmt.Sprint(size))
	data := layout + strings.Repeat("\x00", -len(layout)&511) + strings.Repeat("d", 512)
	return append(header(imagetest.Member{Name: "pax", Data: []byte(pax)}, func(p []byte) { p[156] = 'x' })[:1024], imagetest.Tar(text("GNUSparseFile.0/a", data))...)
}

// The numbers are those of the catalogue of hostile images that the project's
// issues refer to.
func TestHostile(t *testing.T) {
	ovf, disk := described("a"), text("a", "disk")
	kind := func(k byte) []byte {
		return imagetest.Tar(imagetest.Member{Name: "link", Header: func(h *tar.Header) { h.Typeflag, h.Linkname = k, "/etc/shadow" }})
	}
	xml := func(s string) []byte { return imagetest.Tar(text("x.ovf", s), disk) }
	mf := func(s string) []byte { return imagetest.Tar(ovf, text("x.mf", s), disk) }
	pax := func(k, v string) string {
		s := fmt.Sprintf(" %s=%s\n", k, v)
		n := len(s) + 2
		if n > 99 {
			n++
		}
		return fmt.Sprintf("%d%s", n, s)
	}
	many := make([]imagetest.Member, 1001)
	for i := range many {
		many[i] = text(fmt.Sprintf("m%d", i), "")
	}
	zero := strings.Repeat("0", 64)
	tests := []struct {
		name   string
		object []byte
		class  diskimage.Class
	}{
		{"51 parent folder", imagetest.Tar(text("../a.ovf", "")), diskimage.Malformed},
		{"51 absolute", imagetest.Tar(text("/a.ovf", "")), diskimage.Malformed},
		{"51 inside out", imagetest.Tar(text("a/../../b", "")), diskimage.Malformed},
		{"51 drive", imagetest.Tar(text(`C:a`, "")), diskimage.Malformed},
		{"51 symbolic link", kind(tar.TypeSymlink), diskimage.Unsupported},
		{"51 hard link", kind(tar.TypeLink), diskimage.Unsupported},
		{"51 character device", kind(tar.TypeChar), diskimage.Unsupported},
		{"51 folder", kind(tar.TypeDir), diskimage.Unsupported},
		{"51 GNU sparse, no size", header(text("a", ""), func(p []byte) { p[156] = 'S' }), diskimage.Malformed},
		{"51 GNU sparse, larger than said", sparse("00000000000", "00000000010", "00000000007"), diskimage.Malformed},
		{"51 GNU sparse, not all there", sparse("00000000000", "00000000020", "00000000100"), diskimage.Malformed},
		{"51 GNU sparse, negative", sparse("00000000000", strings.Repeat("\xff", 11), "00000000100"), diskimage.Malformed},
		{"51 pax sparse, no map", records('x', pax("GNU.sparse.major", "1"), 1), diskimage.Malformed},
		{"51 pax sparse, an endless number", paxSparse(strings.Repeat("1", 4096), 10), diskimage.Malformed},
		{"51 pax sparse, too many segments", paxSparse("99999999\n", 10), diskimage.Malformed},
		{"51 pax sparse, out of order", paxSparse("2\n8\n4\n0\n4\n", 100), diskimage.Malformed},
		{"51 pax sparse, larger than any disk", paxSparse("1\n0\n512\n", 1<<60), diskimage.Limit},
		{"51 pax sparse, past the end", paxSparse("1\n8\n4096\n", 100), diskimage.Malformed},
		{"51 pax sparse, old form", records('x', pax("GNU.sparse.map", "0,1"), 1), diskimage.Unsupported},
		{"51 pax sparse, negative", records('x', pax("GNU.sparse.realsize", "-1"), 1), diskimage.Malformed},
		{"51 pax path", records('x', pax("path", "../x"), 1), diskimage.Malformed},
		{"51 pax path for all", records('g', pax("path", "x"), 1), diskimage.Malformed},
		{"51 pax size 2^63", records('x', pax("size", "9223372036854775808"), 1), diskimage.Malformed},
		{"51 pax size -1", records('x', pax("size", "-1"), 1), diskimage.Malformed},
		{"51 pax record past its end", records('x', "99 path=x\n", 1), diskimage.Malformed},
		{"51 negative size", header(text("a", ""), func(p []byte) { copy(p[124:136], strings.Repeat("\xff", 12)) }), diskimage.Malformed},
		{"51 size of 2^80", header(text("a", ""), func(p []byte) { p[124], p[125] = 0x80, 1 }), diskimage.Malformed},
		{"51 size past the end", header(text("a", ""), func(p []byte) { copy(p[124:136], "77777777777\x00") }), diskimage.Truncated},
		{"checksum", func() []byte { p := imagetest.Tar(ovf); p[0]++; return p }(), diskimage.Malformed},
		{"52 two OVFs", imagetest.Tar(ovf, text("b.ovf", "")), diskimage.Malformed},
		{"52 one name twice", imagetest.Tar(ovf, disk, disk), diskimage.Malformed},
		{"52 names that differ in case", imagetest.Tar(ovf, disk, text("A", "")), diskimage.Malformed},
		{"53 too many members", imagetest.Tar(many...), diskimage.Limit},
		{"53 long name of 100000 bytes", records('L', strings.Repeat("n", 100_000), 1), diskimage.Limit},
		{"53 pax headers without an end", records('x', pax("path", "x"), 1000), diskimage.Limit},
		{"54 billion laughs", xml(`<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><Envelope>&b;</Envelope>`), diskimage.Malformed},
		{"54 external entity", xml(`<!DOCTYPE l SYSTEM "file:///etc/passwd"><Envelope/>`), diskimage.Malformed},
		{"54 unknown entity", xml(`<Envelope>&x;</Envelope>`), diskimage.Malformed},
		{"54 depth", xml(strings.Repeat("<a>", 1000_000)), diskimage.Limit},
		{"54 100 MiB", header(text("x.ovf", ""), func(p []byte) { copy(p[124:136], "00614000000\x00") }), diskimage.Truncated},
		{"54 9 MiB", xml(strings.Repeat(" ", 9<<20)), diskimage.Limit},
		{"54 UTF-16", xml("\xff\xfe<\x00E\x00"), diskimage.Malformed},
		{"54 another encoding", xml(`<?xml version="1.0" encoding="UTF-16"?><Envelope/>`), diskimage.Unsupported},
		{"54 cut", xml("<Envelope><References"), diskimage.Malformed},
		{"54 too many disks", xml("<Envelope><DiskSection>" + strings.Repeat("<Disk/>", 1001)), diskimage.Limit},
		{"55 no such file", imagetest.Tar(described("b"), disk), diskimage.Malformed},
		{"55 fileRef to nothing", xml(string(imagetest.OVFText("", `<Disk ovf:fileRef="f"/>`))), diskimage.Malformed},
		{"55 address", imagetest.Tar(described("http://169.254.169.254/"), disk), diskimage.External},
		{"parent", xml(string(imagetest.OVFText(`<File ovf:id="f" ovf:href="a"/>`, `<Disk ovf:fileRef="f" ovf:parentRef="p"/>`))), diskimage.External},
		{"pieces of another size", imagetest.Tar(described(`b ovf:chunkSize="2"`), text("b.000000000", "a"), text("b.000000001", "bc")), diskimage.Malformed},
		{"pieces too large", imagetest.Tar(described(`b ovf:chunkSize="2"`), text("b.000000000", "abc")), diskimage.Malformed},
		{"pieces of nothing", imagetest.Tar(described(`b ovf:chunkSize="0"`), text("b.000000000", "")), diskimage.Malformed},
		{"pieces, one missing", imagetest.Tar(described(`b ovf:size="4" ovf:chunkSize="2"`), text("b.000000000", "ab")), diskimage.Malformed},
		{"pieces, the first missing", imagetest.Tar(described(`b ovf:chunkSize="2"`), text("b.000000001", "ab")), diskimage.Malformed},
		{"compression", imagetest.Tar(described(`a ovf:compression="lzma"`), disk), diskimage.Unsupported},
		{"two files of an id", xml(string(imagetest.OVFText(`<File ovf:id="f"/><File ovf:id="f"/>`, ""))), diskimage.Malformed},
		{"56 digest of the disk", mf("SHA256(a)= " + zero), diskimage.Malformed},
		{"56 digest of the OVF", mf("SHA256(vm.ovf)= " + zero), diskimage.Malformed},
		{"56 MD5", mf("MD5(a)= 00000000000000000000000000000000"), diskimage.Malformed},
		{"56 39 digits", mf("SHA1(a)= " + zero[:39]), diskimage.Malformed},
		{"56 two digests", mf("SHA1(b)= " + zero[:40] + "\nSHA1(b)= 1" + zero[:39]), diskimage.Malformed},
		{"56 garbage", mf("garbage"), diskimage.Malformed},
		{"57 another size", imagetest.Tar(described(`a ovf:size="5"`), disk), diskimage.Malformed},
		{"XVA", imagetest.Tar(text("ova.xml", "")), diskimage.Unsupported},
		{"no OVF", imagetest.Tar(disk), diskimage.Unsupported},
		{"empty", nil, diskimage.NotFormat},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := find(tt.object, ova.Options{})
			var fault *diskimage.FormatError
			if !errors.As(err, &fault) || fault.Class != tt.class {
				t.Errorf("got %v, want a fault of class %v", err, tt.class)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	ovf, disk := described("a"), text("a", "disk")
	object := imagetest.Tar(ovf, disk, imagetest.Member{Name: "x.mf", Data: imagetest.Manifest(disk)})
	broken := errors.New("input/output error")
	src := &imagetest.Faulty{R: bytes.NewReader(object), Err: broken}
	if _, err := ova.Find(src, int64(len(object)), ova.Options{}); !errors.Is(err, broken) {
		t.Errorf("source: got %v", err)
	}
	if _, err := find(object, ova.Options{Interrupted: func() error { return broken }}); !errors.Is(err, broken) {
		t.Errorf("interrupted: got %v", err)
	}
}

func FuzzFind(f *testing.F) {
	ovf, disk := described(`a ovf:size="4"`), text("a", "disk")
	f.Add(imagetest.Tar(ovf, imagetest.Member{Name: "x.mf", Data: imagetest.Manifest(ovf, disk)}, disk))
	f.Add(records('x', "10 path=x\n", 1))
	f.Add(sparse("00000000004", "00000000010", "00000000100"))
	f.Add(paxSparse("2\n0\n256\n512\n256\n", 1024))
	f.Add(append(imagetest.Tar(described(`b ovf:chunkSize="2"`))[:1024], imagetest.Tar(text("b.000000000", "ab"), text("b.000000001", "c"))...))
	f.Add(imagetest.Tar(disk, text("x.ovf", `<Envelope><DiskSection><Disk capacity="3" capacityAllocationUnits="byte * 2^30"/>`)))
	f.Fuzz(func(t *testing.T, object []byte) {
		d, err := find(object, ova.Options{})
		var fault *diskimage.FormatError
		if err != nil && !errors.As(err, &fault) {
			t.Error(err)
		}
		if err == nil && d.File.Size < 1<<20 {
			bytesOf(t, d.File)
		}
	})
}
