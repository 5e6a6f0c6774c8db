// Command bench measures the built diskport against qemu-img on the same files in
// the same run, and prints ratios. The results of both sides are durable:
// qemu-img's output is synced, diskport's snapshot is complete.
//
//	go run ./scripts/bench [-n 3] [-only vmdk] [-dir .cache/bench] [-bin bin/diskport] [-before FILE]
//
// It makes its disks at first (about 10 GB, kept under -dir). The two sides of a
// comparison alternate, after a round that warms the page cache. Figures are
// medians; a ratio above 1 means that diskport is faster.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
)

// bench is one run of the program.
type bench struct {
	rounds  int
	bin     string // diskport, absolute
	before  string // another one, absolute; empty: none
	disks   string // folder of the data set
	scratch string // folder that each run starts with empty
}

func main() {
	var b bench
	dir := flag.String("dir", ".cache/bench", "where disks are kept and scratch is made")
	only := flag.String("only", "", "run the measurements whose name contains this")
	flag.IntVar(&b.rounds, "n", 3, "measured rounds")
	flag.StringVar(&b.bin, "bin", "bin/diskport", "the program to measure")
	flag.StringVar(&b.before, "before", "", "an earlier program, to compare imports with")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx, *dir, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, dir, only string) error {
	var err error
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return err
	}
	if b.before != "" {
		if b.before, err = filepath.Abs(b.before); err != nil {
			return err
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	b.disks, b.scratch = filepath.Join(dir, "disks"), filepath.Join(dir, "scratch")
	defer os.RemoveAll(b.scratch)
	if err := b.makeDisks(ctx); err != nil {
		return fmt.Errorf("making the disks: %w", err)
	}
	for _, m := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"vmdk", b.local("disk.vmdk", "vmdk")},
		{"raw", b.local("disk.raw", "raw")},
		{"s3", b.fromS3},
		{"size", b.size},
		{"small", b.small},
		{"export", b.export},
		{"beside", b.besideCompaction},
		{"before", b.sinceBefore},
	} {
		if !strings.Contains(m.name, only) {
			continue
		}
		if err := m.run(ctx); err != nil {
			return fmt.Errorf("measuring %s: %w", m.name, err)
		}
	}
	return nil
}
