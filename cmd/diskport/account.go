package main

import (
	"context"
	"time"
)

// accountCmd manages accounts. It needs the keys of the service's own account.
type accountCmd struct {
	Add    accountAddCmd    `cmd:"" help:"Make an account and print its root key, whose secret is shown this once."`
	List   accountListCmd   `cmd:"" help:"List accounts."`
	Remove accountRemoveCmd `cmd:"" help:"Remove accounts that own nothing any more, with their users, roles and policies."`
}

type accountAddCmd struct {
	ID   string `arg:"" optional:"" help:"Its twelve digits. Default: chosen at random."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run makes an account.
func (c *accountAddCmd) Run(ctx context.Context, a *app) error {
	return a.with(ctx, func(s *session) error {
		made, err := s.AddAccount(ctx, c.ID)
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
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists accounts.
func (c *accountListCmd) Run(ctx context.Context, a *app) error {
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

type accountRemoveCmd struct {
	IDs []string `arg:"" name:"id" help:"Accounts: twelve digits."`
}

// Run removes accounts.
func (c *accountRemoveCmd) Run(ctx context.Context, a *app) error {
	return a.with(ctx, func(s *session) error {
		for _, id := range c.IDs {
			if err := s.RemoveAccount(ctx, id); err != nil {
				return err
			}
			a.note("%s: removed", id)
		}
		return nil
	})
}
