package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// export compares writing a snapshot to a sparse raw file with converting the raw disk
// that it was made of: as it was imported, and compressed. Both are durable, and what
// was exported is compared with the disk.
func (b *bench) export(ctx context.Context) error {
	data := filepath.Join(filepath.Dir(b.scratch), "stored")
	defer os.RemoveAll(data)
	raw := b.disk("disk.raw")
	_, r, err := b.importImage(ctx, nil, "--data", data, raw)
	if err != nil {
		return err
	}
	for _, how := range []string{"as imported", "compressed"} {
		if how == "compressed" {
			if err := command(ctx, b.bin, "--data", data, "compact"); err != nil {
				return err
			}
		}
		ours := side{name: "diskport export", run: func(ctx context.Context) (cost, error) {
			out := filepath.Join(b.scratch, "out.raw")
			script := fmt.Sprintf("%q --data %q export %s %q && sync %[4]q", b.bin, data, r.SnapshotID, out)
			c, _, err := timed(ctx, nil, "sh", "-ec", script)
			if err != nil {
				return c, err
			}
			return c, command(ctx, "cmp", out, raw)
		}}
		if err := b.compare(ctx, "export of 4 GiB with 1.8 GB of data, "+how, b.qemu("", raw, "raw"), ours); err != nil {
			return err
		}
	}
	return nil
}

// backgroundRate is at which the service rewrites packs by itself.
const backgroundRate = "16MiB"

// besideCompaction compares imports into a service that rewrites packs meanwhile, at
// its rate in the background, with imports into one that does nothing else. What it
// rewrites is the same disk, encrypted, so that nothing is found to be stored already.
func (b *bench) besideCompaction(ctx context.Context) error {
	return b.compare(ctx, "import of 4 GiB with 1.8 GB of data, raw, into a service that",
		b.busyImport("does nothing else", false), b.busyImport("compacts", true))
}

func (b *bench) busyImport(name string, compacts bool) side {
	raw := b.disk("disk.raw")
	var s *service
	var kill context.CancelFunc
	var ended chan error // of the compaction
	stop := func() {
		kill()
		if compacts {
			<-ended //nolint:errcheck // it was stopped
		}
		s.stop()
	}
	prepare := func(ctx context.Context) (err error) {
		if s, err = b.serve(ctx, "--compact-rate", "0"); err != nil {
			return err
		}
		if _, _, err := b.importImage(ctx, s.env, "--encrypted", raw); err != nil {
			s.stop()
			return err
		}
		ctx, kill = context.WithCancel(ctx)
		if compacts {
			ended = make(chan error, 1)
			go func() { ended <- b.compact(ctx, s) }()
		}
		return nil
	}
	run := func(ctx context.Context) (cost, error) {
		defer stop()
		c, _, err := b.importImage(ctx, s.env, raw)
		select {
		case cerr := <-ended:
			ended <- cerr
			err = errors.Join(err, cerr, errors.New("the compaction ended before the import"))
		default:
		}
		return c, err
	}
	return side{name: name, prepare: prepare, run: run}
}

// compact rewrites packs of a service until ctx ends.
func (b *bench) compact(ctx context.Context, s *service) error {
	_, _, err := timed(ctx, s.env, b.bin, "compact", "--rate", backgroundRate)
	return err
}

// sinceBefore compares imports with those of the program that -before names.
func (b *bench) sinceBefore(ctx context.Context) error {
	if b.before == "" {
		return nil
	}
	earlier := *b
	earlier.bin = b.before
	for _, name := range []string{"disk.raw", "disk.vmdk"} {
		image := b.disk(name)
		if err := b.compare(ctx, "import of "+name+", 4 GiB with 1.8 GB of data", earlier.diskport("before", image), b.diskport("now", image)); err != nil {
			return err
		}
	}
	return nil
}
