// Command bench measures the built diskport against what people use instead of it, on the
// same files in the same run, and says whether it is as fast as it should be: cases.go has
// every case with its goal and its floor.
//
//	go run ./scripts/bench [-n 5] [-only vmdk,raw] [-json FILE] [-history FILE] [-list] …
//
// The sides of a comparison alternate. What they write is durable when a measurement ends,
// and its contents are compared with the disk afterwards: a wrong answer ends the run. What
// the machine allows, its disk, hashing, copying, is measured in the same run. Figures are
// medians. docs/performance.md says how to read them.
//
// The data set is made at first, about 15 GB of it under -dir; BENCH_DATA names a ready one,
// a folder with at least disk.raw, in which what is missing is made.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/diskport/diskport/scripts/benchdisk"
)

// bench is one run of the program.
type bench struct {
	rounds  int
	bin     string // diskport, absolute
	before  string // another one, absolute; empty: none
	disks   string // folder of the data set
	scratch string // folder that each side of a comparison starts with empty
	seed    byte
	size    int64 // of the standard disk, in bytes
	fill    int64 // of its files, in bytes

	blocks []int64 // those of the standard disk that are not all zeros
	limits limits
	peak   int64 // the most memory that an import took so far, in bytes
}

// options are what the program is told beside that.
type options struct {
	dir, only, json, history string
	profile                  string
	list                     bool
}

func main() {
	var b bench
	var o options
	var seed, size, fill int
	flag.StringVar(&o.dir, "dir", ".cache/bench", "where the data set is kept, unless BENCH_DATA says where, and scratch is made")
	flag.StringVar(&o.only, "only", "", "measure these cases, separated by commas: names, or parts of names")
	flag.StringVar(&o.json, "json", "", "write the results to this file")
	flag.StringVar(&o.history, "history", "", "append the results to this file, if all cases were measured")
	flag.StringVar(&o.profile, "profile", "", "keep profiles of diskport, which must be built for it, in this folder")
	flag.BoolVar(&o.list, "list", false, "list the cases")
	flag.IntVar(&b.rounds, "n", 5, "measured rounds")
	flag.StringVar(&b.bin, "bin", "bin/diskport", "the program to measure")
	flag.StringVar(&b.before, "before", "", "an earlier program, for the case of that name")
	flag.IntVar(&seed, "seed", 0, "seed of the data set, up to 255")
	flag.IntVar(&size, "size", standardSize/mib, "size of the standard disk, in MiB")
	flag.IntVar(&fill, "fill", standardFill/mib, "size of its files, in MiB")
	flag.Parse()
	b.seed, b.size, b.fill = byte(seed), int64(size)*mib, int64(fill)*mib
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, o options) error {
	chosen, err := choose(cases(), o.only)
	if err != nil {
		return err
	}
	if o.list {
		for _, c := range chosen {
			fmt.Printf("%3d  %-20s %s\n", c.row, c.name, c.what)
		}
		return nil
	}
	if err := b.prepare(ctx, &o); err != nil {
		return err
	}
	defer os.RemoveAll(b.scratch)
	rep := b.newReport()
	fmt.Println(rep.head())
	for _, c := range chosen {
		load := loadAverage()
		r, err := c.run(b, ctx)
		if err != nil {
			return fmt.Errorf("measuring %s: %w", c.name, err)
		}
		rep.add(b.limits, c, r, load)
	}
	fmt.Print("\n", rep.table())
	if o.only != "" {
		o.history = ""
	}
	return rep.write(o)
}

// prepare finds the program and the data set, and measures the machine.
func (b *bench) prepare(ctx context.Context, o *options) error {
	var err error
	for _, path := range []*string{&b.bin, &b.before, &o.dir, &o.profile} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	b.scratch = filepath.Join(o.dir, "scratch")
	b.disks = os.Getenv("BENCH_DATA")
	if b.disks == "" {
		b.disks = filepath.Join(o.dir, fmt.Sprintf("disk-%d-%d-%d", b.size/mib, b.fill/mib, b.seed))
	}
	if b.disks, err = filepath.Abs(b.disks); err != nil {
		return err
	}
	for _, dir := range []string{b.disks, b.scratch} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o755); err != nil {
			return err
		}
		if err := os.Setenv("PROFILES", o.profile); err != nil {
			return err
		}
	}
	raw, err := b.image(ctx, "disk.raw")
	if err != nil {
		return err
	}
	if b.blocks, err = benchdisk.Blocks(ctx, raw); err != nil {
		return err
	}
	b.limits, err = measureLimits(ctx, b.scratch)
	return err
}

// choose returns the cases that are asked for: those of a name, or, if none has it, those
// whose names contain it.
func choose(all []benchCase, only string) ([]benchCase, error) {
	if only == "" {
		return slices.DeleteFunc(all, func(c benchCase) bool { return c.row == 0 }), nil
	}
	chosen := map[string]bool{}
	for name := range strings.SplitSeq(only, ",") {
		is := func(c benchCase) bool { return c.name == name }
		if !slices.ContainsFunc(all, is) {
			is = func(c benchCase) bool { return strings.Contains(c.name, name) }
		}
		if !slices.ContainsFunc(all, is) {
			return nil, fmt.Errorf("no case is called %q; -list shows all", name)
		}
		for _, c := range all {
			chosen[c.name] = chosen[c.name] || is(c)
		}
	}
	return slices.DeleteFunc(all, func(c benchCase) bool { return !chosen[c.name] }), nil
}
