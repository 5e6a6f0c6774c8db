package dmg_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
)

// put64 sets a field of the trailer.
func put64(at int, v uint64) func([]byte, int64) {
	return func(p []byte, _ int64) { binary.BigEndian.PutUint64(p[at:], v) }
}

func put32(at int, v uint32) func([]byte, int64) {
	return func(p []byte, _ int64) { binary.BigEndian.PutUint32(p[at:], v) }
}

// small is a disk of 4 chunks of 4 KiB, 1 to 3 of them stored.
func small() imagetest.DMG {
	d := imagetest.DMG{Size: 4 * 4096, Chunk: 4096, Chunks: map[int64][]byte{}}
	for i := range int64(3) {
		d.Chunks[i+1] = imagetest.Mixed(4096, uint64(i))
	}
	return d
}

func TestBadTrailer(t *testing.T) {
	sandboxtest.Outside(t)
	for _, tt := range []struct {
		name   string
		change func([]byte, int64)
		class  diskimage.Class
		word   string
	}{
		{"100 two segments", put32(60, 2), diskimage.External, "segments"},
		{"100 a property list of 1 GiB", put64(224, 1<<30), diskimage.Limit, "property list"},
		{"a property list that is longer than the object", put64(224, 1<<20), diskimage.Malformed, "property list"},
		{"a property list at 2^64-1", put64(216, math.MaxUint64), diskimage.Malformed, "property list"},
		{"a property list at 2^63", put64(216, 1<<63), diskimage.Malformed, "property list"},
		{"no property list", put64(224, 0), diskimage.Malformed, "no tables"},
		{"a resource fork alone", func(p []byte, list int64) { put64(224, 0)(p, 0); put64(48, 1000)(p, 0) }, diskimage.Unsupported, "resource fork"},
		{"a data fork at 2^64-1", put64(24, math.MaxUint64), diskimage.Malformed, "data fork"},
		{"a data fork behind its chunks", put64(24, 6000), diskimage.Malformed, "before the trailer"},
		{"sectors 0", put64(492, 0), diskimage.Malformed, "sectors"},
		{"sectors 2^64-1", put64(492, math.MaxUint64), diskimage.Limit, "sectors"},
		{"sectors 2^55", put64(492, 1<<55), diskimage.Limit, "sectors"},
		{"sectors of 64 TiB and one", put64(492, 1<<37+1), diskimage.Limit, "sectors"},
		{"a sector more than the chunks have", put64(492, 4*8+1), diskimage.Malformed, "no chunk holds sector 32"},
		{"a sector less than the chunks have", put64(492, 4*8-1), diskimage.Malformed, "sectors 0 to 0+32"},
		{"version 5", put32(4, 5), diskimage.NotFormat, "no trailer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := small()
			d.Trailer = tt.change
			_, err := open.Image(d.Build())
			imagetest.WantFault(t, err, tt.class, tt.word)
		})
	}
}

func TestBadTables(t *testing.T) {
	sandboxtest.Outside(t)
	chunk := func(i int, change func(*imagetest.DMGChunk)) func(*imagetest.DMGTable) {
		return func(t *imagetest.DMGTable) { change(&t.Chunks[i]) }
	}
	typed := func(kind uint32) func(*imagetest.DMGTable) {
		return chunk(2, func(c *imagetest.DMGChunk) { c.Type = kind })
	}
	for _, tt := range []struct {
		name   string
		change func(*imagetest.DMGTable)
		class  diskimage.Class
		word   string
	}{
		{"100 a run at sector 2^63", chunk(1, func(c *imagetest.DMGChunk) { c.At = 1 << 63 }), diskimage.Malformed, "chunk 1"},
		{"100 a run of 2^50 sectors", chunk(1, func(c *imagetest.DMGChunk) { c.Count = 1 << 50 }), diskimage.Malformed, "chunk 1"},
		{"100 a run of 64 MiB and a byte", chunk(1, func(c *imagetest.DMGChunk) { c.Bytes = 64<<20 + 1 }), diskimage.Malformed, "chunk 1"},
		{"100 runs that overlap", chunk(1, func(c *imagetest.DMGChunk) { c.At-- }), diskimage.Malformed, "two chunks hold sector 7"},
		{"100 the same run twice", chunk(1, func(c *imagetest.DMGChunk) { c.At = 0 }), diskimage.Malformed, "two chunks"},
		{"100 a gap", chunk(1, func(c *imagetest.DMGChunk) { c.Count-- }), diskimage.Malformed, "no chunk holds sector 15"},
		{"100 a gap at the start", chunk(0, func(c *imagetest.DMGChunk) { c.Count = 0 }), diskimage.Malformed, "no chunk holds sector 0"},
		{"a gap at the end", func(t *imagetest.DMGTable) { t.Chunks = t.Chunks[:3] }, diskimage.Malformed, "no chunk holds sector 24"},
		{"no chunks", func(t *imagetest.DMGTable) { t.Chunks = nil }, diskimage.Malformed, "no chunk holds sector 0"},
		{"ADC", typed(0x80000004), diskimage.Unsupported, "ADC"},
		{"LZFSE", typed(0x80000007), diskimage.Unsupported, "LZFSE"},
		{"a type that is not known", typed(0x80000009), diskimage.Unsupported, "0x80000009"},
		{"an offset 2^64-1", chunk(2, func(c *imagetest.DMGChunk) { c.Offset = math.MaxUint64 }), diskimage.Malformed, "chunk 2"},
		{"a length 2^64-1", chunk(2, func(c *imagetest.DMGChunk) { c.Bytes = math.MaxUint64 }), diskimage.Malformed, "chunk 2"},
		{"a length 0", chunk(2, func(c *imagetest.DMGChunk) { c.Bytes = 0 }), diskimage.Malformed, "compressed"},
		{"a raw run of another length", typed(1), diskimage.Malformed, "for 4096"},
		{"offsets added to 2^64-1", func(t *imagetest.DMGTable) { t.Base = math.MaxUint64 }, diskimage.Malformed, "behind the trailer"},
		{"a table at 2^64-1", func(t *imagetest.DMGTable) { t.First = math.MaxUint64 }, diskimage.Malformed, "sectors"},
		{"a table of 2^64-1", func(t *imagetest.DMGTable) { t.Count = math.MaxUint64 }, diskimage.Malformed, "sectors"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := small()
			d.Change = tt.change
			_, err := open.Image(d.Build())
			imagetest.WantFault(t, err, tt.class, tt.word)
		})
	}
}

// Chunks that share their bytes are refused, since they would expand a small object
// to a large disk.
func TestAmplification(t *testing.T) {
	imagetest.Volume(t)
	t.Run("100 a thousand runs of the same bytes", func(t *testing.T) {
		d := imagetest.DMG{Size: 4 << 30, Chunk: 4 << 20, Chunks: map[int64][]byte{0: imagetest.Mixed(4<<20, 1)}}
		d.Change = func(t *imagetest.DMGTable) {
			for i := range t.Chunks {
				c := t.Chunks[0]
				c.At = t.Chunks[i].At
				t.Chunks[i] = c
			}
		}
		_, err := open.Image(d.Build())
		imagetest.WantFault(t, err, diskimage.Limit, "amplification")
	})
	t.Run("100 a run of 8 MiB", func(t *testing.T) {
		_, err := open.Image(imagetest.DMG{Size: 8 << 20, Chunk: 8 << 20, Chunks: map[int64][]byte{0: {1}}}.Build())
		imagetest.WantFault(t, err, diskimage.Limit, "more than 4194304")
	})
}

func TestBadList(t *testing.T) {
	imagetest.Volume(t)
	sandboxtest.Outside(t)
	replace := func(old, text string) func(string) string {
		return func(list string) string { return strings.Replace(list, old, text, 1) }
	}
	for _, tt := range []struct {
		name  string
		list  func(string) string
		class diskimage.Class
		word  string
	}{
		{"100 elements 33 deep", replace("<dict>", strings.Repeat("<dict>", 33)), diskimage.Limit, "deep"},
		{"100 elements a million deep", replace("<dict>", strings.Repeat("<a>", 1_000_000)), diskimage.Limit, "deep"},
		{"an element of 100000 attributes", replace("<dict>", "<dict "+strings.Repeat(`a="" `, 100_000)+">"), diskimage.Limit, "a tag"},
		{"no XML", func(string) string { return "bplist00 and so on" }, diskimage.Malformed, "no chunk holds sector 0"},
		{"XML that ends early", func(s string) string { return s[:len(s)-20] }, diskimage.Malformed, "XML"},
		{"UTF-16", replace("UTF-8", "UTF-16"), diskimage.Malformed, "UTF-8"},
		{"a document type of its own", replace(".dtd\">", ".dtd\" [<!ENTITY x \"y\">]>"), diskimage.Malformed, "document type"},
		{"an entity", replace("0x0050", "&x;"), diskimage.Malformed, "XML"},
		{"no base 64", replace("bWlz", "bWl*"), diskimage.Malformed, "base 64"},
		{"a table in pieces", replace("bWlz", "bWlz<!-- -->"), diskimage.Malformed, "does not begin"},
		{"a table after another", replace("\n</data>", "\n<x/>AAAA</data>"), diskimage.Malformed, "pieces"},
		{"another magic", replace("bWlz", "bWly"), diskimage.Malformed, "does not begin"},
		{"a short table", func(s string) string {
			i := strings.Index(s, "bWlz")
			return s[:i] + "bWlzaAAA" + s[strings.Index(s, "\n</data>"):]
		}, diskimage.Malformed, "does not begin"},
		{"another array", replace("blkx", "blky"), diskimage.Malformed, "no chunk holds sector 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := small()
			d.List = tt.list
			_, err := open.Image(d.Build())
			imagetest.WantFault(t, err, tt.class, tt.word)
		})
	}
	d := small()
	d.Change = func(t *imagetest.DMGTable) { t.Chunks = make([]imagetest.DMGChunk, 200_000) }
	limits := diskimage.Limits{MetadataBytes: 1 << 20}
	image := d.Build()
	_, err := open(bytes.NewReader(image), int64(len(image)), limits)
	imagetest.WantFault(t, err, diskimage.Limit, "property list")
}

// The contents of a compressed chunk must be as long as the chunk, and intact.
func TestBadChunks(t *testing.T) {
	sandboxtest.Outside(t)
	const size = 4096
	p := imagetest.Mixed(size, 5)
	longer := append(bytes.Clone(p), 1)
	bomb := make([]byte, 1<<20)
	for name, c := range codecs {
		if name == "raw" {
			continue
		}
		pack := imagetest.Zlib
		if c.tool != "" {
			pack = func(p []byte) []byte { return imagetest.Pack(t, p, c.tool) }
		}
		good := pack(p)
		flipped := bytes.Clone(good)
		flipped[len(flipped)-6] ^= 0x10
		for fault, tt := range map[string]struct {
			packed []byte
			word   string
		}{
			"100 bomb":   {pack(bomb), "invalid length"},
			"longer":     {pack(longer), "invalid length"},
			"shorter":    {pack(p[:size-1]), "invalid length"},
			"cut":        {good[:len(good)-9], "expanding"},
			"a bit":      {flipped, "expanding"},
			"other data": {bytes.Repeat([]byte("x"), 100), "expanding"},
		} {
			t.Run(fault+" "+name, func(t *testing.T) {
				d := imagetest.DMG{Size: size, Chunk: size, Type: c.kind, Chunks: map[int64][]byte{0: p}, Pack: func([]byte) []byte { return tt.packed }}
				if c.kind == 0 {
					d.Type = 0x80000005
				}
				disk, err := open.Image(d.Build())
				if err == nil {
					err = imagetest.Walk(disk)
				}
				imagetest.WantFault(t, err, diskimage.Malformed, tt.word)
			})
		}
	}
}

// A dictionary is not made larger than the chunk that needs it.
func TestDictionary(t *testing.T) {
	sandboxtest.Outside(t)
	p := imagetest.Mixed(4096, 6)
	d := imagetest.DMG{Size: 64 * 4096, Chunk: 4096, Type: 0x80000008, Chunks: map[int64][]byte{}}
	packed := imagetest.Pack(t, p, "xz", "--lzma2=preset=6,dict=128MiB")
	d.Pack = func([]byte) []byte { return packed }
	for i := range int64(64) {
		d.Chunks[i] = p
	}
	disk := open.Must(t, d.Build())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := imagetest.Walk(disk); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("%d bytes allocated for 64 chunks of 4 KiB", n)
	}
}

func TestOtherKinds(t *testing.T) {
	image := small().Build()
	for name, tt := range map[string]struct {
		object []byte
		class  diskimage.Class
		word   string
	}{
		"empty":                 {nil, diskimage.NotFormat, "empty"},
		"noise":                 {bytes.Repeat([]byte{0xff}, 5000), diskimage.NotFormat, "no trailer"},
		"3 a magic alone":       {[]byte("koly\x00\x00\x00\x04\x00\x00\x02\x00"), diskimage.Truncated, "trailer"},
		"4 a trailer that ends": {image[:len(image)-1], diskimage.Truncated, "trailer"},
		"encrypted":             {append([]byte("encrcdsa"), make([]byte, 5000)...), diskimage.Unsupported, "encrypted"},
		"encrypted, version 1":  {append(make([]byte, 5000), "cdsaencr"...), diskimage.Unsupported, "encrypted"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open.Image(tt.object)
			imagetest.WantFault(t, err, tt.class, tt.word)
		})
	}
}

func FuzzOpen(f *testing.F) {
	var seeds [][]byte
	for _, kind := range []uint32{0, 1} {
		d := small()
		d.Type, d.Tables, d.Zeroed = kind, 2, []int64{0}
		seeds = append(seeds, d.Build())
	}
	for _, tool := range []string{"bzip2", "xz"} {
		d := small()
		d.Type = map[string]uint32{"bzip2": 0x80000006, "xz": 0x80000008}[tool]
		d.Pack = func(p []byte) []byte { return imagetest.Pack(f, p, tool) }
		seeds = append(seeds, d.Build())
	}
	imagetest.Fuzz(f, func(image []byte, limits diskimage.Limits) (diskimage.Disk, error) {
		d, err := open(bytes.NewReader(image), int64(len(image)), limits)
		if err != nil {
			return nil, err
		}
		return d, nil
	}, seeds...)
}

// FuzzTable opens an image whose table of chunks may be anything.
func FuzzTable(f *testing.F) {
	const before, behind = "<data>\n", "\n</data>"
	table := func(list string) (start, end int) {
		return strings.Index(list, before) + len(before), strings.Index(list, behind)
	}
	d := small()
	var seed []byte
	d.List = func(list string) string {
		start, end := table(list)
		seed, _ = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(list[start:end]), "")) // it is
		return list
	}
	d.Build()
	imagetest.Fuzz(f, func(p []byte, limits diskimage.Limits) (diskimage.Disk, error) {
		d := small()
		d.List = func(list string) string {
			start, end := table(list)
			return list[:start] + base64.StdEncoding.EncodeToString(p) + list[end:]
		}
		image := d.Build()
		disk, err := open(bytes.NewReader(image), int64(len(image)), limits)
		if err != nil {
			return nil, err
		}
		return disk, nil
	}, seed)
}
