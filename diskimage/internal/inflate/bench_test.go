package inflate

import (
	"bytes"
	"compress/zlib"
	stdadler "hash/adler32"
	"io"
	"sort"
	"testing"

	kzlib "github.com/klauspost/compress/zlib"
)

const grain = 64 << 10

// benchGrains compresses the first 2 MiB of a shape grain by grain.
func benchGrains(b *testing.B, p []byte, level int) (zs [][]byte) {
	for i := 0; i < len(p); i += grain {
		zs = append(zs, append(zlibbed(b, p[i:i+grain], level), make([]byte, 64)...))
	}
	return zs
}

// BenchmarkInflate prints MB/s of output for each shape, and for the libraries
// that this package stands in for.
func BenchmarkInflate(b *testing.B) {
	m := shapes(b, 32*grain)
	var names []string
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		zs := benchGrains(b, m[name], 6)
		dst := make([]byte, grain)
		run := func(lib string, f func(src []byte) error) {
			b.Run(name+"/"+lib, func(b *testing.B) {
				b.SetBytes(int64(len(zs) * grain))
				for b.Loop() {
					for _, z := range zs {
						if err := f(z); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
		var d Decoder
		run("this", func(src []byte) error {
			_, _, err := d.InflateZlib(dst, src)
			return err
		})
		in := bytes.NewReader(zs[0])
		std, _ := zlib.NewReader(in)
		run("std", func(src []byte) error {
			in.Reset(src)
			if err := std.(zlib.Resetter).Reset(in, nil); err != nil {
				return err
			}
			_, err := io.ReadFull(std, dst)
			return err
		})
		in.Reset(zs[0])
		kp, _ := kzlib.NewReader(in)
		run("klauspost", func(src []byte) error {
			in.Reset(src)
			if err := kp.(kzlib.Resetter).Reset(in, nil); err != nil {
				return err
			}
			_, err := io.ReadFull(kp, dst)
			return err
		})
	}
}

func BenchmarkAdler32(b *testing.B) {
	p := make([]byte, grain)
	var sink uint32
	for name, f := range map[string]func([]byte) uint32{"this": adler32, "std": stdadler.Checksum} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(grain)
			for b.Loop() {
				sink += f(p)
			}
		})
	}
}
