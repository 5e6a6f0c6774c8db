package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/client"
)

type compactCmd struct {
	DryRun bool
	Rate   byteSize // a second; 0 is no limit
	JSON   bool
}

func (c *compactCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compact",
		Short: "Rewrite packs smaller, so that space comes back.",
		Long: "Free what no snapshot references, as gc does, and rewrite packs smaller, so that space comes back. It may be interrupted: packs that were rewritten stay so. " +
			"--dry-run does not count what gc would free first.",
		Example: "  diskport compact --dry-run\n  diskport compact --rate 50MiB",
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), a) },
	}
	cmd.Flags().BoolVar(&c.DryRun, "dry-run", false, "Say what would come back, and do nothing.")
	sizeVar(cmd.Flags(), &c.Rate, "rate", 0, "Read and write this much a second at most: a `SIZE` such as 50MiB. 0 is as much as possible.")
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// run rewrites packs.
func (c *compactCmd) run(ctx context.Context, a *app) error {
	return a.withLasting(ctx, func(s *session) error {
		if c.DryRun {
			return c.plan(ctx, a, s)
		}
		return c.compact(ctx, a, s)
	})
}

func (c *compactCmd) plan(ctx context.Context, a *app, s *session) error {
	p, err := s.PlanCompaction(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(p)
	}
	_, err = fmt.Fprintf(a.stdout, "would rewrite %s of %s: %s are dead and come back, %s are not compressed yet\n",
		count(p.Packs, "pack"), size(p.Bytes), size(p.DeadBytes), size(p.UncompressedBytes))
	return err
}

func (c *compactCmd) compact(ctx context.Context, a *app, s *session) error {
	p := a.newProgress("compacting")
	done, err := s.Compact(ctx, int64(c.Rate), func(done, total int64) { p.step("rewriting", done, total) })
	p.end()
	if err != nil {
		return err
	}
	return c.report(a, done)
}

// report says what was done. It fails if that is not all, damage included.
func (c *compactCmd) report(a *app, done client.Compacted) error {
	var err error
	switch n := int64(len(done.Damaged)); {
	case done.Stopped != "":
		err = fmt.Errorf("compacting stopped early: %s", done.Stopped)
	case n > 0:
		err = fmt.Errorf("the store is damaged in %s: everything else was compacted, and diskport verify says which snapshots it concerns", count(n, "place"))
	}
	if c.JSON {
		return errors.Join(a.printJSON(done), err)
	}
	for _, text := range done.Damaged {
		_, _ = fmt.Fprintf(a.stderr, "left where it is, because it is damaged: %s\n", text)
	}
	for _, text := range done.Locked {
		_, _ = fmt.Fprintf(a.stderr, "not compressed, because its key can't be used: %s\n", text)
	}
	change := "gave back " + size(done.Bytes)
	if done.Bytes < 0 { // a pack stays for what is damaged in it, though the rest has moved
		change = "took " + size(-done.Bytes) + " more"
	}
	were := "were"
	if done.Compressed == 1 {
		were = "was"
	}
	a.say("%s: %s became %d, %s %s compressed\n", change, count(done.Packs, "pack"), done.NewPacks, count(done.Compressed, "block"), were)
	return err
}
