package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/diskport/diskport/scripts/benchdisk"
)

const (
	gib = 1 << 30
	mib = 1 << 20

	standardSize = 4 * gib
	standardFill = 1730 * mib // fills 3,479 blocks
	changed      = 50         // thousandths of the blocks of disk.raw that v2.raw has anew
	packedSize   = 512 * mib
	packedFill   = 220 * mib
	smallSize    = 16 * mib
)

// recipe is how a file of the data set is made out of another one, $IN, by a command that
// writes $OUT.
type recipe struct{ name, from, command string }

// recipes has the files that tools make.
var recipes = []recipe{
	{"disk.vmdk", "disk.raw", "qemu-img convert -f raw -O vmdk -o subformat=streamOptimized $IN $OUT"},
	{"disk.sparse.vmdk", "disk.raw", "qemu-img convert -f raw -O vmdk -o subformat=monolithicSparse $IN $OUT"},
	{"disk.vhd", "disk.raw", "qemu-img convert -f raw -O vpc -o subformat=dynamic,force_size=on $IN $OUT"},
	{"disk.vhdx", "disk.raw", "qemu-img convert -f raw -O vhdx -o subformat=dynamic $IN $OUT"},
	{"disk.qcow2", "disk.raw", "qemu-img convert -f raw -O qcow2 $IN $OUT"},
	{"disk.zlib.qcow2", "disk.raw", "qemu-img convert -W -m 4 -f raw -O qcow2 -c -o compression_type=zlib $IN $OUT"},
	{"disk.zstd.qcow2", "disk.raw", "qemu-img convert -W -m 4 -f raw -O qcow2 -c -o compression_type=zstd $IN $OUT"},
	{"v2.vmdk", "v2.raw", "qemu-img convert -f raw -O vmdk -o subformat=streamOptimized $IN $OUT"},
	{"packed.raw.xz", "packed.raw", "xz -2 -T2 --block-size=16MiB -c $IN > $OUT"},
	{"packed.raw.zst", "packed.raw", "zstd -3 -T2 -q -c $IN > $OUT"},
	{"packed.raw.bz2", "packed.raw", "bzip2 -c $IN > $OUT"},
	{"empty.vhdx", "", "qemu-img create -q -f vhdx $OUT 64T"},
	{"empty.qcow2", "", "qemu-img create -q -f qcow2 $OUT 64T"},
	{"empty.vmdk", "", "qemu-img create -q -f vmdk -o subformat=monolithicSparse $OUT 2T"},
	{"ends.qcow2", "", "qemu-img create -q -f qcow2 $OUT 64T && qemu-io -f qcow2 -c 'write -q -P 7 0 17k' -c 'write -q -P 7 70368744160256 17k' $OUT"},
	{"pages.small.qcow2", "", patterns("6G", 1, 0)},
	{"pages.small.2.qcow2", "", patterns("6G", 2, 0)},
	{"pages.large.qcow2", "", patterns("64T", 1, 64<<40-pageBlocks*blockSize)},
	{"pages.large.2.qcow2", "", patterns("64T", 2, 64<<40-pageBlocks*blockSize)},
}

// pageBlocks is how many blocks a full page of a list has.
const pageBlocks = 10_000

// patterns is a command that makes a disk whose blocks have one content: those of a page of
// a list from its start on, and as many from last on, unless that is 0. Each has one
// compressed cluster that is not zeros.
func patterns(size string, pattern int, last int64) string {
	write := func(from int64) string {
		return fmt.Sprintf(`awk 'BEGIN { for (i = 0; i < %d; i++) printf "write -q -c -P %d %%.0f 64k\n", %d + i * %d }'`, pageBlocks, pattern, from, blockSize)
	}
	all := write(0)
	if last > 0 {
		all = "{ " + all + "; " + write(last) + "; }"
	}
	return "qemu-img create -q -f qcow2 $OUT " + size + " && " + all + " | qemu-io -f qcow2 $OUT > $OUT.log; rm -f $OUT.log"
}

// image returns a file of the data set, which it makes if it is missing.
func (b *bench) image(ctx context.Context, name string) (string, error) {
	path := filepath.Join(b.disks, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Fprintln(os.Stderr, "bench: making", path)
	tmp := path + ".new"
	_ = os.Remove(tmp) // what an interrupted run left
	if err := b.makeImage(ctx, name, tmp); err != nil {
		return "", fmt.Errorf("making %s: %w", path, err)
	}
	return path, os.Rename(tmp, path)
}

func (b *bench) makeImage(ctx context.Context, name, path string) error {
	switch name {
	case "disk.raw":
		return benchdisk.MakeFileSystem(ctx, path, benchdisk.Disk{Size: b.size, Data: b.fill, Seed: b.seed})
	case "packed.raw":
		return benchdisk.MakeFileSystem(ctx, path, benchdisk.Disk{Size: packedSize, Data: packedFill, Seed: b.seed + 1})
	case "small.raw":
		return benchdisk.Make(ctx, path, smallSize, smallSize/2)
	case "v2.raw":
		from, err := b.image(ctx, "disk.raw")
		if err != nil {
			return err
		}
		if err := command(ctx, "cp", "--sparse=always", from, path); err != nil {
			return err
		}
		return benchdisk.Change(path, b.blocks, changed, b.seed)
	}
	for _, r := range recipes {
		if r.name != name {
			continue
		}
		env := []string{"OUT=" + path}
		if r.from != "" {
			from, err := b.image(ctx, r.from)
			if err != nil {
				return err
			}
			env = append(env, "IN="+from)
		}
		_, _, err := timed(ctx, env, "sh", "-ec", r.command)
		return err
	}
	return fmt.Errorf("nothing says how to")
}
