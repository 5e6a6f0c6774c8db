package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/diskport/diskport/scripts/benchproc"
)

// cost is what one run of something took.
type cost struct {
	wall   time.Duration
	cpu    time.Duration // of its processes, and of the service if there is one
	peak   int64         // bytes resident at most, of one process
	others float64       // cores that the rest of the machine used meanwhile
}

// side is one of the things that are compared.
type side struct {
	name      string
	continues bool                        // with what the side before it left in the scratch folder
	prepare   func(context.Context) error // not measured; may be nil
	run       func(context.Context) (cost, error)
	check     func(context.Context) error // compares contents, once; not measured; may be nil
}

// sideResult is what a side took, in seconds, MiB and cores.
type sideResult struct {
	Name   string    `json:"name"`
	Wall   float64   `json:"wall"`
	CPU    float64   `json:"cpu"`
	Peak   float64   `json:"peak"`
	Others float64   `json:"others"`
	Walls  []float64 `json:"walls"`
}

// result is what a case found.
type result struct {
	sides  []sideResult
	values map[quantity]float64
}

// set notes a figure.
func (r *result) set(q quantity, v float64) {
	if r.values == nil {
		r.values = map[quantity]float64{}
	}
	r.values[q] = v
}

// compare runs the sides in turn, each in an empty scratch folder, and returns the medians.
func (b *bench) compare(ctx context.Context, sides ...side) (result, error) {
	costs := make([][]cost, len(sides))
	for round := range b.rounds {
		for i, s := range sides {
			c, err := b.once(ctx, s, round == 0)
			if err != nil {
				return result{}, fmt.Errorf("%s: %w", s.name, err)
			}
			costs[i] = append(costs[i], c)
		}
	}
	var r result
	for i, s := range sides {
		r.sides = append(r.sides, median(s.name, costs[i]))
	}
	return r, nil
}

// once runs a side.
func (b *bench) once(ctx context.Context, s side, first bool) (cost, error) {
	if !s.continues {
		if err := b.clean(ctx); err != nil {
			return cost{}, err
		}
	}
	if s.prepare != nil {
		if err := s.prepare(ctx); err != nil {
			return cost{}, fmt.Errorf("preparing: %w", err)
		}
	}
	if err := forget(); err != nil {
		return cost{}, err
	}
	c, err := s.run(ctx)
	if err == nil && first && s.check != nil {
		if err = s.check(ctx); err != nil {
			err = fmt.Errorf("comparing what it made: %w", err)
		}
	}
	return c, err
}

// forget gives back the memory of this process and forgets its peak: a process that it
// starts begins with that as its own.
func forget() error {
	debug.FreeOSMemory()
	return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200)
}

// median takes the medians of times, and the worst peak.
func median(name string, costs []cost) sideResult {
	r := sideResult{Name: name}
	var cpus, others []float64
	for _, c := range costs {
		r.Walls = append(r.Walls, c.wall.Seconds())
		cpus, others = append(cpus, c.cpu.Seconds()), append(others, c.others)
		r.Peak = max(r.Peak, float64(c.peak)/mib)
	}
	r.Wall, r.CPU, r.Others = middle(r.Walls), middle(cpus), middle(others)
	return r
}

// middle returns the median.
func middle(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(all))[len(all)/2]
}

// clean empties the scratch folder and waits until what was written is on the disk.
func (b *bench) clean(ctx context.Context) error {
	if err := os.RemoveAll(b.scratch); err != nil {
		return err
	}
	if err := os.MkdirAll(b.scratch, 0o755); err != nil {
		return err
	}
	return command(ctx, "sync")
}

// timed runs a command to its end, and returns what it said.
func timed(ctx context.Context, env []string, name string, args ...string) (cost, []byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	busy, start := busyTime(), time.Now()
	err := cmd.Run()
	c := cost{wall: time.Since(start)}
	if err != nil {
		return c, nil, fmt.Errorf("%s %v: %w: %s", name, args, err, bytes.TrimSpace(errs.Bytes()))
	}
	c.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	c.others = max(0, (busyTime()-busy-c.cpu).Seconds()/c.wall.Seconds())
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.peak = usage.Maxrss << 10
	}
	return c, out.Bytes(), nil
}

// durable runs a command as timed does, and makes what it wrote under dir durable, which
// is part of what it takes.
func durable(ctx context.Context, dir string, env []string, name string, args ...string) (cost, []byte, error) {
	c, out, err := timed(ctx, env, name, args...)
	if err != nil {
		return c, out, err
	}
	start := time.Now()
	err = syncTree(dir)
	c.wall += time.Since(start)
	return c, out, err
}

// syncTree syncs every file and folder under dir.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a running service removes files
		}
		if err != nil || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

func command(ctx context.Context, name string, args ...string) error {
	_, _, err := timed(ctx, nil, name, args...)
	return err
}

// busyTime returns the CPU time that the whole machine has used.
func busyTime() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var sum int64
	for i, field := range strings.Fields(line) {
		if n, err := strconv.ParseInt(field, 10, 64); err == nil && i != 4 && i != 5 && i < 8 { // idle and waiting for a disk
			sum += n
		}
	}
	return time.Duration(sum) * benchproc.Tick
}

// loadAverage returns how busy the machine was in the last minute, in processes.
func loadAverage() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load
}

// sameFile compares a file with another one.
func sameFile(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := sameContent(f, want); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// sameContent compares what r reads with a file. Zeros may be missing at the end of either:
// some formats round disks up.
func sameContent(r io.Reader, want string) error {
	f, err := os.Open(want)
	if err != nil {
		return err
	}
	defer f.Close()
	got, expected := make([]byte, mib), make([]byte, mib)
	for off := int64(0); ; off += mib {
		n, err := io.ReadFull(r, got)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		m, err := io.ReadFull(f, expected)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if n == 0 && m == 0 {
			return nil
		}
		clear(got[n:])
		clear(expected[m:])
		if !bytes.Equal(got, expected) {
			return fmt.Errorf("it differs from %s between %d and %d", want, off, off+mib)
		}
	}
}

// together runs fn n times at once, and returns the first error.
func together(n int, fn func(i int) error) error {
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- fn(i) }()
	}
	var failed error
	for range n {
		failed = cmp.Or(failed, <-errs)
	}
	return failed
}
