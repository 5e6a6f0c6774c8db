package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// accountCmd manages accounts. It needs the keys of the service's own account.
type accountCmd struct{}

func (c *accountCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "account COMMAND", Short: "Make, list and remove accounts."}
	for _, sub := range []subcommand{&accountAddCmd{}, &accountListCmd{}, &accountRemoveCmd{}} {
		cmd.AddCommand(sub.command(a))
	}
	return cmd
}

type accountAddCmd struct {
	JSON bool
}

func (c *accountAddCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "add [ACCOUNT]",
		Short:   "Make an account and print its root key, whose secret is shown this once.",
		Long:    "Make an account and print its root key, whose secret is shown this once. ACCOUNT is its twelve digits; without it they are chosen at random.",
		Example: "  diskport account add\n  diskport account add 123456789012",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.run(cmd.Context(), a, strings.Join(args, ""))
		},
	}
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// run makes an account; an empty id is for one at random.
func (c *accountAddCmd) run(ctx context.Context, a *app, id string) error {
	return a.with(ctx, func(s *session) error {
		made, err := s.AddAccount(ctx, id)
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(made)
		}
		a.printFields("Account", made.ID, "Access key", made.AccessKeyID, "Secret key", made.SecretAccessKey)
		a.note("Keep the secret: it is not shown again.")
		return nil
	})
}

type accountListCmd struct {
	JSON bool
}

func (c *accountListCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List accounts.",
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), a) },
	}
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// run lists accounts.
func (c *accountListCmd) run(ctx context.Context, a *app) error {
	return a.with(ctx, func(s *session) error {
		accounts, err := s.Accounts(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(accounts)
		}
		var rows [][]string
		for _, acc := range accounts {
			rows = append(rows, []string{acc.ID, acc.AccessKeyID, acc.CreatedAt.Local().Format(time.DateTime)})
		}
		return a.printTable([]string{"Account", "Root key", "Created"}, rows)
	})
}

type accountRemoveCmd struct{}

func (c *accountRemoveCmd) command(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "remove ACCOUNT...",
		Short:   "Remove accounts that own nothing any more, with their users, roles and policies.",
		Example: "  diskport account remove 123456789012",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args) },
	}
}

// run removes accounts.
func (c *accountRemoveCmd) run(ctx context.Context, a *app, ids []string) error {
	return a.with(ctx, func(s *session) error {
		for _, id := range ids {
			if err := s.RemoveAccount(ctx, id); err != nil {
				return err
			}
			a.note("%s: removed", id)
		}
		return nil
	})
}
