package ec2api

import (
	"context"

	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
)

type modifyTierRequest struct {
	snapshotRequest
	StorageTier string
}

var modifyTierRules = append(
	oneSnapshotRules[modifyTierRequest](),
	rule[modifyTierRequest]{
		field: "StorageTier", code: "InvalidParameterValue", message: "Value (%s) for parameter storageTier is invalid. It must be archive.",
		broken: func(_ call, r modifyTierRequest) (string, bool) {
			return r.StorageTier, r.StorageTier != "" && r.StorageTier != string(snapshot.Archive)
		},
	},
)

type modifyTierAnswer struct {
	ID    string        `xml:"snapshotId"`
	Start ec2query.Time `xml:"tieringStartTime"`
}

func modifyTier(ctx context.Context, c call, r modifyTierRequest) (any, error) {
	if err := c.setTier(ctx, r.SnapshotId, snapshot.Archive); err != nil {
		return nil, err
	}
	return modifyTierAnswer{ID: r.SnapshotId, Start: ec2query.Time(c.Now())}, nil
}

// setTier moves a completed snapshot, which takes no time.
func (c call) setTier(ctx context.Context, id string, t snapshot.Tier) error {
	record, err := c.ownSnapshot(ctx, id)
	switch {
	case err != nil:
		return err
	case record.State != snapshot.Completed:
		return about(id, snapshot.ErrNotPending)
	case record.Tier == t:
		return refused("IncorrectState", "The snapshot '"+id+"' is in the "+string(t)+" tier already.")
	}
	if err := c.Changes.SetTier(ctx, c.Home(), id, t); err != nil {
		return about(id, err)
	}
	return nil
}

type restoreTierRequest struct {
	snapshotRequest
	PermanentRestore     bool
	TemporaryRestoreDays *int64
}

var restoreTierRules = append(
	oneSnapshotRules[restoreTierRequest](),
	rule[restoreTierRequest]{
		field: "PermanentRestore", code: "InvalidParameterCombination", message: "PermanentRestore and TemporaryRestoreDays cannot be used together",
		broken: func(_ call, r restoreTierRequest) (string, bool) {
			return "", r.PermanentRestore && r.TemporaryRestoreDays != nil
		},
	},
	rule[restoreTierRequest]{
		field: "PermanentRestore", code: "MissingParameter", message: "The request must contain the parameter PermanentRestore or TemporaryRestoreDays",
		broken: func(_ call, r restoreTierRequest) (string, bool) {
			return "", !r.PermanentRestore && r.TemporaryRestoreDays == nil
		},
	},
	rule[restoreTierRequest]{
		field: "TemporaryRestoreDays", code: "UnsupportedOperation", message: "The parameter TemporaryRestoreDays is not supported: archived snapshots can be read here; restore them permanently.",
		broken: func(_ call, r restoreTierRequest) (string, bool) { return "", r.TemporaryRestoreDays != nil },
	},
)

type restoreTierAnswer struct {
	ID        string        `xml:"snapshotId"`
	Start     ec2query.Time `xml:"restoreStartTime"`
	Permanent bool          `xml:"isPermanentRestore"`
}

func restoreTier(ctx context.Context, c call, r restoreTierRequest) (any, error) {
	if err := c.setTier(ctx, r.SnapshotId, snapshot.Standard); err != nil {
		return nil, err
	}
	return restoreTierAnswer{ID: r.SnapshotId, Start: ec2query.Time(c.Now()), Permanent: true}, nil
}

type describeTiersRequest struct {
	common
	paged
	filtered
}

var tierFields = fields[tierAnswer]{
	named: map[string]func(tierAnswer) []string{
		"snapshot-id":            func(t tierAnswer) []string { return []string{t.ID} },
		"volume-id":              func(t tierAnswer) []string { return []string{t.VolumeID} },
		"last-tiering-operation": func(t tierAnswer) []string { return []string{t.Operation} },
	},
	tags: func(t tierAnswer) tag.Set { return t.record.Tags },
}

var describeTiersRules = append(
	[]rule[describeTiersRequest]{pageRule[describeTiersRequest](5, 0)},
	filterRules[tierAnswer, describeTiersRequest](tierFields)...,
)

type describeTiersAnswer struct {
	Tiers     ec2query.List[tierAnswer] `xml:"snapshotTierStatusSet"`
	NextToken string                    `xml:"nextToken,omitempty"`
}

type tierAnswer struct {
	ID        string                    `xml:"snapshotId"`
	VolumeID  string                    `xml:"volumeId"`
	Status    string                    `xml:"status"`
	OwnerID   string                    `xml:"ownerId"`
	Tags      *ec2query.List[tagAnswer] `xml:"tagSet"`
	Tier      string                    `xml:"storageTier"`
	Start     *ec2query.Time            `xml:"lastTieringStartTime"`
	Progress  int                       `xml:"lastTieringProgress,omitempty"`
	Operation string                    `xml:"lastTieringOperationStatus,omitempty"`
	Archived  *ec2query.Time            `xml:"archivalCompleteTime"`

	record snapshot.Record
}

func describeTiers(ctx context.Context, c call, r describeTiersRequest) (any, error) {
	ids, err := c.ids(ctx, nil, r.filtered, "snapshot-id")
	if err != nil {
		return nil, err
	}
	shown, next, err := page(ctx, c, r.paged, list[tierAnswer]{
		next:  shownAs(showTier, c.snapshots(snapshot.Filter{IDs: ids, Owners: []string{c.account()}})),
		place: func(t tierAnswer) string { return listing.At(t.record.StartedAt, t.ID).String() },
		match: tierFields.matching(r.Filter),
	})
	if err != nil {
		return nil, err
	}
	return describeTiersAnswer{Tiers: shown, NextToken: next}, nil
}

func showTier(r snapshot.Record) tierAnswer {
	t := tierAnswer{
		ID: r.ID, VolumeID: volumeOf(r), Status: string(r.State), OwnerID: r.Account, Tags: optionalTags(r.Tags), Tier: string(r.Tier), record: r,
	}
	if r.TierSince.IsZero() {
		return t
	}
	t.Start, t.Progress, t.Operation = ec2query.OptionalTime(r.TierSince), 100, "permanent-restore-completed"
	if r.Tier == snapshot.Archive {
		t.Operation, t.Archived = "archival-completed", t.Start
	}
	return t
}
