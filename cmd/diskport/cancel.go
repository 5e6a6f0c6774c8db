package main

import "context"

type cancelCmd struct {
	IDs []string `arg:"" name:"id" help:"Import tasks: import-snap-…"`
}

// Run cancels tasks.
func (c *cancelCmd) Run(ctx context.Context, a *app) error {
	return a.with(ctx, func(s *session) error {
		for _, id := range c.IDs {
			if err := s.Cancel(ctx, id); err != nil {
				return err
			}
			a.note("%s: cancelled", id)
		}
		return nil
	})
}
