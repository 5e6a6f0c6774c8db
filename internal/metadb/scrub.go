package metadb

import (
	"context"

	"github.com/diskport/diskport/internal/store/verify"
	"github.com/diskport/diskport/internal/work"
)

var _ verify.Rounds = Inventory{}

// scrubName is the name of the one row of scrubs.
const scrubName = "store"

// Round implements verify.Rounds.
func (v Inventory) Round(ctx context.Context) (r verify.Round, err error) {
	scan := func(s scanner) (r verify.Round, err error) {
		var begun, ended int64
		d := &r.Done
		err = s.Scan(&begun, &ended, &r.At.Stage, &r.At.After, &d.Files, &d.Bytes, &d.Blocks, &d.Snapshots, &d.Findings, &d.Harmless, &d.Healed)
		r.Begun, r.Ended = fromMicros(begun), fromMicros(ended)
		return r, err
	}
	err = v.db.ask(ctx, "read how far the scrub is", func(q querier) error {
		r, _, err = one(ctx, q, scan, `
			SELECT begun, ended, stage, after, files, bytes, blocks, snapshots, findings, harmless, healed FROM scrubs WHERE name = $1`, scrubName)
		return err
	})
	return r, err
}

// SaveRound implements verify.Rounds.
func (v Inventory) SaveRound(ctx context.Context, l work.Lease, r verify.Round) error {
	return v.db.update(ctx, "save how far the scrub is", func(q querier) error {
		if err := holdUnit(ctx, q, l); err != nil {
			return err
		}
		d := r.Done
		_, err := exec(ctx, q, `
			INSERT INTO scrubs (name, begun, ended, stage, after, files, bytes, blocks, snapshots, findings, harmless, healed)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
			ON CONFLICT (name) DO UPDATE SET begun = excluded.begun, ended = excluded.ended, stage = excluded.stage, after = excluded.after,
				files = excluded.files, bytes = excluded.bytes, blocks = excluded.blocks, snapshots = excluded.snapshots,
				findings = excluded.findings, harmless = excluded.harmless, healed = excluded.healed`,
			scrubName, micros(r.Begun), micros(r.Ended), int64(r.At.Stage), r.At.After, d.Files, d.Bytes, d.Blocks, d.Snapshots, d.Findings, d.Harmless, d.Healed)
		return err
	})
}
