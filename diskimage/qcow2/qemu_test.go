package qcow2_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
)

// qemu-img's images, of every option that it has for what it writes, hold what
// was put in: 64 MiB of data, and holes, of an odd size.
func TestQemuImg(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	want := imagetest.Mixed(104<<20+3*512, 11)
	clear(want[10<<20 : 17<<20])
	if n := imagetest.DataBytes(want); n < 64<<20 {
		t.Fatalf("%d bytes of data, want 64 MiB", n)
	}
	source := imagetest.NewQemuSource(t, want)
	// qemu-img compresses slowly, and small clusters most: the fewer MiB.
	medium, small := want[:24<<20+512], want[:4<<20+512]
	mediumSource, smallSource := imagetest.NewQemuSource(t, medium), imagetest.NewQemuSource(t, small)
	variants := []string{
		"-o compat=0.10", "-o compat=0.10 -c", "-o lazy_refcounts=on", "-o refcount_bits=1", "-o refcount_bits=64", "-o compat=0.10,preallocation=metadata",
		"-o preallocation=metadata", "-o preallocation=falloc", "-o preallocation=full", "-S 0",
		"-c -o cluster_size=16k", "-c", "-c -o cluster_size=2M",
		"-c -o compression_type=zstd,cluster_size=16k", "-c -o compression_type=zstd", "-c -o compression_type=zstd,cluster_size=2M",
		"-o extended_l2=on,cluster_size=16k", "-o extended_l2=on", "-o extended_l2=on,cluster_size=2M",
		"-o extended_l2=on,preallocation=metadata", "-c -o extended_l2=on,compression_type=zstd",
	}
	for bits := 9; bits <= 21; bits++ {
		variants = append(variants, fmt.Sprintf("-o cluster_size=%d", 1<<bits))
	}
	t.Run("images", func(t *testing.T) {
		for _, options := range variants {
			t.Run(options, func(t *testing.T) {
				t.Parallel()
				if strings.Contains(options, "-c") {
					mediumSource.Same(t, opener, "qcow2", options, medium)
				} else {
					source.Same(t, opener, "qcow2", options, want)
				}
			})
		}
		for _, options := range []string{
			"-c -o cluster_size=512", "-c -o compression_type=zstd,cluster_size=512",
			"-c -o cluster_size=4k", "-c -o compression_type=zstd,cluster_size=4k",
		} {
			t.Run(options, func(t *testing.T) {
				t.Parallel()
				smallSource.Same(t, opener, "qcow2", options, small)
			})
		}
	})
	t.Run("internal snapshots", func(t *testing.T) {
		path := source.Convert(t, "qcow2", "-c -o compression_type=zstd")
		imagetest.QemuImg(t, "snapshot", "-c", "before", path)
		imagetest.QemuIO(t, path, "write -P 0x5a 15M 3M", "write -P 0xa5 77777 99999", "write -z 40M 1M", "discard 50M 1M")
		imagetest.QemuImg(t, "snapshot", "-c", "after", path)
		imagetest.QemuIO(t, path, "write -P 0x11 512 512")
		for _, w := range []struct {
			off, n int
			b      byte
		}{{15 << 20, 3 << 20, 0x5a}, {77777, 99999, 0xa5}, {40 << 20, 1 << 20, 0}, {50 << 20, 1 << 20, 0}, {512, 512, 0x11}} {
			copy(want[w.off:], bytes.Repeat([]byte{w.b}, w.n))
		}
		imagetest.SameFile(t, opener, path, want)
	})
}

// qemu-img reads the images that the fixtures are, so that they prove something.
func TestQemuImgReadsFixtures(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	for _, bits := range []int{9, 12, 16} {
		for _, zstd := range []bool{false, true} {
			q, want := spec(bits, 512)
			q.Zstd = zstd
			imagetest.QemuReads(t, "qcow2", q.Build().Bytes, want)
		}
	}
}

// Any size will do: less than a cluster, a sector more, an odd number of
// sectors.
func TestQemuSizes(t *testing.T) {
	sandboxtest.Outside(t)
	for _, size := range []int{512, 4096 - 512, 1<<20 + 512, 33<<20 - 512} {
		want := imagetest.Mixed(size, uint64(size))
		imagetest.NewQemuSource(t, want).Same(t, opener, "qcow2", "", want)
	}
}

// What qemu-img writes whose data are elsewhere, or encrypted, is refused by name.
func TestQemuImgRefused(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	dir := t.TempDir()
	base := filepath.Join(dir, "base.raw")
	if err := os.WriteFile(base, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := []string{"create", "--object", "secret,id=key,data=passphrase", "-f", "qcow2"}
	for _, c := range []struct {
		name  string
		args  []string
		class diskimage.Class
		text  string
	}{
		{"88 a backing file", []string{"create", "-f", "qcow2", "-b", base, "-F", "raw"}, diskimage.External, "base.raw"},
		{"89 an external data file", []string{"create", "-f", "qcow2", "-o", "data_file=" + base, "-o", "data_file_raw=on"}, diskimage.External, "data file"},
		{"90 encrypted with LUKS", append(secret, "-o", "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10"), diskimage.Unsupported, "encrypted"},
		{"90 encrypted with AES", append(secret, "-o", "encrypt.format=aes,encrypt.key-secret=key"), diskimage.Unsupported, "encrypted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "image")
			imagetest.QemuImg(t, append(c.args, path, "1M")...)
			f, size := imagetest.Open(t, path)
			_, err := opener(f, size, diskimage.Limits{})
			imagetest.WantFault(t, err, c.class, c.text)
		})
	}
}
