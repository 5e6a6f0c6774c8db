package inflate

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"fmt"
	stdadler "hash/adler32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage/imagetest"
)

// shapes returns n bytes of each kind of content that disks hold.
func shapes(t testing.TB, n int) map[string][]byte {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	m := map[string][]byte{
		"binary": machineCode(t, n),
		"text":   sourceText(t, n),
		"log":    logLines(rnd, n),
		"zero":   make([]byte, n),
		"random": make([]byte, n),
		"table":  make([]byte, n),
	}
	for i := range m["random"] {
		m["random"][i] = byte(rnd.Uint32())
	}
	for i := 0; i < n; i += 4099 {
		m["zero"][i] = byte(i)
	}
	for i := range m["table"] { // records that repeat at short distances
		m["table"][i] = byte(i%12) ^ byte(rnd.Uint32N(40)/39)
	}
	return m
}

func machineCode(t testing.TB, n int) []byte {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, n)
	if _, err := f.ReadAt(b, 64<<10); err != nil {
		t.Fatal(err)
	}
	return b
}

func sourceText(t testing.TB, n int) []byte {
	names, err := filepath.Glob(filepath.Join(runtime.GOROOT(), "src/*/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for len(b) < n {
		if len(names) == 0 {
			t.Fatal("not enough source text in GOROOT")
		}
		s, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		b, names = append(b, s...), names[1:]
	}
	return b[:n]
}

func logLines(rnd *rand.Rand, n int) []byte {
	paths := []string{"/index.html", "/api/v1/items", "/static/app.js", "/login", "/favicon.ico"}
	var b bytes.Buffer
	for s := 0; b.Len() < n; s += rnd.IntN(3) {
		fmt.Fprintf(&b, "10.0.%d.%d - - [12/Mar/2024:%02d:%02d:%02d +0000] \"GET %s HTTP/1.1\" %d %d\n",
			rnd.IntN(4), rnd.IntN(256), s/3600%24, s/60%60, s%60,
			paths[rnd.IntN(len(paths))], 200+rnd.IntN(3)*102, rnd.IntN(100000))
	}
	return b.Bytes()[:n]
}

var levels = []int{flate.HuffmanOnly, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}

func deflate(t testing.TB, p []byte, level int) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(p)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zlibbed(t testing.TB, p []byte, level int) []byte {
	var b bytes.Buffer
	w, err := zlib.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(p)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestInflate(t *testing.T) {
	imagetest.Volume(t)
	var d Decoder
	for name, p := range shapes(t, 100_000) {
		for _, level := range levels {
			z := deflate(t, p, level)
			for _, tail := range []int{0, 7, 600} {
				got := make([]byte, len(p))
				src := append(bytes.Clone(z), make([]byte, tail)...)
				n, used, err := d.Inflate(got, src)
				if err != nil || n != len(p) || used != len(z) || !bytes.Equal(got, p) {
					t.Fatalf("%s level %d tail %d: n %d of %d, used %d of %d, equal %v: %v",
						name, level, tail, n, len(p), used, len(z), bytes.Equal(got, p), err)
				}
			}
		}
	}
}

// reference decodes src with compress/flate, at most max bytes and one more.
func reference(src []byte, max int) ([]byte, error) {
	return io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(src)), int64(max)+1))
}

// compare checks Inflate against compress/flate on any input. The room is what
// the reference yields, one byte less, and one more.
func compare(t *testing.T, d *Decoder, src []byte) {
	t.Helper()
	const max = 1 << 20
	want, wantErr := reference(src, max)
	if len(want) > max {
		want, wantErr = want[:max], ErrLong
	}
	check := func(room int, ok bool, faults ...error) {
		t.Helper()
		const guard = 0xa5
		buf := bytes.Repeat([]byte{guard}, room+64)
		n, used, err := d.Inflate(buf[:room:room], src)
		if (err == nil) != ok {
			t.Fatalf("room %d of %d: error %v, want success %v (reference: %v)", room, len(want), err, ok, wantErr)
		}
		if err != nil && !isOneOf(err, faults) {
			t.Fatalf("room %d of %d: error %v, want one of %v (reference: %v)", room, len(want), err, faults, wantErr)
		}
		// The reference needs as many bits as an end-of-block code has before each
		// symbol, so in a truncated stream it may stop a few symbols earlier.
		common := min(n, len(want))
		if used < 0 || used > len(src) || n > room || !bytes.Equal(buf[:common], want[:common]) {
			t.Fatalf("room %d: n %d used %d: not the reference's bytes", room, n, used)
		}
		if ok && n != len(want) {
			t.Fatalf("room %d: n = %d, want %d", room, n, len(want))
		}
		if bytes.Count(buf[room:], []byte{guard}) != 64 {
			t.Fatalf("room %d: wrote past dst", room)
		}
	}
	if wantErr != nil {
		check(len(want), false, ErrCorrupt, ErrTruncated, ErrLong)
		check(len(want)+1000, false, ErrCorrupt, ErrTruncated)
		return
	}
	check(len(want), true)
	check(len(want)+1, false, ErrShort)
	check(len(want)+1000, false, ErrShort)
	if len(want) > 0 {
		check(len(want)-1, false, ErrLong)
	}
}

func isOneOf(err error, list []error) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// TestDamage cuts streams short and flips bits in them.
func TestDamage(t *testing.T) {
	imagetest.Volume(t)
	var d Decoder
	rnd := rand.New(rand.NewPCG(3, 4))
	for name, p := range shapes(t, 5000) {
		for _, level := range levels {
			z := deflate(t, p, level)
			t.Run(fmt.Sprint(name, level), func(t *testing.T) {
				compare(t, &d, z)
				for range 30 {
					compare(t, &d, z[:rnd.IntN(len(z))])
					bad := bytes.Clone(z)
					head := min(len(z), 100)
					if rnd.IntN(2) == 0 {
						head = len(z)
					}
					for range 1 + rnd.IntN(2) {
						bad[rnd.IntN(head)] ^= 1 << rnd.IntN(8)
					}
					compare(t, &d, bad)
				}
			})
		}
	}
}

// TestNoise decodes random bytes behind each kind of block header.
func TestNoise(t *testing.T) {
	var d Decoder
	rnd := rand.New(rand.NewPCG(5, 6))
	for i := range 3000 {
		src := make([]byte, 1+rnd.IntN(120))
		for j := range src {
			src[j] = byte(rnd.Uint32())
		}
		src[0] = src[0]&^7 | byte(i&7)
		compare(t, &d, src)
	}
}

func FuzzInflate(f *testing.F) {
	for _, p := range shapes(f, 2000) {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6} {
			f.Add(deflate(f, p, level))
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var d Decoder
		compare(t, &d, src)
	})
}

func TestZlib(t *testing.T) {
	p := []byte(strings.Repeat("what a grain holds ", 300))
	good := zlibbed(t, p, 6)
	edit := func(f func(b []byte)) []byte {
		b := bytes.Clone(good)
		f(b)
		return b
	}
	resum := func(b []byte) { b[1] = b[1]&^31 | byte(31-(uint(b[0])<<8|uint(b[1]&^31))%31) }
	tests := []struct {
		name string
		src  []byte
		room int
		want error
	}{
		{"good", good, len(p), nil},
		{"trailing bytes", append(bytes.Clone(good), 1, 2, 3), len(p), nil},
		{"stored", zlibbed(t, p, 0), len(p), nil},
		{"empty", zlibbed(t, nil, 6), 0, nil},
		{"short", good, len(p) + 1, ErrShort},
		{"long", good, len(p) - 1, ErrLong},
		{"no room", good, 0, ErrLong},
		{"no input", nil, len(p), ErrTruncated},
		{"half a header", good[:1], len(p), ErrTruncated},
		{"no checksum", good[:len(good)-1], len(p), ErrTruncated},
		{"wrong checksum", edit(func(b []byte) { b[len(b)-1]++ }), len(p), ErrChecksum},
		{"method", edit(func(b []byte) { b[0]++; resum(b) }), len(p), ErrHeader},
		{"window", edit(func(b []byte) { b[0] += 16; resum(b) }), len(p), ErrHeader},
		{"header check", edit(func(b []byte) { b[1]++ }), len(p), ErrHeader},
		{"dictionary", edit(func(b []byte) { b[1] |= 0x20; resum(b) }), len(p), ErrDictionary},
	}
	var d Decoder
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dst := make([]byte, tt.room)
			n, used, err := d.InflateZlib(dst, tt.src)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if err == nil && (n != tt.room || !bytes.Equal(dst, p[:n]) || used > len(tt.src)) {
				t.Errorf("n %d used %d, or other bytes", n, used)
			}
		})
	}
}

func TestAdler32(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	p := bytes.Repeat([]byte{0xff}, 70_000)
	for _, n := range []int{0, 1, 7, 8, 175, 176, 177, 352, 5552, 65536, 70_000} {
		if got, want := adler32(p[:n]), stdadler.Checksum(p[:n]); got != want {
			t.Errorf("%d bytes of ff: %08x, want %08x", n, got, want)
		}
	}
	for range 300 {
		q := p[:rnd.IntN(3000)]
		for i := range q {
			q[i] = byte(rnd.Uint32())
		}
		if got, want := adler32(q), stdadler.Checksum(q); got != want {
			t.Fatalf("%d bytes: %08x, want %08x", len(q), got, want)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	p := sourceText(t, 64<<10)
	z := zlibbed(t, p, 6)
	dst := make([]byte, len(p))
	var d Decoder
	if n := testing.AllocsPerRun(20, func() { _, _, _ = d.InflateZlib(dst, z) }); n != 0 {
		t.Errorf("%v allocations a grain, want 0", n)
	}
}
