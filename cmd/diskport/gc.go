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
		for _, text := range freed.Damaged {
			_, _ = fmt.Fprintf(a.stderr, "kept, because it is damaged: %s\n", text)
		}
		for _, name := range freed.Quarantined {
			_, _ = fmt.Fprintf(a.stderr, "set aside for 30 days, because the database does not know it: %s\n", name)
		}
		if freed.Implausible != "" {
			_, _ = fmt.Fprintln(a.stderr, freed.Implausible)
		}
		_, err = fmt.Fprintf(a.stdout, "freed %s: %d blocks in %d files\n", size(freed.Bytes), freed.Blocks, freed.Files)
		return err
	})
}
