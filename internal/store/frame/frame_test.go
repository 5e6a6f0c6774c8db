package frame_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/store/frame"
)

func master(t testing.TB, b byte) *secret.MasterKey {
	t.Helper()
	k, err := secret.NewMasterKey(bytes.Repeat([]byte{b}, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func keys(t testing.TB, c frame.Cipher) *frame.Keys {
	t.Helper()
	k, err := frame.NewKeys(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRedacted(t *testing.T) {
	for _, k := range []any{master(t, 7), keys(t, frame.AES256GCM)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if got := fmt.Sprintf(verb, k); got != "[redacted]" {
				t.Errorf("%T with %s prints %s", k, verb, got)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	m, digest := master(t, 1), block.Sum([]byte("x"))
	for _, c := range []frame.Cipher{frame.None, frame.AES256GCM} {
		k := keys(t, c)
		wrapped := k.Wrap(m, "dom-1")
		got, err := frame.Unwrap(m, wrapped, "dom-1")
		if err != nil {
			t.Fatal(err)
		}
		if got.BlockID(digest) != k.BlockID(digest) || got.Cipher() != c {
			t.Errorf("cipher %d: keys changed", c)
		}
		f := frameOf("roundtrip")
		id := k.BlockID(block.Sum(f[:block.Size]))
		if err := k.Frame(f, id, make([]byte, frame.ScratchSize)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := got.Open(f, id); err != nil {
			t.Errorf("cipher %d: unwrapped keys: %v", c, err)
		}
		if _, err := frame.Unwrap(m, wrapped, "dom-2"); !errors.Is(err, secret.ErrWrapped) {
			t.Errorf("another domain: got %v, want ErrWrapped", err)
		}
	}
	purpose := []byte("diskport:domain-keys:d")
	for name, plain := range map[string][]byte{
		"empty": {}, "version": make([]byte, 34), "short": {1, 0, 3}, "no data key": append([]byte{1, 1}, make([]byte, 32)...),
		"cipher": append([]byte{1, 9}, make([]byte, 64)...),
	} {
		if _, err := frame.Unwrap(m, m.Wrap(plain, purpose), "d"); err == nil {
			t.Errorf("%s: keys were taken", name)
		}
	}
	if _, err := frame.NewKeys(9); err == nil {
		t.Error("cipher 9 was taken")
	}
}

func TestBlockID(t *testing.T) {
	a, b, d := keys(t, frame.None), keys(t, frame.None), block.Sum([]byte("x"))
	if first := a.BlockID(d); a.BlockID(d) != first {
		t.Error("one domain, one digest, two IDs")
	}
	if a.BlockID(d) == b.BlockID(d) || a.BlockID(d) == block.ID(d) {
		t.Error("IDs are linkable")
	}
	if n := testing.AllocsPerRun(100, func() { a.BlockID(d) }); n >= 1 && !raceEnabled {
		t.Errorf("an ID takes %v allocations", n)
	}
}

// frameOf returns a frame whose payload repeats s.
func frameOf(s string) []byte {
	f := make([]byte, frame.Size)
	copy(f, bytes.Repeat([]byte(s), block.Size/len(s)+1)[:block.Size])
	copy(f[block.Size:], bytes.Repeat([]byte{0xAA}, frame.TailSize)) // left by an earlier block
	return f
}

func TestFrame(t *testing.T) {
	scratch := make([]byte, frame.ScratchSize)
	for _, c := range []frame.Cipher{frame.None, frame.AES256GCM} {
		k, f := keys(t, c), frameOf("contents ")
		plain := bytes.Clone(f[:block.Size])
		digest := block.Sum(plain)
		id := k.BlockID(digest)
		if err := k.Frame(f, id, scratch); err != nil {
			t.Fatal(err)
		}
		if visible := bytes.Contains(f, []byte("contents contents")); visible != (c == frame.None) {
			t.Errorf("cipher %d: plaintext visible: %v", c, visible)
		}
		framed := bytes.Clone(f)
		payload, got, err := k.Open(f, id)
		if err != nil || got != digest || !bytes.Equal(payload, plain) {
			t.Errorf("cipher %d: opening gave %v, digest right: %v", c, err, got == digest)
		}
		if n := testing.AllocsPerRun(5, func() { _ = k.Frame(f, id, scratch) }); n >= 1 && !raceEnabled {
			t.Errorf("cipher %d: framing takes %v allocations", c, n)
		}
		checkRefused(t, k, framed, id)
	}
}

// checkRefused flips one bit in each field, in the payload and in the padding.
func checkRefused(t *testing.T, k *frame.Keys, framed []byte, id block.ID) {
	t.Helper()
	const tail = block.Size
	for _, at := range []int{0, 1000, tail - 1, tail, tail + 16, tail + 28, tail + 32, tail + 33, tail + 34, tail + 35,
		tail + 36, tail + 40, tail + 71, tail + 72, tail + 3000, tail + 4092, tail + 4095} {
		f := bytes.Clone(framed)
		f[at] ^= 0x10
		if _, _, err := k.Open(f, id); !errors.Is(err, frame.ErrCorrupt) {
			t.Errorf("byte %d of the frame flipped: got %v, want ErrCorrupt", at, err)
		}
	}
	if _, _, err := k.Open(bytes.Clone(framed), block.ID{1}); !errors.Is(err, frame.ErrCorrupt) {
		t.Errorf("another block's frame: got %v, want ErrCorrupt", err)
	}
	if _, _, err := k.Open(framed[:100], id); !errors.Is(err, frame.ErrCorrupt) {
		t.Errorf("a short frame: got %v, want ErrCorrupt", err)
	}
	if _, _, err := keys(t, frame.AES256GCM).Open(bytes.Clone(framed), id); !errors.Is(err, frame.ErrCorrupt) {
		t.Errorf("other keys: got %v, want ErrCorrupt", err)
	}
}

// TestUnknown changes fields that say what the frame is, under a right checksum.
func TestUnknown(t *testing.T) {
	k, f := keys(t, frame.None), frameOf("contents ")
	id := k.BlockID(block.Sum(f[:block.Size]))
	if err := k.Frame(f, id, nil); err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]int{"version": 32, "codec": 33, "cipher": 34, "zero": 35, "length": 36, "ID": 40} {
		g := bytes.Clone(f)
		g[block.Size+at]++
		crc := crc32.Checksum(g[block.Size:frame.Size-4], crc32.MakeTable(crc32.Castagnoli))
		binary.LittleEndian.PutUint32(g[frame.Size-4:], crc)
		if _, _, err := k.Open(g, id); !errors.Is(err, frame.ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
	}
}

func TestFrameRefuses(t *testing.T) {
	k := keys(t, frame.AES256GCM)
	if err := k.Frame(make([]byte, 100), block.ID{}, nil); err == nil {
		t.Error("a short frame was taken")
	}
	if err := k.Frame(make([]byte, frame.Size), block.ID{}, nil); err == nil {
		t.Error("no scratch was taken")
	}
}

func FuzzOpenFrame(f *testing.F) {
	k, err := frame.NewKeys(frame.None)
	if err != nil {
		f.Fatal(err)
	}
	good := frameOf("seed")
	id := k.BlockID(block.Sum(good[:block.Size]))
	if err := k.Frame(good, id, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(good[block.Size:], true)
	f.Add([]byte("DPFR"), false)
	f.Fuzz(func(t *testing.T, tail []byte, whole bool) {
		buf := append(bytes.Clone(good[:block.Size]), tail...)
		if !whole {
			buf = tail
		}
		if _, _, err := k.Open(buf, id); err == nil && !bytes.Equal(tail, good[block.Size:]) {
			if !bytes.Equal(tail[28:], good[block.Size+28:]) {
				t.Error("a tail that was not written opened")
			}
		}
	})
}

func BenchmarkFrame(b *testing.B) {
	for _, c := range []frame.Cipher{frame.None, frame.AES256GCM} {
		b.Run(fmt.Sprintf("cipher=%d", c), func(b *testing.B) {
			k, f, scratch := keys(b, c), frameOf("bench"), make([]byte, frame.ScratchSize)
			b.SetBytes(block.Size)
			for b.Loop() {
				id := k.BlockID(block.Sum(f[:block.Size]))
				if err := k.Frame(f, id, scratch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
