package main

import (
	"context"

	"github.com/diskport/diskport/internal/client"
)

type verifyCmd struct {
	IDs  []string `arg:"" optional:"" name:"id" help:"Snapshots: snap-… Default: all."`
	JSON bool     `name:"json" help:"Print JSON."`
}

// Run verifies snapshots.
func (c *verifyCmd) Run(ctx context.Context, a *app) error {
	return a.with(ctx, func(s *session) error {
		ids, err := c.ids(ctx, s)
		if err != nil {
			return err
		}
		results := make([]client.Verified, 0, len(ids))
		for _, id := range ids {
			p := a.newProgress("verifying " + id)
			v, err := s.Verify(ctx, id, func(done, total int64) {
				p.step("reading", done*client.BlockSize, total*client.BlockSize)
			})
			p.end()
			if err != nil {
				return err
			}
			results = append(results, v)
		}
		return c.report(a, results)
	})
}

func (c *verifyCmd) ids(ctx context.Context, s *session) ([]string, error) {
	if len(c.IDs) > 0 {
		return c.IDs, nil
	}
	all, err := s.Snapshots(ctx)
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
