package main

import (
	"context"
	"fmt"
)

type gcCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run collects garbage.
func (c *gcCmd) Run(ctx context.Context, a *app) error {
	return a.with(ctx, func(s *session) error {
		freed, err := s.CollectGarbage(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(freed)
		}
		_, err = fmt.Fprintf(a.stdout, "freed %s: %d blocks in %d files\n", size(freed.Bytes), freed.Blocks, freed.Files)
		return err
	})
}
