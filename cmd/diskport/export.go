package main

import (
	"context"

	"github.com/spf13/cobra"
)

type exportCmd struct{}

func (c *exportCmd) command(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "export SNAPSHOT FILE",
		Short:   "Write a snapshot to a sparse raw file, verified.",
		Long:    "Write a snapshot to a sparse raw file, FILE, which must not exist; - is standard output. Every block is verified.",
		Example: "  diskport export snap-0123456789abcdef0 disk.raw\n  diskport export snap-0123456789abcdef0 - | ssh host dd of=/dev/vdb bs=1M",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args) },
	}
}

// run exports a snapshot.
func (c *exportCmd) run(ctx context.Context, a *app, args []string) error {
	file, err := absolutePath(args[1])
	if err != nil {
		return err
	}
	return a.withLasting(ctx, func(s *session) error {
		sn, err := s.Snapshot(ctx, args[0])
		if err != nil {
			return err
		}
		p := a.newProgress("exporting " + sn.ID)
		defer p.end()
		count := func(done, total int64) { p.step("reading", done, total) }
		if file == "-" {
			return s.ExportStream(ctx, sn, a.stdout, count)
		}
		return s.Export(ctx, sn, file, count)
	})
}
