package metadb

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/kms"
)

// placeInRegions is the migration that says in which regions the rows are that were
// made when regions were not told apart. It is not in SQL because only the service knows
// which regions it plays.
func placeInRegions(regions awsid.Regions) *goose.Migration {
	up := func(ctx context.Context, tx *sql.Tx) error {
		if regions.Own() == "" {
			return emptyOrError(ctx, tx)
		}
		if err := placeTasks(ctx, tx, regions); err != nil {
			return err
		}
		if err := placeSnapshots(ctx, tx, regions); err != nil {
			return err
		}
		if _, err := exec(ctx, tx, followSnapshots); err != nil {
			return err
		}
		for _, stmt := range []string{
			`UPDATE snapshot_shares SET region = COALESCE((SELECT s.region FROM snapshots s WHERE s.id = snapshot_shares.snapshot), $1)`,
			`UPDATE images SET region = COALESCE((SELECT MIN(s.region) FROM image_snapshots u JOIN snapshots s ON s.id = u.snapshot
				WHERE u.image = images.id), $1)`,
			`UPDATE outbox SET region = COALESCE((SELECT t.region FROM tasks t WHERE t.id = outbox.resource),
				(SELECT s.region FROM snapshots s WHERE s.id = outbox.resource), $1)`,
			`UPDATE tags SET region = COALESCE((SELECT t.region FROM tasks t WHERE t.id = tags.resource),
				(SELECT s.region FROM snapshots s WHERE s.id = tags.resource), (SELECT i.region FROM images i WHERE i.id = tags.resource), $1)`,
		} {
			if _, err := exec(ctx, tx, stmt, regions.Own()); err != nil {
				return err
			}
		}
		return nil
	}
	down := func(context.Context, *sql.Tx) error { return nil }
	return goose.NewGoMigration(21, &goose.GoFunc{RunTx: up}, &goose.GoFunc{RunTx: down})
}

// unplayed are the regions in which there is something, but which the service does not
// play, so that nobody sees or frees it.
func (db *DB) unplayed(ctx context.Context) ([]string, error) {
	used, err := all(ctx, db.read, column[string], `
		SELECT region FROM snapshots UNION SELECT region FROM tasks UNION SELECT region FROM images
		UNION SELECT region FROM image_tasks UNION SELECT region FROM volumes UNION SELECT region FROM kms_keys`)
	return slices.DeleteFunc(used, db.regions.Has), err
}

// warnOfUnplayed tells the operator of them: a service that is started with other
// regions than before seems to have lost what it has.
func (db *DB) warnOfUnplayed(ctx context.Context, warn func(string)) error {
	if warn == nil || db.regions.Own() == "" {
		return nil
	}
	hidden, err := db.unplayed(ctx)
	if err != nil || len(hidden) == 0 {
		return err
	}
	slices.Sort(hidden)
	warn("there are resources in " + strings.Join(hidden, ", ") + ", which the service does not play: nobody sees them until --region and --regions say so again")
	return nil
}

// followSnapshots places tasks where their snapshots are: one that is not finished looks
// for its snapshot in its own region.
const followSnapshots = `
	UPDATE tasks SET region = (SELECT s.region FROM snapshots s WHERE s.id = tasks.snapshot)
	WHERE snapshot IN (SELECT id FROM snapshots)`

// placeTasks leaves tasks in the region that their requests were signed for, which
// nothing checked, if the service plays it.
func placeTasks(ctx context.Context, q querier, regions awsid.Regions) error {
	signed, err := all(ctx, q, column[string], `SELECT DISTINCT region FROM tasks`)
	if err != nil {
		return err
	}
	for _, region := range signed {
		if regions.Has(region) {
			continue
		}
		if _, err := exec(ctx, q, `UPDATE tasks SET region = $1 WHERE region = $2`, regions.Own(), region); err != nil {
			return err
		}
	}
	return nil
}

// placeSnapshots places snapshots: an encrypted one where its key is, which is where it
// can be read; else one of an import where its task is; all others in the service's own
// region.
func placeSnapshots(ctx context.Context, q querier, regions awsid.Regions) error {
	_, err := exec(ctx, q, `UPDATE snapshots SET region = COALESCE((SELECT t.region FROM tasks t WHERE t.id = snapshots.task), $1)`, regions.Own())
	if err != nil {
		return err
	}
	type domain struct{ id, key string }
	scan := func(s scanner) (d domain, err error) {
		err = s.Scan(&d.id, &d.key)
		return d, err
	}
	encrypted, err := all(ctx, q, scan, `SELECT id, kms_key FROM domains WHERE kms_key <> ''`)
	if err != nil {
		return err
	}
	for _, d := range encrypted {
		id, err := kms.ParseIdentifier(d.key)
		if err != nil || !regions.Has(id.Region) {
			continue
		}
		if _, err := exec(ctx, q, `UPDATE snapshots SET region = $1 WHERE domain = $2`, id.Region, d.id); err != nil {
			return err
		}
	}
	return nil
}

// emptyOrError fails if there are rows that belong to a region: nobody said which
// regions there are.
func emptyOrError(ctx context.Context, q querier) error {
	n, _, err := one(ctx, q, column[int], `
		SELECT (SELECT COUNT(*) FROM tasks) + (SELECT COUNT(*) FROM snapshots) + (SELECT COUNT(*) FROM images)`)
	if err == nil && n > 0 {
		err = errors.New("it is not said which regions the service plays")
	}
	return err
}
