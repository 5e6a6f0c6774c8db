package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

type gcCmd struct {
	JSON bool
}

func (c *gcCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Free what no snapshot references.",
		Long:  "Free what no snapshot references. What is dead in a pack of which other blocks are in use comes back with diskport compact.",
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), a) },
	}
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// run collects garbage.
func (c *gcCmd) run(ctx context.Context, a *app) error {
	return a.withLasting(ctx, func(s *session) error {
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
		_, err = fmt.Fprintf(a.stdout, "freed %s: %s let go of, %s removed\n", size(freed.Bytes), count(freed.Blocks, "block"), count(freed.Files, "file"))
		return err
	})
}
