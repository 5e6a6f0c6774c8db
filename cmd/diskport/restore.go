package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type restoreCmd struct {
	At        timeFlag
	MasterKey string
	Partial   bool
	Unproven  bool
	List      bool
	Rate      byteSize // a second; 0 is no limit
	JSON      bool
}

func (c *restoreCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore SRC",
		Short: "Restore a backup to an empty data directory.",
		Long: "Make the data directory that --data names of a backup: a directory, or s3://BUCKET/PREFIX?endpoint=URL&region=REGION, as with diskport backup. The directory must be empty or missing. " +
			"Every file is compared with what was written. It may be interrupted, and goes on when it is run again.\n\n" +
			"Tasks that were running go on, or end. Clients keep their access keys; the root key is a new one unless the backup has it.",
		Example: "  diskport restore /srv/backup --list\n  diskport restore /srv/backup --data /srv/diskport --master-key diskport.key\n  diskport restore /srv/backup --data then --master-key diskport.key \\\n    --at 2026-11-30T04:00:00Z",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args[0]) },
	}
	fs := cmd.Flags()
	fs.Var(&c.At, "at", "Restore the newest backup of this `TIME` or before it: RFC 3339, such as 2026-11-30T04:00:00Z. Default: the newest.")
	pathVar(fs, &c.MasterKey, "master-key", "The service's master key: `FILE`, as it was when the backup was made; or a later one, with its master.key.former beside it. Default: the one in the backup, if that has one.")
	fs.BoolVar(&c.Partial, "partial", false, "Restore what is whole of a damaged backup, and say which snapshots are lost.")
	setEnv(fs, "at")
	setEnv(fs, "partial")
	fs.BoolVar(&c.Unproven, "accept-unproven", false, "Restore a backup of which nothing proves that the service has made it: that of an older version, or one that was changed.")
	setEnv(fs, "accept-unproven")
	fs.BoolVar(&c.List, "list", false, "List the backups, and restore nothing.")
	setEnv(fs, "list")
	sizeVar(fs, &c.Rate, "rate", 0, "Read this much a second at most: a `SIZE` such as 50MiB. 0 is as much as possible.")
	fs.BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// run restores a backup.
func (c *restoreCmd) run(ctx context.Context, a *app, src string) error {
	src, creds, err := placeOf(ctx, src)
	if err != nil {
		return err
	}
	if c.List {
		return c.list(ctx, a, src, creds)
	}
	p := a.newProgress("restoring")
	done, err := a.restore(ctx, restoration{
		place: src, credentials: creds, at: c.At.Time, master: c.MasterKey, partial: c.Partial, unproven: c.Unproven, rate: int64(c.Rate),
		progress: func(done, total int64) { p.step("copying", done, total) },
	})
	p.end()
	if err != nil {
		return err
	}
	return c.report(a, done)
}

// list says which backups there are.
func (c *restoreCmd) list(ctx context.Context, a *app, src string, creds aws.CredentialsProvider) error {
	backups, err := a.backups(ctx, src, creds)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(backups)
	}
	var rows [][]string
	for _, b := range backups {
		damage := b.Damage
		if b.Before > 0 {
			damage = count(b.Before, "file") + " when it was made"
		}
		rows = append(rows, []string{b.At.Format(time.RFC3339Nano), fmt.Sprint(b.Files), size(b.Bytes), damage})
	}
	return a.printTable([]string{"Time", "Files", "Size", "Damage"}, rows)
}

// report says what was restored. It fails if something is lost.
func (c *restoreCmd) report(a *app, done restored) error {
	var err error
	if n := int64(len(done.Lost)); n > 0 {
		err = fmt.Errorf("the backup has lost %s: %s", count(n, "file"), lostOf(done))
	}
	if c.JSON {
		return errors.Join(a.printJSON(done), err)
	}
	for _, text := range done.Before {
		a.note("damaged when the backup was made: %s", text)
	}
	for _, text := range done.Lost {
		a.note("lost: %s", text)
	}
	for _, s := range done.Snapshots {
		a.note("%s of account %s in %s is not whole: %s", s.ID, s.Account, s.Region, s.Why)
	}
	a.say("restored %s in %s to %s, as of %s\n", size(done.Bytes), count(done.Files, "file"), a.Data, done.At.Format(time.RFC3339))
	if done.NewRootKey {
		a.note("The root key is not in the backup: the first start makes a new one, which is then in %s.", "the file credentials of the data directory")
	}
	return err
}

func lostOf(done restored) string {
	if n := int64(len(done.Snapshots)); n > 0 {
		return count(n, "snapshot") + " can't be read as a whole"
	}
	return "no snapshot needs any of it"
}

// timeFlag is a flag that takes a time.
type timeFlag struct{ time.Time }

var _ pflag.Value = (*timeFlag)(nil)

// String implements pflag.Value.
func (t *timeFlag) String() string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// Type implements pflag.Value.
func (t *timeFlag) Type() string { return "time" }

// Set implements pflag.Value.
func (t *timeFlag) Set(text string) (err error) {
	t.Time, err = time.Parse(time.RFC3339, text)
	return err
}
