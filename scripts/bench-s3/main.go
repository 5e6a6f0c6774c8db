// Command bench-s3 measures the embedded S3 of the built diskport, through the SDK for Go
// as users have it, beside what the disk writes in the same run.
//
//	go run ./scripts/bench-s3 [-n 3] [-size 1024] [-dir .cache/bench] [-bin bin/diskport]
//
// It prints, for uploads whose parts' SHA-256 is signed, as SDKs do it over http, for
// those where only the checksum is checked, as over https, and for objects under a KMS
// key: how fast an object is uploaded in parts of 16 MiB with eight in flight, and
// downloaded once it is in the page cache; what a GB of that costs the service and the
// client, which share the machine, in CPU; and how much memory 32 uploads at once take it. Figures are medians. Lists have a benchmark of their own, on both databases:
//
//	go test ./internal/metadb -run '^$' -bench ObjectPage
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	mib      = 1 << 20
	partSize = 16 * mib
	inFlight = 8
)

// bench is one run of the program.
type bench struct {
	rounds int
	size   int64 // of an object, in bytes
	dir    string
	bin    string
	part   []byte // random, which every part has
}

func main() {
	var b bench
	flag.StringVar(&b.dir, "dir", ".cache/bench", "where scratch is made")
	flag.StringVar(&b.bin, "bin", "bin/diskport", "the program to measure")
	flag.IntVar(&b.rounds, "n", 3, "measured rounds")
	flag.Int64Var(&b.size, "size", 1024, "size of an object, in MiB")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b.size *= mib
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench-s3:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context) error {
	b.part = make([]byte, partSize)
	_, _ = rand.Read(b.part) // never fails
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Printf("load before: %s", load)
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	disk, err := b.median(func() (cost, error) { return b.writeDisk() })
	if err != nil {
		return err
	}
	fmt.Printf("disk, %d files at once      %7.0f MB/s\n", inFlight, disk.speed(b.size))
	s, err := b.serve(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	for _, c := range []kind{
		{"plain", s.client, ""},
		{"unsigned", s.unsigned, ""},
		{"aws:kms", s.client, s.key},
	} {
		if err := b.measure(ctx, s, c, disk); err != nil {
			return err
		}
	}
	return nil
}

// kind is a kind of uploads: as the SDK does them over http, where it signs a SHA-256
// of every part; as it does them over https, where the checksum is all that is checked;
// and encrypted under a KMS key.
type kind struct {
	name   string
	client *s3.Client
	key    string // of the KMS; empty: as it is
}

// measure measures one kind.
func (b *bench) measure(ctx context.Context, s *service, k kind, disk cost) error {
	name := k.name
	up, err := b.median(func() (cost, error) {
		return s.cost(func() error { return s.upload(ctx, k, "object", b.size, b.part) })
	})
	if err != nil {
		return err
	}
	fmt.Printf("%-8s upload             %7.0f MB/s  %.2f of the disk  %.2f cpu-s/GB, of the client %.2f\n",
		name, up.speed(b.size), disk.wall.Seconds()/up.wall.Seconds(), up.perGB(b.size), cost{cpu: up.client}.perGB(b.size))
	down, err := b.median(func() (cost, error) { return s.cost(func() error { return s.download(ctx, "object", b.size) }) })
	if err != nil {
		return err
	}
	fmt.Printf("%-8s download           %7.0f MB/s  %.2f cpu-s/GB\n", name, down.speed(b.size), down.perGB(b.size))
	if err := s.process().Forget(); err != nil {
		return err
	}
	before, err := s.process().Resident()
	if err != nil {
		return err
	}
	if err := together(32, func(i int) error { return s.upload(ctx, k, fmt.Sprint("of-many-", i), 2*partSize, b.part) }); err != nil {
		return err
	}
	after, err := s.process().Peak()
	if err != nil {
		return err
	}
	fmt.Printf("%-8s 32 uploads at once %7d MiB more at their peak\n", name, (after-before)/mib)
	return nil
}

// cost is what something took: all of it, CPU of the service, and of this client.
type cost struct{ wall, cpu, client time.Duration }

func (c cost) speed(n int64) float64 { return float64(n) / c.wall.Seconds() / 1e6 }
func (c cost) perGB(n int64) float64 { return c.cpu.Seconds() / (float64(n) / 1e9) }

// median returns the median of the rounds, by time.
func (b *bench) median(run func() (cost, error)) (cost, error) {
	var all []cost
	for range b.rounds {
		c, err := run()
		if err != nil {
			return c, err
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(x, y cost) int { return int(x.wall - y.wall) })
	return all[len(all)/2], nil
}

// writeDisk writes files as large as parts, durably, some at once: what an upload can't
// be faster than.
func (b *bench) writeDisk() (cost, error) {
	dir := filepath.Join(b.dir, "disk")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return cost{}, err
	}
	defer os.RemoveAll(dir)
	parts := int(b.size / partSize)
	begun := time.Now()
	err := together(inFlight, func(i int) error {
		for n := i; n < parts; n += inFlight {
			if err := writeFile(filepath.Join(dir, fmt.Sprint(n)), b.part); err != nil {
				return err
			}
		}
		return nil
	})
	return cost{wall: time.Since(begun)}, err
}

func writeFile(name string, content []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// together runs fn n times at once.
func together(n int, fn func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
