package main

import (
	"context"
	"errors"

	"github.com/diskport/diskport/internal/client"
)

type verifyCmd struct {
	regionFlags
	IDs  []string `arg:"" optional:"" name:"id" help:"Snapshots: snap-… Default: all of the region."`
	JSON bool     `name:"json" help:"Print JSON."`
}

// Run verifies snapshots.
func (c *verifyCmd) Run(ctx context.Context, a *app) error {
	return a.with(ctx, func(s *session) error {
		results, err := everywhere(ctx, c.regionFlags, s, func(in *client.Client) ([]client.Verified, error) { return c.verify(ctx, a, in) })
		if err != nil {
			return err
		}
		return c.report(a, results)
	})
}

// verify verifies what there is to verify in a client's region.
func (c *verifyCmd) verify(ctx context.Context, a *app, in *client.Client) ([]client.Verified, error) {
	ids, err := c.ids(ctx, in)
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

func (c *verifyCmd) ids(ctx context.Context, in *client.Client) ([]string, error) {
	if len(c.IDs) > 0 {
		return c.IDs, nil
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

// Validate implements kong's check of flags.
func (c *verifyCmd) Validate() error {
	if c.AllRegions && len(c.IDs) > 0 {
		return errors.New("--all-regions verifies all snapshots: leave out their ids")
	}
	return nil
}

func (c *verifyCmd) report(a *app, results []client.Verified) error {
	damaged := false
	for _, v := range results {
		damaged = damaged || !v.OK
		if c.JSON {
			continue
		}
		outcome := "ok"
		if !v.OK {
			outcome = "DAMAGED: " + v.Error
		}
		a.printFields(v.SnapshotID, outcome)
	}
	if c.JSON {
		if err := a.printJSON(results); err != nil {
			return err
		}
	}
	if damaged {
		return errReported
	}
	return nil
}
