package qcow2_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/qcow2"
)

// Offsets of fields.
const (
	backingOffset = 8
	backingLength = 16
	clusterBits   = 20
	diskSize      = 24
	encryption    = 32
	l1Entries     = 36
	l1Offset      = 40
	snapshots     = 60
	incompatible  = 72
	headerLength  = 100
	compression   = 104
)

// hostile is a disk of 64 KiB clusters: plain, absent, compressed, zero.
func hostile() imagetest.Qcow2 {
	return imagetest.Qcow2{Size: 4<<16 - 512, Clusters: map[int64]imagetest.Qcow2Cluster{
		0: {Data: []byte{1}}, 2: {Data: []byte("compressed"), Compress: true}, 3: {Zero: true},
	}}
}

// patched returns the image of q with changes.
func patched(q imagetest.Qcow2, changes ...imagetest.Patch) []byte {
	return patcher(q.Build().Bytes)(changes...)
}

// patcher returns a function that returns copies of an image with changes, which is
// faster than building each.
func patcher(image []byte) func(changes ...imagetest.Patch) []byte {
	return func(changes ...imagetest.Patch) []byte {
		p := bytes.Clone(image)
		imagetest.Patches(changes).Apply(p)
		return p
	}
}

// withExtension returns the hostile disk with an extension of a type and data.
func withExtension(kind uint32, data string) imagetest.Qcow2 {
	q := hostile()
	q.Extensions = binary.BigEndian.AppendUint32(nil, kind)
	q.Extensions = binary.BigEndian.AppendUint32(q.Extensions, uint32(len(data)))
	q.Extensions = append(q.Extensions, data...)
	return q
}

func refused(t *testing.T, image []byte, class diskimage.Class, text string) {
	t.Helper()
	_, err := opener.Image(image)
	imagetest.WantFault(t, err, class, text)
}

// The cases have the numbers of the catalogue of hostile images.
func TestHostileHeader(t *testing.T) {
	be32, be64 := imagetest.BE32, imagetest.BE64
	base := hostile().Build().Bytes
	with := patcher(base)
	end := uint64(len(base))
	named := withExtension(0x6803f857, "\x00\x05a \x1b[31mname"+strings.Repeat("\x00", 40)[:36])
	tiny := hostile()
	tiny.Extensions = bytes.Repeat([]byte{0, 0, 0, 1, 0, 0, 0, 0}, 1000)
	small := imagetest.Qcow2{Size: 4096, ClusterBits: 9}
	for _, c := range []struct {
		name  string
		image []byte
		class diskimage.Class
		text  string
	}{
		{"1 empty", nil, diskimage.NotFormat, "empty object"},
		{"not qcow2", make([]byte, 200), diskimage.NotFormat, "header"},
		{"3 magic alone", []byte("QFI\xfb"), diskimage.Truncated, "header"},
		{"3 half a header", base[:80], diskimage.Truncated, "header"},
		{"version 1", with(be32(4, 1)), diskimage.Unsupported, "version = 0x1"},
		{"version 4", with(be32(4, 4)), diskimage.Unsupported, "version = 0x4"},
		{"83 cluster bits 0", with(be32(clusterBits, 0)), diskimage.Malformed, "cluster bits"},
		{"83 cluster bits 8", with(be32(clusterBits, 8)), diskimage.Malformed, "cluster bits"},
		{"83 cluster bits 22", with(be32(clusterBits, 22)), diskimage.Malformed, "cluster bits"},
		{"83 cluster bits 31", with(be32(clusterBits, 31)), diskimage.Malformed, "cluster bits"},
		{"83 cluster bits 33", with(be32(clusterBits, 33)), diskimage.Malformed, "cluster bits"},
		{"83 cluster bits 63", with(be32(clusterBits, 63)), diskimage.Malformed, "cluster bits"},
		{"83 cluster bits 2^32-1", with(be32(clusterBits, math.MaxUint32)), diskimage.Malformed, "cluster bits"},
		{"84 L1 entries 2^32-1", with(be32(l1Entries, math.MaxUint32)), diskimage.Limit, "L1 entries"},
		{"84 L1 entries 0", with(be32(l1Entries, 0)), diskimage.Malformed, "L1 entries"},
		{"84 L1 too small", with(be64(diskSize, 1<<29+1)), diskimage.Malformed, "L1 entries"},
		{"84 L1 unaligned", with(be64(l1Offset, 0x10200)), diskimage.Malformed, "L1 offset"},
		{"84 L1 past the end", with(be64(l1Offset, 1<<40)), diskimage.Truncated, "L1 table"},
		{"84 L1 at 2^64-cluster", with(be64(l1Offset, math.MaxUint64-0xffff)), diskimage.Malformed, "L1 offset"},
		{"84 L1 in the header", with(be64(l1Offset, 0)), diskimage.Malformed, "L1 offset"},
		{"85 size 2^63", with(be64(diskSize, 1<<63)), diskimage.Limit, "size"},
		{"85 size 2^64-1", with(be64(diskSize, math.MaxUint64)), diskimage.Limit, "size"},
		{"85 size 2^56, no L1", with(be64(diskSize, 1<<56), be32(l1Entries, 0)), diskimage.Limit, "size"},
		{"85 size 0", with(be64(diskSize, 0)), diskimage.Malformed, "size"},
		{"86 header length 0", with(be32(headerLength, 0)), diskimage.Malformed, "header length"},
		{"86 header length 72", with(be32(headerLength, 72)), diskimage.Malformed, "header length"},
		{"86 header length 105", with(be32(headerLength, 105)), diskimage.Malformed, "header length"},
		{"86 header length 2^32-8", with(be32(headerLength, math.MaxUint32-7)), diskimage.Malformed, "header length"},
		{"86 header longer than a cluster", patched(small, be32(headerLength, 520)), diskimage.Malformed, "header length"},
		{"86 extension of 2^32-1", patched(withExtension(1, ""), be32(116, math.MaxUint32)), diskimage.Malformed, "header extension at offset 0x74"},
		{"86 extension of 2^31", patched(withExtension(1, ""), be32(116, 1<<31)), diskimage.Malformed, "header extension"},
		{"86 many extensions", tiny.Build().Bytes, diskimage.Limit, "header extension"},
		{"86 a name that speaks to terminals", patched(named, be64(incompatible, 1<<5)), diskimage.Unsupported, "bit 5 (a ?[31mname)"},
		{"88 backing offset alone", with(be64(backingOffset, 0x200)), diskimage.External, `backing file ""`},
		{"88 backing length alone", with(be32(backingLength, 5)), diskimage.External, `backing file ""`},
		{"88 backing far away", with(be64(backingOffset, 1<<63), be32(backingLength, 5)), diskimage.External, `backing file ""`},
		{"88 a driver", backed(`json:{"driver":"nbd"}`), diskimage.External, `backing file "json:{\"driver\":\"nbd\"}"`},
		{"88 a host's file", backed("/etc/pass\x1bwd"), diskimage.External, `backing file "/etc/pass?wd"`},
		{"88 backing format alone", withExtension(0xe2792aca, "raw").Build().Bytes, diskimage.External, `backing file of format "raw"`},
		{"89 external data", with(be64(incompatible, 4)), diskimage.External, "external data file"},
		{"89 external data, named", withExtension(0x44415441, "/etc/passwd").Build().Bytes, diskimage.External, `external data file "/etc/passwd"`},
		{"89 corrupt", with(be64(incompatible, 2)), diskimage.Malformed, "marked as corrupt"},
		{"89 bit 3 with deflate", with(be64(incompatible, 8)), diskimage.Malformed, "compression type"},
		{"89 zstd without bit 3", with(be32(compression, 1<<24)), diskimage.Malformed, "compression type"},
		{"89 bit 3 and a short header", with(be64(incompatible, 8), be32(headerLength, 104), be64(104, 0)), diskimage.Malformed, "compression type"},
		{"89 compression 2", with(be64(incompatible, 8), be32(compression, 2<<24)), diskimage.Unsupported, "compression type"},
		{"90 AES", with(be32(encryption, 1)), diskimage.Unsupported, "encrypted with AES"},
		{"90 LUKS", with(be32(encryption, 2)), diskimage.Unsupported, "encrypted with LUKS"},
		{"90 unknown encryption", with(be32(encryption, 7)), diskimage.Unsupported, "encrypted in an unknown way"},
		{"90 LUKS extension alone", withExtension(0x0537be77, strings.Repeat("\x00", 16)).Build().Bytes, diskimage.Unsupported, "encrypted with LUKS"},
		{"91 L2 unaligned", with(be64(0x10000, 0x10200)), diskimage.Malformed, "L1 table at offset 0x10000: entry 0"},
		{"91 L2 past the end", with(be64(0x10000, (end+0xffff)&^0xffff)), diskimage.Truncated, "entry 0"},
		{"91 L2 at 2^56", with(be64(0x10000, 1<<56-1<<16)), diskimage.Truncated, "entry 0"},
		{"91 L2 is the L1", with(be64(0x10000, 0x10000)), diskimage.Malformed, "entry 0"},
		{"91 L2 is the header", with(be64(0x10000, 1<<63|0x200)), diskimage.Malformed, "entry 0"},
		{"91 reserved bits of L1", with(be64(0x10000, 1<<60|0x30000)), diskimage.Malformed, "reserved bits"},
		{"91 low bits of L1", with(be64(0x10000, 1)), diskimage.Malformed, "reserved bits"},
		{"91 one L2 for all", sharedL2(), diskimage.Malformed, "entry 1 = 0x8000000000003000: overlaps"},
		{"95 extended with small clusters", imagetest.Qcow2{Size: 1 << 20, ClusterBits: 13, Extended: true}.Build().Bytes, diskimage.Malformed, "cluster bits"},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, c.image, c.class, c.text) })
	}
	for bit := 5; bit < 64; bit++ {
		refused(t, with(be64(incompatible, 1<<bit)), diskimage.Unsupported, fmt.Sprintf("unknown: bit %d", bit))
	}
}

// backed returns the hostile disk with a backing file of the name.
func backed(name string) []byte {
	image := hostile().Build().Bytes
	copy(image[0x200:], name)
	imagetest.Patches{imagetest.BE64(backingOffset, 0x200), imagetest.BE32(backingLength, uint32(len(name)))}.Apply(image)
	return image
}

// sharedL2 is a disk whose L1 entries are all the same.
func sharedL2() []byte {
	q := imagetest.Qcow2{Size: 64 << 20, ClusterBits: 12, Clusters: map[int64]imagetest.Qcow2Cluster{0: {Data: []byte{1}}}}
	image := q.Build()
	for i := range int64(32) {
		copy(image.Bytes[image.L1+8*i:], image.Bytes[image.L1:image.L1+8])
	}
	return append(image.Bytes, make([]byte, 1<<20)...)
}

// A fault of a cluster is found when it is looked up.
func TestHostileClusters(t *testing.T) {
	be64 := imagetest.BE64
	image := hostile().Build()
	with := patcher(image.Bytes)
	plain, packed := image.Entries[0], image.Entries[2]
	stream := image.Stored[2]
	size := uint64(len(image.Bytes))
	coded := func(off, sectors uint64) uint64 { return 1<<62 | sectors<<54 | off }
	v2 := hostile()
	v2.Version = 2
	bomb := hostile()
	bomb.Clusters[2] = imagetest.Qcow2Cluster{Stream: new(imagetest.Compressor).Deflate(make([]byte, 1<<24))}
	long := hostile()
	long.Clusters[2] = imagetest.Qcow2Cluster{Stream: new(imagetest.Compressor).Deflate(make([]byte, 1<<16+1))}
	short := hostile()
	short.Clusters[2] = imagetest.Qcow2Cluster{Stream: new(imagetest.Compressor).Deflate(make([]byte, 1<<16-1))}
	for _, c := range []struct {
		name  string
		image []byte
		class diskimage.Class
		text  string
	}{
		{"92 reserved low bits", with(be64(plain, 0x40002)), diskimage.Malformed, fmt.Sprintf("L2 table 0 at offset %#x: entry 0 = 0x40002: reserved bits", plain)},
		{"92 reserved high bits", with(be64(plain, 1<<56|0x40000)), diskimage.Malformed, "reserved bits"},
		{"92 unaligned", with(be64(plain, 0x40200)), diskimage.Malformed, "not a multiple of 65536"},
		{"92 the L2 table itself", with(be64(plain, uint64(image.L2[0]))), diskimage.Malformed, "entry 0 = 0x30000: names the table that it is in"},
		{"92 the L1 table", with(be64(plain, uint64(image.L1))), diskimage.Malformed, "points into"},
		{"92 past the end", with(be64(plain, (size+0xffff)&^0xffff)), diskimage.Truncated, "entry 0"},
		{"92 at 2^56", with(be64(plain, 1<<56-1<<16)), diskimage.Truncated, "entry 0"},
		{"92 zero bit in version 2", v2.Build().Bytes, diskimage.Malformed, "zero bit"},
		{"93 stream past the end", with(be64(packed, coded(size, 0))), diskimage.Truncated, "entry 2"},
		{"93 stream at 2^54", with(be64(packed, coded(1<<54-1, 255))), diskimage.Truncated, "entry 2"},
		{"93 stream in the header", with(be64(packed, coded(0, 0))), diskimage.Malformed, "points into"},
		{"93 stream into a table", with(be64(packed, coded(uint64(image.L2[0])+1, 1))), diskimage.Malformed, "overlaps"},
		{"93 a cluster's zeros", with(be64(packed, coded(uint64(image.Stored[0])+600, 255))), diskimage.Malformed, "entry 2 = 0x7fc0000000040258: overlaps"},
		{"93 cut", image.Bytes[:stream+9], diskimage.Truncated, "compressed cluster"},
		{"93 too short a bound", patched(long, be64(packed, coded(uint64(stream)+1, 0))), diskimage.Malformed, "compressed cluster"},
		{"93 expands to more", long.Build().Bytes, diskimage.Malformed, "invalid length"},
		{"93 expands to much more", bomb.Build().Bytes, diskimage.Malformed, "invalid length"},
		{"93 expands to less", short.Build().Bytes, diskimage.Malformed, "invalid length"},
	} {
		t.Run(c.name, func(t *testing.T) { imagetest.WantFault(t, imagetest.Walk(mustOpen(t, c.image)), c.class, c.text) })
	}
	for name, bad := range map[string]imagetest.Qcow2{"more": long, "less": short} {
		if err := imagetest.Walk(mustOpen(t, bad.Build().Bytes)); !errors.Is(err, diskimage.ErrInflatedLength) {
			t.Errorf("expanding to %s: got %v, want ErrInflatedLength", name, err)
		}
	}
	// The sectors of a descriptor may be more than the stream needs.
	imagetest.Run(t, mustOpen(t, with(be64(packed, coded(uint64(stream), 255)))), contents(hostile()))
}

// contents is what a disk of plain clusters reads as.
func contents(q imagetest.Qcow2) *bytes.Reader {
	want := make([]byte, q.Size)
	for n, c := range q.Clusters {
		copy(want[n<<16:], c.Data)
	}
	return bytes.NewReader(want)
}

// Any number of clusters that point at one stream are refused when they are more
// than the object could honestly hold, and any two at one cluster.
func TestAmplification(t *testing.T) {
	packed := imagetest.Qcow2{Size: 1 << 40, ClusterBits: 21, Clusters: map[int64]imagetest.Qcow2Cluster{
		0: {Data: []byte{7}, Compress: true}, 1<<18 + 1: {Data: []byte{1}},
	}}
	zstd := packed
	zstd.Zstd = true
	plain := imagetest.Qcow2{Size: 1 << 30, Clusters: map[int64]imagetest.Qcow2Cluster{0: {Data: []byte{7}}}}
	for _, c := range []struct {
		name  string
		disk  imagetest.Qcow2
		class diskimage.Class
		text  string
	}{
		{"93 one deflate stream for all", packed, diskimage.Limit, "amplification"},
		{"93 one zstd frame for all", zstd, diskimage.Limit, "amplification"},
		{"92 one cluster for all", plain, diskimage.Malformed, "entry 1 = "},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := c.disk.Build()
			table := image.Bytes[image.L2[0]:][:1<<max(c.disk.ClusterBits, 16)]
			for i := range len(table) / 8 {
				copy(table[8*i:], table[:8])
			}
			imagetest.WantFault(t, imagetest.Walk(mustOpen(t, image.Bytes)), c.class, c.text)
		})
	}
}

// Invalid zstd frames.
func TestHostileZstd(t *testing.T) {
	var c imagetest.Compressor
	whole := bytes.Repeat([]byte("a cluster of text that is 64 KiB "), 2048)[:1<<16]
	good := c.Zstd(whole)
	half := c.Zstd(whole[:1<<15])
	sum := bytes.Clone(good)
	sum[len(sum)-1] ^= 1
	for _, tc := range []struct {
		name   string
		stream []byte
		text   string // empty: accepted
	}{
		{"good", good, ""},
		{"good, something behind", append(bytes.Clone(good), "another stream"...), ""},
		{"huge window", []byte("\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00"), "window"},
		{"window of 2^41", []byte("\x28\xb5\x2f\xfd\x00\xff\x01\x00\x00"), "window"},
		{"skippable frame", append([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"), good...), "skippable"},
		{"two frames", append(bytes.Clone(half), half...), "invalid length"},
		{"short", half, "invalid length"},
		{"long", c.Zstd(append(bytes.Clone(whole), 1)), "invalid length"},
		{"checksum", sum, "CRC check failed"},
		{"dictionary", []byte("\x28\xb5\x2f\xfd\x21\x07\x01\x01\x00\x00\x61"), "dictionary"},
		{"reserved block type", []byte("\x28\xb5\x2f\xfd\x20\x01\x0f\x00\x00\x61"), "compressed cluster"},
		{"no frame", []byte("nothing of the kind"), "compressed cluster"},
		{"endless blocks", append([]byte("\x28\xb5\x2f\xfd\x00\x58"), make([]byte, 2000)...), "compressed cluster"},
		{"cut", good[:len(good)-1], "compressed cluster"},
	} {
		t.Run("94 "+tc.name, func(t *testing.T) {
			q := imagetest.Qcow2{Size: 2 << 16, Zstd: true, Clusters: map[int64]imagetest.Qcow2Cluster{0: {Data: whole}, 1: {Stream: tc.stream}}}
			d := mustOpen(t, q.Build().Bytes)
			if tc.text == "" {
				imagetest.Run(t, d, bytes.NewReader(append(bytes.Clone(whole), whole...)))
				return
			}
			var fault *diskimage.FormatError
			if err := imagetest.Walk(d); !errors.As(err, &fault) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want a fault with %q", err, tc.text)
			}
		})
	}
}

// Bitmaps of extended entries.
func TestHostileExtended(t *testing.T) {
	q := hostile()
	q.Extended, q.Clusters = true, map[int64]imagetest.Qcow2Cluster{0: {Data: bytes.Repeat([]byte{1}, 1<<16)}}
	image := q.Build()
	entry := image.Entries[0]
	for _, c := range []struct {
		name  string
		patch imagetest.Patch
		text  string
	}{
		{"stored and zero", imagetest.BE64(entry+8, 1<<32|1), "both stored and zero"},
		{"stored nowhere", imagetest.BE64(entry, 0), "in no cluster"},
		{"zero bit", imagetest.BE64(entry, uint64(image.Stored[0])|1), "zero bit"},
	} {
		t.Run("95 "+c.name, func(t *testing.T) {
			imagetest.WantFault(t, imagetest.Walk(mustOpen(t, patched(q, c.patch))), diskimage.Malformed, c.text)
		})
	}
}

// Snapshots are not looked at, the object may end in the cluster of the L1 table,
// and unknown extensions are ignored.
func TestAccepted(t *testing.T) {
	q := hostile()
	t.Run("87 2^32-1 snapshots", func(t *testing.T) {
		image := patched(q, imagetest.BE32(snapshots, math.MaxUint32), imagetest.BE64(snapshots+4, math.MaxUint64))
		imagetest.Run(t, mustOpen(t, image), contents(q))
	})
	t.Run("96 the end in the cluster of L1", func(t *testing.T) {
		q := hostile()
		q.Clusters = nil
		image := q.Build().Bytes
		imagetest.Run(t, mustOpen(t, image[:0x10000+8]), imagetest.Zeros{})
		refused(t, image[:0x10000+7], diskimage.Truncated, "L1 table")
	})
	unknown := withExtension(0x12345678, "ignored")
	imagetest.Run(t, mustOpen(t, unknown.Build().Bytes), contents(unknown))
}

// Cases 4, 5, 6: an image that is cut, or has something behind it.
func TestCutAnywhere(t *testing.T) {
	imagetest.Volume(t)
	q, want := spec(12, 0)
	opener.Cut(t, q.Build().Bytes, want, 256)
}

// Many L2 tables that are there and empty are walked in bounded memory. They
// cost the object nothing when it is sparse.
func TestManyEmptyTables(t *testing.T) {
	imagetest.Volume(t)
	const count, budget = 1 << 15, 1 << 20
	l1 := make([]byte, 0, count*8)
	for i := range uint64(count) {
		l1 = binary.BigEndian.AppendUint64(l1, 1<<20+512*(count-i))
	}
	head := imagetest.Qcow2{Size: count << 15, ClusterBits: 9}.Build().Bytes[:512]
	src := imagetest.Patches{{Off: 0, Data: head}, imagetest.BE64(l1Offset, 1<<32), {Off: 1 << 32, Data: l1}}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d, err := qcow2.Open(src, 1<<33, qcow2.Options{Limits: diskimage.Limits{MetadataBytes: budget}})
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range d.Extents(0, d.Size()) {
		if err != nil || e.Kind != diskimage.Hole {
			t.Fatalf("got %+v, %v, want one hole", e, err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > 4*budget {
		t.Errorf("%d KiB are in use", used>>10)
	}
	runtime.KeepAlive(d)
	_, err = qcow2.Open(src, 1<<33, qcow2.Options{Limits: diskimage.Limits{MetadataBytes: 1 << 12}})
	imagetest.WantFault(t, err, diskimage.Limit, "too many units of 512 bytes to keep them apart")
}
