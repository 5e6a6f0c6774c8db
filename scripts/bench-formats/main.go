// Command bench-formats measures how fast images of every format are decoded when
// the result is dropped, compared with qemu-img converting the same files to its
// null device, and with the usual tools for images that are only compressed. It
// prints MB/s of virtual disk and ratios.
//
//	go run ./scripts/bench-formats [-n 3] [-only qcow2] [-dir .cache/bench]
//
// Our side is what an import does before anything is stored: windows of blocks,
// decoded by as many workers as there are cores (package ingest). qemu-img runs
// with the most coroutines that it takes, out of order. The sides of a comparison
// alternate, each in a process of its own, after a round that warms the page cache.
// Figures are medians; a ratio above 1 means that our side is faster. On a busy
// machine the side with more threads gets a larger share of it; then go by the
// ratio of processor times, in the column cpu.
//
// The data set is made at first (about 10 GB, kept under -dir).
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

func main() {
	dir := flag.String("dir", ".cache/bench", "where images are kept")
	only := flag.String("only", "", "measure the images whose name contains this")
	rounds := flag.Int("n", 3, "measured rounds")
	decode := flag.String("decode", "", "decode this image to nothing, and do nothing else")
	format := flag.String("format", "", "what -decode is declared to be")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *decode != "" {
		err = decodeFile(ctx, *decode, *format)
	} else {
		err = run(ctx, filepath.Join(*dir, "formats"), *only, *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-formats:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, only string, rounds int) error {
	set, err := makeImages(ctx, dir, only)
	if err != nil {
		return fmt.Errorf("making the images: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%-18s %10s %10s %7s %7s   %s\n", load(), fmt.Sprintf("disk of %d MiB", diskSize>>20), "ours MB/s", "other MB/s", "ratio", "cpu", "other")
	for _, i := range set {
		ours := side{self, []string{"-decode", i.path, "-format", i.kind.declared()}}
		other := i.other()
		costs, err := compare(ctx, rounds, []side{ours, other})
		if err != nil {
			return fmt.Errorf("measuring %s: %w", i.kind.name, err)
		}
		us, them := costs[0], costs[1]
		fmt.Printf("%-18s %10.0f %10.0f %7.2f %7.2f   %s\n", i.kind.name, speed(us.wall), speed(them.wall),
			them.wall.Seconds()/us.wall.Seconds(), them.cpu.Seconds()/us.cpu.Seconds(), i.kind.rival())
	}
	fmt.Println(load())
	return nil
}

// load returns how busy the machine is.
func load() string {
	p, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "load unknown"
	}
	return "load " + strings.Join(strings.Fields(string(p))[:3], " ")
}
