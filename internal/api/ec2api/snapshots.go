package ec2api

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
)

type describeSnapshotsRequest struct {
	common
	paged
	filtered
	SnapshotId   []string
	Owner        []string
	RestorableBy []string
}

// noVolumeID is the volume that a snapshot claims to be of that was imported, written, or
// copied.
const noVolumeID = "vol-ffffffff"

func volumeOf(r snapshot.Record) string { return orDefault(r.Volume, noVolumeID) }

var snapshotFields = fields[snapshotAnswer]{
	named: map[string]func(snapshotAnswer) []string{
		"description":   func(s snapshotAnswer) []string { return s.descriptions },
		"encrypted":     func(s snapshotAnswer) []string { return []string{strconv.FormatBool(s.Encrypted)} },
		"owner-alias":   func(snapshotAnswer) []string { return nil },
		"owner-id":      func(s snapshotAnswer) []string { return []string{s.OwnerID} },
		"progress":      func(s snapshotAnswer) []string { return []string{s.Progress} },
		"snapshot-id":   func(s snapshotAnswer) []string { return []string{s.ID} },
		"start-time":    func(s snapshotAnswer) []string { return []string{timeText(s.StartTime)} },
		"status":        func(s snapshotAnswer) []string { return []string{s.Status} },
		"storage-tier":  func(s snapshotAnswer) []string { return []string{s.StorageTier} },
		"transfer-type": func(snapshotAnswer) []string { return nil },
		"tag-key":       func(s snapshotAnswer) []string { return tagKeys(s.record.Tags) },
		"volume-id":     func(s snapshotAnswer) []string { return []string{s.VolumeID} },
		"volume-size":   func(s snapshotAnswer) []string { return []string{strconv.FormatInt(s.VolumeSize, 10)} },
	},
	tags: func(s snapshotAnswer) tag.Set { return s.record.Tags },
}

var accountID = regexp.MustCompile(`^\d{12}$`)

var describeSnapshotsRules = slices.Concat(
	[]rule[describeSnapshotsRequest]{
		pageRule[describeSnapshotsRequest](5, 0),
		few("SnapshotId", func(r describeSnapshotsRequest) int { return len(r.SnapshotId) }),
		few("Owner", func(r describeSnapshotsRequest) int { return len(r.Owner) }),
		few("RestorableBy", func(r describeSnapshotsRequest) int { return len(r.RestorableBy) }),
	},
	snapshotIDRules(func(r describeSnapshotsRequest) []string { return r.SnapshotId }),
	[]rule[describeSnapshotsRequest]{
		accountRule("Owner.N", []string{"self", "amazon", "aws-marketplace"}, func(r describeSnapshotsRequest) []string { return r.Owner }),
		accountRule("RestorableBy.N", []string{"self", "all"}, func(r describeSnapshotsRequest) []string { return r.RestorableBy }),
	},
	filterRules[snapshotAnswer, describeSnapshotsRequest](snapshotFields),
)

// snapshotIDRules are the two validation rows of snapshot ids.
func snapshotIDRules[R any](ids func(R) []string) []rule[R] {
	first := func(r R, bad func(string) bool) (string, bool) {
		if i := slices.IndexFunc(ids(r), bad); i >= 0 {
			return ids(r)[i], true
		}
		return "", false
	}
	return []rule[R]{
		{
			field: "SnapshotId", code: "InvalidParameterValue", message: "Value (%s) for parameter snapshotId is invalid. Expected: 'snap-...'.",
			broken: func(_ call, r R) (string, bool) {
				return first(r, func(id string) bool { return !strings.HasPrefix(id, "snap-") })
			},
		},
		{
			field: "SnapshotId", code: "InvalidSnapshotID.Malformed", message: "Value ( %s ) for parameter SNAPSHOT is invalid. ",
			broken: func(_ call, r R) (string, bool) {
				return first(r, func(id string) bool { return !awsid.IsSnapshot(id) })
			},
		},
	}
}

// accountRule is the validation row of a list of accounts, in which some may be
// given by words.
func accountRule[R any](field string, words []string, values func(R) []string) rule[R] {
	return rule[R]{
		field: field, code: "InvalidUserID.Malformed", message: "Invalid user id: \"%s\"",
		broken: func(_ call, r R) (string, bool) {
			for _, v := range values(r) {
				if !slices.Contains(words, v) && !accountID.MatchString(v) {
					return v, true
				}
			}
			return "", false
		},
	}
}

type describeSnapshotsAnswer struct {
	Snapshots ec2query.List[snapshotAnswer] `xml:"snapshotSet"`
	NextToken string                        `xml:"nextToken,omitempty"`
}

type snapshotAnswer struct {
	ID          string                    `xml:"snapshotId"`
	VolumeID    string                    `xml:"volumeId"`
	Status      string                    `xml:"status"`
	Message     string                    `xml:"statusMessage,omitempty"`
	StartTime   ec2query.Time             `xml:"startTime"`
	EndTime     *ec2query.Time            `xml:"completionTime"`
	Progress    string                    `xml:"progress"`
	OwnerID     string                    `xml:"ownerId"`
	VolumeSize  int64                     `xml:"volumeSize"` // GiB
	Description string                    `xml:"description"`
	Encrypted   bool                      `xml:"encrypted"`
	KMSKey      string                    `xml:"kmsKeyId,omitempty"`
	DataKey     string                    `xml:"dataEncryptionKeyId,omitempty"`
	StorageTier string                    `xml:"storageTier"`
	FullSize    int64                     `xml:"fullSnapshotSizeInBytes"`
	Tags        *ec2query.List[tagAnswer] `xml:"tagSet"`

	record       snapshot.Record
	descriptions []string // that the filter finds it by
}

func describeSnapshots(ctx context.Context, c call, r describeSnapshotsRequest) (any, error) {
	wanted := wanted{r.SnapshotId, func(ctx context.Context, ids []string) error {
		_, err := c.usable(ctx, ids)
		return err
	}}
	if err := wanted.check(ctx); err != nil {
		return nil, err
	}
	f, err := c.snapshotFilter(ctx, r)
	if err != nil {
		return nil, err
	}
	shown, next, err := page(ctx, c, r.paged, list[snapshotAnswer]{
		next:   shownAs(c.showSnapshot, c.snapshots(f)),
		place:  func(s snapshotAnswer) string { return listing.At(s.record.StartedAt, s.ID).String() },
		match:  snapshotFields.matching(r.Filter),
		wanted: wanted,
	})
	if err != nil {
		return nil, err
	}
	return describeSnapshotsAnswer{Snapshots: shown, NextToken: next}, nil
}

// snapshots returns a function that reads the snapshots that match a filter.
func (c call) snapshots(f snapshot.Filter) func(context.Context, listing.Place, int) ([]snapshot.Record, error) {
	return func(ctx context.Context, after listing.Place, n int) ([]snapshot.Record, error) {
		return c.Snapshots.List(ctx, c.Home(), f, after, n)
	}
}

// snapshotFilter narrows what the store reads for a request.
func (c call) snapshotFilter(ctx context.Context, r describeSnapshotsRequest) (snapshot.Filter, error) {
	f := snapshot.Filter{
		Owners: c.accounts(r.Owner), RestorableBy: c.accounts(r.RestorableBy),
		States: among(r.filtered, "status", []snapshot.State{snapshot.Pending, snapshot.Completed, snapshot.Failed}, stateText),
	}
	f.Descriptions, _ = r.exact("description")
	if owners, ok := r.exact("owner-id"); ok {
		f.Owners = both(f.Owners, owners)
	}
	var err error
	f.IDs, err = c.ids(ctx, r.SnapshotId, r.filtered, "snapshot-id")
	return f, err
}

func stateText(s snapshot.State) string { return string(s) }

// accounts returns the accounts that a list means; nil if it is empty. "self" is
// the caller, "all" is snapshot.Everybody; other words (such as "amazon") mean
// accounts that don't exist here.
func (c call) accounts(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	out := slices.Clone(list)
	for i, who := range out {
		if who == "self" {
			out[i] = c.account()
		}
	}
	return out
}

// usable returns the snapshots with these ids, and fails unless the caller may use
// all of them.
func (c call) usable(ctx context.Context, ids []string) ([]snapshot.Record, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	records, err := c.Snapshots.List(ctx, c.Home(), snapshot.Filter{IDs: ids}, listing.Place{}, len(ids))
	if err != nil {
		return nil, err
	}
	return records, missing(ids, records, func(r snapshot.Record) string { return r.ID }, snapshot.ErrNotFound)
}

// ownSnapshot returns a snapshot of the caller's account.
func (c call) ownSnapshot(ctx context.Context, id string) (snapshot.Record, error) {
	record, err := c.Snapshots.Get(ctx, c.Region, id)
	if err == nil && record.Account != c.account() {
		err = snapshot.ErrNotFound
	}
	if err != nil {
		return record, about(id, err)
	}
	return record, nil
}

func (c call) showSnapshot(r snapshot.Record) snapshotAnswer {
	s := snapshotAnswer{
		ID: r.ID, VolumeID: volumeOf(r), Status: string(r.State), Message: r.Message,
		StartTime: ec2query.Time(r.StartedAt), EndTime: ec2query.OptionalTime(r.CompletedAt),
		Progress: strconv.Itoa(r.Progress) + "%", OwnerID: r.Account, VolumeSize: r.VolumeSize,
		Encrypted: r.KMSKey != "", KMSKey: r.KMSKey, DataKey: r.DataKey, StorageTier: string(r.Tier), FullSize: r.Blocks * block.Size, Tags: optionalTags(r.Tags), record: r,
	}
	if r.State == snapshot.Completed {
		s.Progress = "100%"
	}
	if r.Account != c.account() { // tags are shown only to their account
		s.Tags, s.record.Tags = nil, nil
	}
	if r.Task != "" {
		s.descriptions = append(s.descriptions, r.GeneratedDescription())
	}
	if r.Description != "" && (!c.Strict || r.Task == "") {
		s.descriptions = append(s.descriptions, r.Description)
	}
	if len(s.descriptions) > 0 {
		s.Description = s.descriptions[len(s.descriptions)-1]
	}
	return s
}

func timeText(t ec2query.Time) string {
	text, _ := t.MarshalText() // never fails
	return string(text)
}

// snapshotRequest is embedded in requests about one snapshot.
type snapshotRequest struct {
	common
	SnapshotId string
}

func (r snapshotRequest) id() string { return r.SnapshotId }

// onSnapshot is the grant that actions on one snapshot need.
func onSnapshot[R interface{ id() string }](name string) func(call, R) []grant {
	return func(c call, r R) []grant {
		with := policy.Context{}
		if about, ok := any(r).(interface{ keys(policy.Context) }); ok {
			about.keys(with)
		}
		return []grant{{action: "ec2:" + name, context: with, resources: []string{awsid.SnapshotARN(c.Region, orDefault(r.id(), "*"))}}}
	}
}

// oneSnapshotRules are the validation rows of SnapshotId.
func oneSnapshotRules[R interface{ id() string }]() []rule[R] {
	return append(
		[]rule[R]{needed("SnapshotId", func(r R) string { return r.id() })},
		snapshotIDRules(func(r R) []string { return []string{r.id()} })...,
	)
}

type deleteSnapshotRequest struct{ snapshotRequest }

var deleteSnapshotRules = oneSnapshotRules[deleteSnapshotRequest]()

func deleteSnapshot(ctx context.Context, c call, r deleteSnapshotRequest) (any, error) {
	if err := c.Changes.Delete(ctx, c.Home(), r.SnapshotId); err != nil {
		return nil, about(r.SnapshotId, err)
	}
	return ec2query.Done{Return: true}, nil
}
