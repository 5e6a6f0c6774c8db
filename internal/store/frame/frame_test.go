package frame_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

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
		if _, _, err := got.Open(f, nil, id); err != nil {
			t.Errorf("cipher %d: unwrapped keys: %v", c, err)
		}
		if _, err := frame.Unwrap(m, wrapped, "dom-2"); !errors.Is(err, secret.ErrWrapped) {
			t.Errorf("another domain: got %v, want ErrWrapped", err)
		}
	}
	purpose := []byte("diskport:domain-keys:d")
	for name, plain := range map[string][]byte{
		"empty": {}, "version": make([]byte, 34), "short": {1, 0, 3}, "no data key": append([]byte{1, 1}, make([]byte, 32)...),
		"cipher": append([]byte{1, 9}, make([]byte, 64)...), "half a key": append([]byte{1, 1}, make([]byte, 80)...),
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
	copy(f[block.Size:], bytes.Repeat([]byte{0xAA}, frame.Unit)) // left by an earlier block
	return f
}

// What is summed beforehand makes the same frame, and the digest is that of the block.
func TestFrameSummed(t *testing.T) {
	scratch := make([]byte, frame.ScratchSize)
	for _, c := range []frame.Cipher{frame.None, frame.AES256GCM} {
		k, f := keys(t, c), frameOf("contents ")
		want := bytes.Clone(f)
		sums := k.Sum(f[:block.Size])
		id := k.BlockID(sums.Digest)
		if err := errors.Join(k.FrameSummed(f, id, sums, scratch), k.Frame(want, id, scratch)); err != nil {
			t.Fatal(err)
		}
		if sums.Digest != block.Sum(frameOf("contents ")[:block.Size]) || c == frame.None && !bytes.Equal(f, want) {
			t.Errorf("cipher %d: another digest or frame", c)
		}
		if _, err := frame.Inspect(f); err != nil {
			t.Errorf("cipher %d: %v", c, err)
		}
	}
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
		payload, got, err := k.Open(f, nil, id)
		if err != nil || got != digest || !bytes.Equal(payload, plain) {
			t.Errorf("cipher %d: opening gave %v, digest right: %v", c, err, got == digest)
		}
		if n := testing.AllocsPerRun(5, func() { _ = k.Frame(f, id, scratch) }); n >= 1 && !raceEnabled {
			t.Errorf("cipher %d: framing takes %v allocations", c, n)
		}
		if info, err := frame.Inspect(framed); err != nil || info != (frame.Info{ID: id}) {
			t.Errorf("cipher %d: inspecting gave %+v, %v", c, info, err)
		}
		checkRefused(t, k, framed, id)
	}
}

// checkRefused flips one bit in each field, in the payload and in the zeros.
func checkRefused(t *testing.T, k *frame.Keys, framed []byte, id block.ID) {
	t.Helper()
	tail, plain := len(framed)-frame.TailSize, make([]byte, block.Size)
	for _, at := range []int{0, 1000, tail - 1, tail, tail + 4, tail + 5, tail + 6, tail + 7,
		tail + 8, tail + 11, tail + 12, tail + 16, tail + 28, tail + 59, tail + 60, tail + 64, tail + 67} {
		f := bytes.Clone(framed)
		f[at] ^= 0x10
		if _, err := frame.Inspect(f); !errors.Is(err, frame.ErrCorrupt) {
			t.Errorf("byte %d of the frame flipped, inspected: got %v, want ErrCorrupt", at, err)
		}
		if _, _, err := k.Open(f, plain, id); !errors.Is(err, frame.ErrCorrupt) {
			t.Errorf("byte %d of the frame flipped: got %v, want ErrCorrupt", at, err)
		}
	}
	if _, _, err := k.Open(bytes.Clone(framed), plain, block.ID{1}); !errors.Is(err, frame.ErrCorrupt) {
		t.Errorf("another block's frame: got %v, want ErrCorrupt", err)
	}
	for _, n := range []int{0, 100, len(framed) / 2, len(framed) - frame.Unit, len(framed) - 1} {
		if _, _, err := k.Open(bytes.Clone(framed[:n]), plain, id); !errors.Is(err, frame.ErrCorrupt) {
			t.Errorf("%d bytes of a frame: got %v, want ErrCorrupt", n, err)
		}
	}
	longer := append(make([]byte, frame.Unit), framed...)
	if _, _, err := k.Open(longer, plain, id); !errors.Is(err, frame.ErrCorrupt) {
		t.Errorf("a longer frame: got %v, want ErrCorrupt", err)
	}
	if _, _, err := keys(t, frame.AES256GCM).Open(bytes.Clone(framed), plain, id); !errors.Is(err, frame.ErrCorrupt) {
		t.Errorf("other keys: got %v, want ErrCorrupt", err)
	}
}

// compressor returns a compressor for the test.
func compressor(t testing.TB) *frame.Compressor {
	t.Helper()
	c, err := frame.NewCompressor(1)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCompressedFrame(t *testing.T) {
	comp, scratch, buf := compressor(t), make([]byte, frame.ScratchSize), make([]byte, frame.Size)
	noise := make([]byte, block.Size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	seven := append(bytes.Clone(noise[:block.Size/8*7]), make([]byte, block.Size/8)...) // shrinks by an eighth, but for what codec and tail take
	most := append(bytes.Clone(noise[:block.Size/8*6]), make([]byte, block.Size/4)...)
	for _, c := range []struct {
		name  string
		plain []byte
		size  int // of the frame; 0: not compressed
	}{
		{"zeros", make([]byte, block.Size), frame.Unit},
		{"text", frameOf("contents ")[:block.Size], frame.Unit},
		{"three quarters of noise", most, block.Size/8*6 + frame.Unit},
		{"seven eighths of noise", seven, 0},
		{"noise", noise, 0},
	} {
		for _, cipher := range []frame.Cipher{frame.None, frame.AES256GCM} {
			k, digest := keys(t, cipher), block.Sum(c.plain)
			id := k.BlockID(digest)
			framed, err := comp.Frame(k, buf, c.plain, id, scratch)
			if err != nil || len(framed) != c.size {
				t.Fatalf("%s, cipher %d: %d bytes, %v, want %d", c.name, cipher, len(framed), err, c.size)
			}
			if framed == nil {
				continue
			}
			if info, err := frame.Inspect(framed); err != nil || info != (frame.Info{ID: id, Compressed: true}) {
				t.Errorf("%s, cipher %d: inspecting gave %+v, %v", c.name, cipher, info, err)
			}
			plain := make([]byte, block.Size)
			payload, got, err := k.Open(bytes.Clone(framed), plain, id)
			if err != nil || got != digest || !bytes.Equal(payload, c.plain) || &payload[0] != &plain[0] {
				t.Errorf("%s, cipher %d: opening gave %v", c.name, cipher, err)
			}
			if _, _, err := k.Open(bytes.Clone(framed), nil, id); err == nil || errors.Is(err, frame.ErrCorrupt) {
				t.Errorf("%s, cipher %d: without memory: %v, which is no damage", c.name, cipher, err)
			}
			checkRefused(t, k, bytes.Clone(framed), id)
		}
	}
	if _, err := comp.Frame(keys(t, frame.None), buf, noise[1:], block.ID{}, scratch); err == nil {
		t.Error("a short block was taken")
	}
}

// reframed changes a frame's tail and puts its checksum right again.
func reframed(framed []byte, payload int, change func(tail []byte)) []byte {
	f := bytes.Clone(framed)
	tail := f[len(f)-frame.TailSize:]
	change(tail)
	table := crc32.MakeTable(crc32.Castagnoli)
	binary.LittleEndian.PutUint32(tail[60:], crc32.Checksum(f[:payload], table))
	binary.LittleEndian.PutUint32(tail[64:], crc32.Checksum(f[payload:len(f)-4], table))
	return f
}

// TestUnknown changes fields that say what the frame is, under right checksums.
func TestUnknown(t *testing.T) {
	k, f := keys(t, frame.None), frameOf("contents ")
	id := k.BlockID(block.Sum(f[:block.Size]))
	if err := k.Frame(f, id, nil); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		at   int
		want error
	}{
		"version": {4, frame.ErrUnknown}, "codec": {5, frame.ErrCorrupt}, "cipher": {6, frame.ErrCorrupt}, "zero": {7, frame.ErrCorrupt},
		"key": {12, frame.ErrCorrupt}, "ID": {28, frame.ErrCorrupt},
	} {
		g := reframed(f, block.Size, func(tail []byte) { tail[c.at]++ })
		if _, _, err := k.Open(g, nil, id); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	for name, at := range map[string]int{"codec": 5, "cipher": 6} {
		g := reframed(f, block.Size, func(tail []byte) { tail[at] = 9 })
		if _, _, err := k.Open(g, nil, id); !errors.Is(err, frame.ErrUnknown) {
			t.Errorf("%s 9: got %v, want ErrUnknown", name, err)
		}
	}
	enc, e := keys(t, frame.AES256GCM), frameOf("contents ")
	id2 := enc.BlockID(block.Sum(e[:block.Size]))
	if err := enc.Frame(e, id2, make([]byte, frame.ScratchSize)); err != nil {
		t.Fatal(err)
	}
	e = reframed(e, block.Size+16, func(tail []byte) { tail[12]++ })
	if _, _, err := enc.Open(e, nil, id2); !errors.Is(err, frame.ErrUnknown) || errors.Is(err, frame.ErrCorrupt) {
		t.Errorf("another data key: got %v, want ErrUnknown", err)
	}
	old := make([]byte, frame.Size)
	copy(old[block.Size+28:], "DPFR\x01")
	if _, _, err := k.Open(old, nil, id); !errors.Is(err, frame.ErrUnknown) || !strings.Contains(err.Error(), "version 1") {
		t.Errorf("version 1: got %v, want a refusal by name", err)
	}
}

// TestBombs opens frames whose checksums are right and whose payload decompresses to
// more, or less, than a block.
func TestBombs(t *testing.T) {
	k := keys(t, frame.None)
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	var streamed bytes.Buffer // says no length in front
	stream, err := zstd.NewWriter(&streamed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Write(make([]byte, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	block512 := enc.EncodeAll(make([]byte, block.Size), nil)
	for name, payload := range map[string][]byte{
		"64 MiB":           enc.EncodeAll(make([]byte, 64<<20), nil),
		"64 MiB streamed":  streamed.Bytes(),
		"a byte too many":  enc.EncodeAll(make([]byte, block.Size+1), nil),
		"a byte too few":   enc.EncodeAll(make([]byte, block.Size-1), nil),
		"two blocks":       append(bytes.Clone(block512), block512...),
		"nothing":          enc.EncodeAll(nil, nil),
		"not zstd":         []byte("not zstd"),
		"another block":    block512,
		"cut":              block512[:len(block512)-1],
		"a window of 1GiB": {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x01, 0x00, 0x00},
	} {
		size := (len(payload) + frame.TailSize + frame.Unit - 1) / frame.Unit * frame.Unit
		f := make([]byte, size)
		copy(f, payload)
		id := k.BlockID(block.Digest{1})
		f = reframed(f, len(payload), func(tail []byte) {
			copy(tail, "DPFR\x02\x01")
			binary.LittleEndian.PutUint32(tail[8:], uint32(len(payload)))
			copy(tail[28:], id[:])
		})
		plain := make([]byte, block.Size)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, _, err := k.Open(f, plain, id); !errors.Is(err, frame.ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
			t.Errorf("%s: opening took %d bytes", name, took)
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
	digest := block.Sum(good[:block.Size])
	id := k.BlockID(digest)
	short, err := compressor(f).Frame(k, make([]byte, frame.Size), good[:block.Size], id, make([]byte, frame.ScratchSize))
	if err != nil {
		f.Fatal(err)
	}
	if err := k.Frame(good, id, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(good[block.Size:], 128, true)
	f.Add(short, 0, true)
	f.Add([]byte("DPFR"), 0, false)
	f.Fuzz(func(t *testing.T, end []byte, units int, mend bool) {
		// The payload of an uncompressed frame is left out, so that inputs stay small.
		buf := append(bytes.Clone(good[:min(max(units, 0), 128)*frame.Unit]), end...)
		if mend && len(buf) >= frame.TailSize { // so that what is behind the checksums is reached
			if n := int64(binary.LittleEndian.Uint32(buf[len(buf)-frame.TailSize+8:])); n <= int64(len(buf)-frame.TailSize) {
				buf = reframed(buf, int(n), func([]byte) {})
			}
		}
		_, _ = frame.Inspect(buf)
		payload, got, err := k.Open(buf, make([]byte, block.Size), id)
		switch {
		case err == nil && (got != digest || len(payload) != block.Size):
			t.Errorf("%d bytes of another block opened", len(payload))
		case err != nil && !errors.Is(err, frame.ErrCorrupt) && !errors.Is(err, frame.ErrUnknown):
			t.Errorf("got %v", err)
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

func BenchmarkOpen(b *testing.B) {
	f := frameOf("bench")
	src := rand.NewChaCha8([32]byte{1})
	for at := 0; at < block.Size; at += 48 { // records of which a quarter is noise
		_, _ = src.Read(f[at+8 : at+20])
	}
	for _, c := range []frame.Cipher{frame.None, frame.AES256GCM} {
		b.Run(fmt.Sprintf("compressed/cipher=%d", c), func(b *testing.B) {
			k, scratch := keys(b, c), make([]byte, frame.ScratchSize)
			id := k.BlockID(block.Sum(f[:block.Size]))
			framed, err := compressor(b).Frame(k, make([]byte, frame.Size), f[:block.Size], id, scratch)
			if err != nil || framed == nil {
				b.Fatal(len(framed), err)
			}
			b.SetBytes(block.Size)
			for b.Loop() {
				copy(scratch[block.Size:], framed)
				if _, _, err := k.Open(scratch[block.Size:block.Size+len(framed)], scratch[:block.Size], id); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(framed))/block.Size, "ratio")
		})
	}
}
