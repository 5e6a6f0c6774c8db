package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/diskport/diskport/internal/block"

	"pgregory.net/rapid"
)

func testKey(t testing.TB) *PageKey {
	t.Helper()
	k, err := NewPageKey(bytes.Repeat([]byte{3}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestPageKey(t *testing.T) {
	if _, err := NewPageKey(make([]byte, 31)); err == nil {
		t.Error("a key of 31 bytes was taken")
	}
	if got := fmt.Sprintf("%v %+v %#v %x", testKey(t), testKey(t), testKey(t), testKey(t)); got != "[redacted] [redacted] [redacted] [redacted]" {
		t.Errorf("prints %s", got)
	}
}

// TestPageRoundTrip compares a page with the list it was made of.
func TestPageRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.SliceOfNDistinct(rapid.IntRange(0, PageBlocks-1), 1, 80, func(i int) int { return i }).Draw(t, "set")
		in := map[int]bool{}
		for _, i := range set {
			in[i] = true
		}
		var entries []Block
		for i := range PageBlocks {
			if in[i] {
				entries = append(entries, Block{7*PageBlocks + int64(i), block.ID{byte(i), byte(i >> 8), 1}})
			}
		}
		p, err := parsePage(appendPage(nil, 7*PageBlocks, entries))
		if err != nil {
			t.Fatal(err)
		}
		for i := range PageBlocks {
			rank, ok := p.find(i)
			if ok != in[i] || ok && p.ids[rank] != (block.ID{byte(i), byte(i >> 8), 1}) {
				t.Fatalf("block %d: found %v at %d, want %v", i, ok, rank, in[i])
			}
		}
		from := rapid.IntRange(0, PageBlocks).Draw(t, "from")
		n := 0
		for i, rank := range p.from(from) {
			if r, ok := p.find(i); !ok || r != rank || i < from {
				t.Fatalf("block %d at %d", i, rank)
			}
			n++
		}
		for i := range from {
			if in[i] {
				n++
			}
		}
		if last := int(entries[len(entries)-1].Index - 7*PageBlocks); n != len(entries) || p.last() != last {
			t.Fatalf("%d of %d blocks, last %d, want %d", n, len(entries), p.last(), last)
		}
	})
}

func TestParsePageRefuses(t *testing.T) {
	good := appendPage(nil, 0, []Block{{Index: 3}, {Index: 9}})
	if _, err := parsePage(good); err != nil {
		t.Fatal(err)
	}
	set := func(at int, v byte) []byte {
		p := bytes.Clone(good)
		p[at] = v
		return p
	}
	for name, p := range map[string][]byte{
		"empty": {}, "magic": set(0, 'X'), "version": set(4, 2), "count": set(6, 1), "bitmap": set(8, 0),
		"short": good[:len(good)-1], "long": append(bytes.Clone(good), 0), "no blocks": make([]byte, 136),
		"zero count": append([]byte("DPPG\x01\x00"), make([]byte, 130)...),
	} {
		if _, err := parsePage(p); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
	}
}

func testRoot() *root {
	return &root{snapshot: "snap-0123456789abcdef0", domain: "dom-0123456789abcdef0", volume: 8192, virtual: 4711, blocks: 1030, pages: []rootPage{
		{index: 1, id: PageID{1}, blocks: 1024}, {index: 7, id: PageID{2}, blocks: 6},
	}}
}

func TestRootRoundTrip(t *testing.T) {
	want := testRoot()
	b := want.encode(testKey(t))
	got, err := parseRoot(b, testKey(t), 8192)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if n, err := rootSize(b[:rootHead], 8192); err != nil || n != len(b) {
		t.Errorf("size is %d, %v, want %d", n, err, len(b))
	}
}

// TestParseRootRefuses has roots whose MAC is right and whose contents are wrong.
func TestParseRootRefuses(t *testing.T) {
	k := testKey(t)
	for name, change := range map[string]func(*root){
		"volume":       func(r *root) { r.volume = 4096 },
		"larger disk":  func(r *root) { r.virtual = 8192*block.Size + 1 },
		"out of order": func(r *root) { r.pages[0].index = 7 },
		"past the end": func(r *root) { r.pages[1].index = 8 },
		"negative":     func(r *root) { r.pages[0].index = -1 },
		"sum":          func(r *root) { r.blocks-- },
		"empty page":   func(r *root) { r.pages[1].blocks, r.blocks = 0, 1024 },
		"full page":    func(r *root) { r.pages[0].blocks, r.blocks = 1025, 1031 },
		"long name":    func(r *root) { r.domain = string(make([]byte, 65)) },
		"many pages":   func(r *root) { r.pages = make([]rootPage, 9) },
	} {
		r := testRoot()
		change(r)
		if _, err := parseRoot(r.encode(k), k, 8192); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
	}
	b := testRoot().encode(k)
	for name, p := range map[string][]byte{"empty": {}, "short": b[:len(b)-1], "long": append(bytes.Clone(b), 0), "version": append([]byte("DPRT\x03"), b[5:]...), "version 1": append([]byte("DPRT\x01"), b[5:]...)} {
		if _, err := parseRoot(p, k, 8192); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
	}
}

func FuzzParsePage(f *testing.F) {
	f.Add(appendPage(nil, 0, []Block{{Index: 0}, {Index: 64}, {Index: 1023}}))
	f.Add([]byte("DPPG\x01\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePage(b)
		if err != nil {
			return
		}
		var entries []Block
		for i, rank := range p.from(0) {
			entries = append(entries, Block{int64(i), p.ids[rank]})
		}
		if got := appendPage(nil, 0, entries); !bytes.Equal(got, b) {
			t.Errorf("a page of %d bytes becomes another one", len(b))
		}
	})
}

func FuzzParseRoot(f *testing.F) {
	k := testKey(f)
	b := testRoot().encode(k)
	f.Add(b[:len(b)-macSize], int64(8192))
	f.Add([]byte("DPRT\x01\x00\x00\x00"), int64(1))
	f.Fuzz(func(t *testing.T, b []byte, volume int64) {
		mac := k.mac(b)
		b = append(bytes.Clone(b), mac[:]...)
		r, err := parseRoot(b, k, volume)
		if err == nil && !bytes.Equal(r.encode(k), b) {
			t.Errorf("a root of %d bytes becomes another one", len(b))
		}
	})
}
