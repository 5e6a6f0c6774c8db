package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// cost is what one run of a command took.
type cost struct {
	wall time.Duration
	cpu  time.Duration
	peak int64 // bytes resident at most, of the process itself
}

// side is one of two things that are compared.
type side struct {
	name    string
	prepare func(context.Context) error // not measured; may be nil
	run     func(context.Context) (cost, error)
}

// compare runs the sides in turn and prints the medians and the first one's
// time over the second's.
func (b *bench) compare(ctx context.Context, title string, sides ...side) error {
	costs := make([][]cost, len(sides))
	for round := range b.rounds + 1 {
		for i, s := range sides {
			if err := b.clean(ctx); err != nil {
				return err
			}
			if s.prepare != nil {
				if err := s.prepare(ctx); err != nil {
					return err
				}
			}
			c, err := s.run(ctx)
			if err != nil {
				return err
			}
			if round > 0 { // the first one warms up
				costs[i] = append(costs[i], c)
			}
		}
	}
	fmt.Printf("\n%s\n", title)
	base := median(costs[0])
	for i, s := range sides {
		m := median(costs[i])
		fmt.Printf("  %-24s %7.2f s  cpu %6.2f s  peak %4d MiB", s.name, m.wall.Seconds(), m.cpu.Seconds(), m.peak/mib)
		if i > 0 {
			fmt.Printf("  ratio %.2f", base.wall.Seconds()/m.wall.Seconds())
		}
		fmt.Println()
	}
	return nil
}

// median takes the medians of times, and the worst peak.
func median(costs []cost) cost {
	slices.SortFunc(costs, func(a, b cost) int { return int(a.wall - b.wall) })
	m := costs[len(costs)/2]
	for _, c := range costs {
		m.peak = max(m.peak, c.peak)
	}
	return m
}

// clean empties the scratch folder and waits until the disk is idle.
func (b *bench) clean(ctx context.Context) error {
	if err := os.RemoveAll(b.scratch); err != nil {
		return err
	}
	if err := os.MkdirAll(b.scratch, 0o755); err != nil {
		return err
	}
	return command(ctx, "sync")
}

// timed runs a command to its end.
func timed(ctx context.Context, env []string, name string, args ...string) (cost, []byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	err := cmd.Run()
	c := cost{wall: time.Since(start)}
	if err != nil {
		return c, nil, fmt.Errorf("%s %v: %w: %s", name, args, err, bytes.TrimSpace(errs.Bytes()))
	}
	c.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.peak = usage.Maxrss << 10
	}
	return c, out.Bytes(), nil
}

func command(ctx context.Context, name string, args ...string) error {
	_, _, err := timed(ctx, nil, name, args...)
	return err
}

// qemu converts an image to raw with qemu-img, durably; before is a command line
// that is run first.
func (b *bench) qemu(before, image, format string) side {
	out := filepath.Join(b.scratch, "out.raw")
	script := fmt.Sprintf("%s qemu-img convert -f %s -O raw %q %q && sync %q", before, format, image, out, out)
	return side{name: "qemu-img", run: func(ctx context.Context) (cost, error) {
		c, _, err := timed(ctx, nil, "sh", "-ec", script)
		return c, err
	}}
}

// imported is the part of import --json that is used here.
type imported struct {
	Status     string
	Reason     string
	SnapshotID string
	Seconds    float64
}

// diskport imports an image with a service of the command's own.
func (b *bench) diskport(name, image string) side {
	return side{name: name, run: func(ctx context.Context) (cost, error) {
		c, _, err := b.importImage(ctx, nil, "--data", filepath.Join(b.scratch, "data"), image)
		return c, err
	}}
}

func (b *bench) importImage(ctx context.Context, env []string, args ...string) (cost, imported, error) {
	c, out, err := timed(ctx, env, b.bin, append([]string{"import", "--json"}, args...)...)
	if err != nil {
		return c, imported{}, err
	}
	var r imported
	if err := json.Unmarshal(out, &r); err != nil {
		return c, r, fmt.Errorf("reading what import said: %w", err)
	}
	if r.Status != "completed" {
		return c, r, fmt.Errorf("the import is %s: %s", r.Status, r.Reason)
	}
	return c, r, nil
}

// local compares the import of a local file with qemu-img.
func (b *bench) local(name, format string) func(context.Context) error {
	return func(ctx context.Context) error {
		image := b.disk(name)
		return b.compare(ctx, "local file, 4 GiB with 1.8 GB of data, "+format,
			b.qemu("", image, format), b.diskport("diskport import", image))
	}
}

// size shows that time and memory depend on the amount of data, not on the size of
// the disk.
func (b *bench) size(ctx context.Context) error {
	return b.compare(ctx, "100 MiB of data, VMDK, on a disk of",
		b.diskport("4 GiB", b.disk("little.vmdk")),
		b.diskport("64 GiB", b.disk("large.vmdk")))
}
