package main

import "context"

type exportCmd struct {
	Snapshot string `arg:"" help:"Snapshot: snap-…"`
	File     string `arg:"" type:"path" help:"File to write, which must not exist; - is standard output."`
}

// Run exports a snapshot.
func (c *exportCmd) Run(ctx context.Context, a *app) error {
	return a.with(ctx, func(s *session) error {
		sn, err := s.Snapshot(ctx, c.Snapshot)
		if err != nil {
			return err
		}
		p := a.newProgress("exporting " + sn.ID)
		defer p.end()
		count := func(done, total int64) { p.step("reading", done, total) }
		if c.File == "-" {
			return s.ExportStream(ctx, sn, a.stdout, count)
		}
		return s.Export(ctx, sn, c.File, count)
	})
}
