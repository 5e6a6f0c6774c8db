package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/client"
)

// rotateKeyCmd rotates the data keys that blocks are encrypted under, and the master key.
type rotateKeyCmd struct {
	List     bool
	Snapshot string
	KMSKey   string
	Domain   string
	Master   bool
	Rewrap   bool
	Rate     byteSize // a second; 0 is no limit
	JSON     bool
}

func (c *rotateKeyCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate-key",
		Short: "Encrypt everything under a KMS key anew, or replace the master key.",
		Long: "Make a new data key, encrypt every block anew that is under an older one, and drop those. It may be interrupted: new blocks are under the new key at once, " +
			"and the service goes on with the others at its --compact-rate; so does the same command. Nothing is made while the KMS key can't be used.",
		Example: "  diskport rotate-key --list\n  diskport rotate-key --snapshot snap-0123456789abcdef0\n  diskport rotate-key --kms-key 8d6672b7-1583-4768-aa22-52eb4e7b7f8f --rewrap\n  diskport rotate-key --master",
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), a) },
	}
	fs := cmd.Flags()
	fs.BoolVar(&c.List, "list", false, "List what is stored under which KMS key, with its data keys.")
	fs.StringVar(&c.Snapshot, "snapshot", "", "Rotate the data key of what the snapshot with this `ID` shares blocks with: its account's snapshots under the same KMS key.")
	fs.StringVar(&c.KMSKey, "kms-key", "", "Rotate the data keys of everything under a KMS `KEY`: its id or ARN.")
	fs.StringVar(&c.Domain, "domain", "", "Rotate the data key of one dedupe domain, by its `ID` as listed.")
	fs.BoolVar(&c.Master, "master", false, "Replace the service's master key: everything in the database is wrapped under a new one. No block is moved. Keep a copy of master.key and master.key.former.")
	what := []string{"list", "snapshot", "kms-key", "domain", "master"}
	for _, name := range what {
		setEnv(fs, name)
	}
	cmd.MarkFlagsMutuallyExclusive(what...)
	cmd.MarkFlagsOneRequired(what...)
	fs.BoolVar(&c.Rewrap, "rewrap", false, "Only wrap the data keys anew, under the material that the KMS key has now. No block is moved, and packs keep what is in their headers.")
	setEnv(fs, "rewrap")
	cmd.MarkFlagsMutuallyExclusive("rewrap", "list")
	cmd.MarkFlagsMutuallyExclusive("rewrap", "master")
	sizeVar(fs, &c.Rate, "rate", 0, "Read and write this much a second at most: a `SIZE` such as 50MiB. 0 is as much as possible.")
	fs.BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// run rotates data keys.
func (c *rotateKeyCmd) run(ctx context.Context, a *app) error {
	if !c.List && !c.Master && c.Snapshot == "" && c.KMSKey == "" && c.Domain == "" {
		return &usageError{errors.New("the snapshot, KMS key or domain to rotate is empty")}
	}
	return a.withLasting(ctx, func(s *session) error {
		switch {
		case c.List:
			return c.list(ctx, a, s)
		case c.Master:
			return c.master(ctx, a, s)
		}
		return c.rotate(ctx, a, s)
	})
}

func (c *rotateKeyCmd) list(ctx context.Context, a *app, s *session) error {
	domains, err := s.Domains(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(domains)
	}
	var rows [][]string
	for _, d := range domains {
		if d.KMSKeyARN != "" {
			rows = append(rows, []string{d.ID, d.Account, d.KMSKeyARN, dataKeys(d.OldestDataKey, d.NewestDataKey), fmt.Sprint(d.Packs), fmt.Sprint(d.OutdatedPacks)})
		}
	}
	return a.printTable([]string{"Domain", "Account", "KMS key", "Data keys", "Packs", "To rewrite"}, rows)
}

// dataKeys names data keys by their numbers.
func dataKeys(oldest, newest uint32) string {
	if oldest == newest {
		return fmt.Sprint(newest)
	}
	return fmt.Sprintf("%d-%d", oldest, newest)
}

func (c *rotateKeyCmd) master(ctx context.Context, a *app, s *session) error {
	n, err := s.RotateMaster(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(struct {
			Secrets int `json:"secrets"`
		}{n})
	}
	_, err = fmt.Fprintf(a.stdout, "the master key was replaced: %d secrets are under the new one\n", n)
	return err
}

func (c *rotateKeyCmd) rotate(ctx context.Context, a *app, s *session) error {
	p := a.newProgress("rotating")
	done, err := s.Rotate(ctx, client.Rotation{Domain: c.Domain, Snapshot: c.Snapshot, KMSKey: c.KMSKey, Rewrap: c.Rewrap, Rate: int64(c.Rate)},
		func(done, total int64) { p.step("rewriting", done, total) })
	p.end()
	if c.JSON && len(done) > 0 {
		err = errors.Join(err, a.printJSON(done))
	}
	left := false
	for _, d := range done {
		left = left || d.Retiring && !c.Rewrap
		if !c.JSON {
			c.report(a, d)
		}
	}
	if err == nil && left {
		err = errors.New("old data keys are still in use: run it again when what is said above is mended")
	}
	return err
}

func (c *rotateKeyCmd) report(a *app, d client.Rotated) {
	if c.Rewrap {
		a.say("%s: wrapped the data keys anew\n", d.Domain)
		return
	}
	for _, text := range d.Damaged {
		a.note("left where it is, because it can't be read: %s", text)
	}
	for _, text := range d.Locked {
		a.note("not encrypted anew, because its key can't be used: %s", text)
	}
	if d.Stopped != "" {
		a.note("stopped: %s", d.Stopped)
	}
	a.say("%s: data key %d is in use, %d blocks were encrypted anew: %s became %d\n", d.Domain, d.NewestDataKey, d.Encrypted, count(d.Packs, "pack"), d.NewPacks)
	if d.Retiring {
		a.note("%s: data keys from %d on are still in use", d.Domain, d.OldestDataKey)
	}
}
