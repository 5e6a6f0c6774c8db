package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/client"
)

// envBackup is the prefix of the variables with the keys for an S3 of backups.
const envBackup = "DISKPORT_BACKUP_"

type backupCmd struct {
	Keep             int
	Check            bool
	Rate             byteSize // a second; 0 is no limit
	IncludeMasterKey bool
	JSON             bool
}

func (c *backupCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup DEST",
		Short: "Back up everything to a directory or an S3, while the service works.",
		Long: "Back up the database and all files that it names to a directory, or to s3://BUCKET/PREFIX?endpoint=URL&region=REGION. A second backup to the same place copies only what is new. " +
			"It may be interrupted: the backups before it stay, and the next one goes on." +
			"\n\nThe master key is not in it: keep master.key of the data directory elsewhere, and again after each rotate-key --master. Without it a backup can't be restored." +
			"\n\nKeys for an S3: DISKPORT_BACKUP_ACCESS_KEY_ID and DISKPORT_BACKUP_SECRET_ACCESS_KEY; for AWS's own, where AWS's SDK finds them.",
		Example: "  diskport backup /srv/backup/diskport --keep 14\n  diskport backup 's3://backups/one?endpoint=https://s3.example.com'",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args[0]) },
	}
	fs := cmd.Flags()
	fs.IntVar(&c.Keep, "keep", 0, "Keep this one and the `N`-1 before it, and remove the files that only older ones need. 0 keeps all.")
	fs.BoolVar(&c.Check, "check", false, "Read what is there already too, and copy again what is damaged.")
	sizeVar(fs, &c.Rate, "rate", 0, "Read this much a second at most: a `SIZE` such as 50MiB. 0 is as much as possible.")
	fs.BoolVar(&c.IncludeMasterKey, "include-master-key", false, "Put the master key and the root key into the backup, in the clear. Whoever reads it can then read everything: for places that are encrypted and guarded as the data directory is.")
	setEnv(fs, "include-master-key")
	fs.BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// run makes a backup.
func (c *backupCmd) run(ctx context.Context, a *app, dest string) error {
	if c.Keep < 0 {
		return &usageError{errors.New("--keep must not be negative")}
	}
	dest, creds, err := placeOf(ctx, dest)
	if err != nil {
		return err
	}
	return a.withLasting(ctx, func(s *session) error {
		p := a.newProgress("backing up")
		done, err := s.Backup(ctx, client.Backup{
			Place: dest, Credentials: creds, Keep: c.Keep, Check: c.Check, Rate: int64(c.Rate), IncludeMasterKey: c.IncludeMasterKey,
		}, func(done, total int64) { p.step("copying", done, total) })
		p.end()
		if err != nil {
			return err
		}
		return c.report(a, dest, done)
	})
}

// report says what was done. It fails if something is damaged, in the service or in an
// older backup.
func (c *backupCmd) report(a *app, dest string, done client.BackedUp) error {
	var err error
	if n := int64(len(done.Damaged)); n > 0 {
		err = fmt.Errorf("the store is damaged in %s: it was backed up as it is, and diskport verify says which snapshots it concerns", count(n, "place"))
	}
	if n := int64(len(done.Lost)); n > 0 {
		err = errors.Join(err, fmt.Errorf("of older backups %s are lost, or not proven to be the service's own: what needs them can't be restored", count(n, "file")))
	}
	if c.JSON {
		return errors.Join(a.printJSON(done), err)
	}
	for what, list := range map[string][]string{"damaged": done.Damaged, "of an older backup": done.Lost, "copied again": done.Again} {
		for _, text := range list {
			a.note("%s: %s", what, text)
		}
	}
	a.say("backed up %s in %s, of %s: %s were copied\n", size(done.Bytes), count(done.Files, "file"), done.Moment, size(done.CopiedBytes))
	if done.Gone > 0 {
		a.say("removed %s and %s that no other needs\n", count(done.Gone, "older backup"), count(done.Removed, "file"))
	}
	if c.IncludeMasterKey {
		a.note("The master key is in %s, in the clear: guard it as you guard the data directory.", dest)
	} else {
		a.note("The master key is NOT in it. Keep a copy of master.key of the data directory in another place: without it this backup can't be restored.")
	}
	return err
}

// placeOf returns a place of backups as the service takes it, and the keys for it; none
// for a directory.
func placeOf(ctx context.Context, text string) (string, aws.CredentialsProvider, error) {
	if !strings.HasPrefix(text, "s3://") {
		path, err := absolutePath(text)
		if path == "" || path == "-" {
			err = &usageError{errors.New("a backup is in a directory, or at s3://BUCKET/PREFIX")}
		}
		return path, nil, err
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", nil, &usageError{err}
	}
	creds, err := keysOf(ctx, envBackup, cmp.Or(u.Query().Get("endpoint"), realAWS))
	return text, creds, err
}
