package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/internal/imports/ingest"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// side is a command that is measured.
type side struct {
	name string
	args []string
}

// cost is the time that one run took.
type cost struct {
	wall, cpu time.Duration
}

// compare runs the sides in turn and returns the median of each one's costs.
func compare(ctx context.Context, rounds int, sides []side) ([]cost, error) {
	costs := make([][]cost, len(sides))
	for round := range rounds + 1 {
		for i, s := range sides {
			cmd := exec.CommandContext(ctx, s.name, s.args...)
			start := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("%s %q: %w: %s", s.name, s.args, err, out)
			}
			if round > 0 { // the first one warms up
				used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
				costs[i] = append(costs[i], cost{time.Since(start), used})
			}
		}
	}
	medians := make([]cost, len(sides))
	for i, all := range costs {
		slices.SortFunc(all, func(a, b cost) int { return cmp.Compare(a.wall, b.wall) })
		medians[i].wall = all[len(all)/2].wall
		slices.SortFunc(all, func(a, b cost) int { return cmp.Compare(a.cpu, b.cpu) })
		medians[i].cpu = all[len(all)/2].cpu
	}
	return medians, nil
}

// speed returns MB/s of the disk.
func speed(d time.Duration) float64 { return diskSize / 1e6 / d.Seconds() }

// decodeFile decodes an image as an import does, and stores nothing.
func decodeFile(ctx context.Context, path, format string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	d, err := detect.Open(f, st.Size(), detect.Options{Format: format, Scratch: folder(os.TempDir()), Interrupted: ctx.Err})
	if err != nil {
		return err
	}
	if c, ok := d.(io.Closer); ok {
		defer c.Close()
	}
	return decodeDisk(ctx, d)
}

func decodeDisk(ctx context.Context, d diskimage.Disk) error {
	const page = 1 << 30
	slots, err := blockstore.NewSlots(64 << 20)
	if err != nil {
		return err
	}
	defer func() { _ = slots.Close() }()
	all := ingest.Range{Pages: (d.Size() + page - 1) / page}
	return ingest.Run(ctx, d, all, nothing{slots}, ingest.Options{PageBytes: page, Workers: ingest.NewWorkers(runtime.NumCPU(), nil)})
}

// nothing is a sink that drops its blocks.
type nothing struct{ slots *blockstore.Slots }

func (n nothing) Slot(ctx context.Context) (*blockstore.Slot, error) { return n.slots.Get(ctx) }
func (n nothing) Return(s *blockstore.Slot)                          { n.slots.Put(s) }
func (n nothing) Lose(s *blockstore.Slot)                            { n.slots.Lose(s) }
func (n nothing) Put(_ context.Context, _ int64, s *blockstore.Slot) error {
	n.slots.Put(s)
	return nil
}

// folder is scratch room in files that have no name.
type folder string

// Create implements diskimage.Scratch.
func (dir folder) Create() (diskimage.ScratchFile, error) {
	f, err := os.CreateTemp(string(dir), "bench-formats")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}
