package vmdk_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// BenchmarkDecode expands all grains of a stream of 256 MiB through Runs and
// Decode, in one goroutine; MB/s are of the disk. Of each 8 MiB of contents, 3
// are machine code, 3 source text, 1 random, 1 zeros.
func BenchmarkDecode(b *testing.B) {
	image := stream(b, benchContents(b, 256<<20))
	d := mustOpen(b, image)
	dst := make([]byte, 64<<10)
	b.SetBytes(d.Size())
	for b.Loop() {
		for r, err := range d.Runs(0, d.Size()) {
			if err != nil {
				b.Fatal(err)
			}
			if !r.Coded {
				clear(dst[:min(r.Len, int64(len(dst)))])
				continue
			}
			if err := d.Decode(r, dst[:r.Len], image[r.SrcOff:r.SrcOff+r.SrcLen]); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(len(image))/float64(d.Size()), "stored/disk")
}

func benchContents(b *testing.B, n int) []byte {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	code, err := os.ReadFile(exe)
	if err != nil {
		b.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(runtime.GOROOT(), "src/*/*.go"))
	if err != nil {
		b.Fatal(err)
	}
	var text []byte
	for _, name := range names {
		s, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		text = append(text, s...)
	}
	var p bytes.Buffer
	p.Grow(n + 1<<20)
	rnd := rand.NewChaCha8([32]byte{1})
	random, zeros := make([]byte, 1<<20), make([]byte, 1<<20)
	for i := 0; p.Len() < n; i++ {
		at := i << 20
		switch i % 8 {
		case 0, 2, 4:
			p.Write(code[at%(len(code)-1<<20):][:1<<20])
		case 1, 3, 5:
			p.Write(text[at%(len(text)-1<<20):][:1<<20])
		case 6:
			rnd.Read(random)
			p.Write(random)
		case 7:
			p.Write(zeros)
		}
	}
	return p.Bytes()[:n]
}
