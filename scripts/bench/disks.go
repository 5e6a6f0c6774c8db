package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/diskport/diskport/scripts/benchdisk"
)

// The data set. Names include the size of the disk when it is not the standard one.
const (
	gib          = 1 << 30
	mib          = 1 << 20
	standardSize = 4 * gib
	standardData = 1800 * mib
	littleData   = 100 * mib
	largeSize    = 64 * gib
	smallSize    = 16 * mib
)

// makeDisks makes the disks of the data set that are missing.
func (b *bench) makeDisks(ctx context.Context) error {
	if err := os.MkdirAll(b.disks, 0o755); err != nil {
		return err
	}
	for _, d := range []struct {
		name       string
		size, data int64
	}{
		{"disk", standardSize, standardData},
		{"little", standardSize, littleData},
		{"large", largeSize, littleData},
		{"small", smallSize, smallSize / 2},
	} {
		raw, vmdk := b.disk(d.name+".raw"), b.disk(d.name+".vmdk")
		if _, err := os.Stat(vmdk); err == nil {
			continue
		}
		fmt.Printf("making %s: a disk of %d MiB holding %d MiB\n", d.name, d.size/mib, d.data/mib)
		if err := benchdisk.Make(ctx, raw, d.size, d.data); err != nil {
			return err
		}
		tmp := vmdk + ".new"
		if err := command(ctx, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, tmp); err != nil {
			return err
		}
		if err := os.Rename(tmp, vmdk); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) disk(name string) string { return filepath.Join(b.disks, name) }
