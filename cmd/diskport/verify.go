package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/client"
)

type verifyCmd struct {
	regionFlags
	JSON bool
}

func (c *verifyCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "verify [SNAPSHOT...]",
		Short:   "Read snapshots back and check every block.",
		Long:    "Read snapshots back and check every block. Without SNAPSHOT: all of the region.",
		Example: "  diskport verify\n  diskport verify snap-0123456789abcdef0",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args) },
	}
	c.declare(cmd.Flags())
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// run verifies snapshots.
func (c *verifyCmd) run(ctx context.Context, a *app, ids []string) error {
	if c.AllRegions && len(ids) > 0 {
		return &usageError{errors.New("--all-regions verifies all snapshots: leave out their ids")}
	}
	return a.with(ctx, func(s *session) error {
		results, err := everywhere(ctx, c.regionFlags, s, func(in *client.Client) ([]client.Verified, error) { return c.verify(ctx, a, in, ids) })
		if err != nil {
			return err
		}
		return c.report(a, results)
	})
}

// verify verifies what there is to verify in a client's region.
func (c *verifyCmd) verify(ctx context.Context, a *app, in *client.Client, ids []string) ([]client.Verified, error) {
	ids, err := c.ids(ctx, in, ids)
	if err != nil {
		return nil, err
	}
	results := make([]client.Verified, 0, len(ids))
	for _, id := range ids {
		p := a.newProgress("verifying " + id)
		v, err := in.Verify(ctx, id, func(done, total int64) {
			p.step("reading", done*client.BlockSize, total*client.BlockSize)
		})
		p.end()
		if err != nil {
			return nil, err
		}
		results = append(results, v)
	}
	return results, nil
}

// ids returns what to verify: the given snapshots, or else all of the region.
func (c *verifyCmd) ids(ctx context.Context, in *client.Client, given []string) ([]string, error) {
	if len(given) > 0 {
		return given, nil
	}
	all, err := in.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, sn := range all {
		if sn.State == "completed" {
			ids = append(ids, sn.ID)
		}
	}
	return ids, nil
}

func (c *verifyCmd) report(a *app, results []client.Verified) error {
	failed := false
	for _, v := range results {
		failed = failed || !v.OK
		if c.JSON {
			continue
		}
		outcome := "ok"
		switch {
		case v.Locked:
			outcome = "NOT CHECKED, because its key can't be used: " + v.Error
		case !v.OK:
			outcome = "DAMAGED: " + v.Error
		}
		a.printFields(v.SnapshotID, outcome)
	}
	if c.JSON {
		if err := a.printJSON(results); err != nil {
			return err
		}
	}
	if failed {
		return errReported
	}
	return nil
}
