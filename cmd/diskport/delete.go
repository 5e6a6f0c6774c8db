package main

import "context"

type deleteCmd struct {
	IDs []string `arg:"" name:"id" help:"Snapshots: snap-…"`
}

// Run deletes snapshots.
func (c *deleteCmd) Run(ctx context.Context, a *app) error {
	return a.with(ctx, func(s *session) error {
		for _, id := range c.IDs {
			if err := s.Delete(ctx, id); err != nil {
				return err
			}
			a.note("%s: deleted; diskport gc frees its blocks", id)
		}
		return nil
	})
}
