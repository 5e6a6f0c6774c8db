package ec2api

import (
	"context"
	"slices"
	"strconv"

	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/volume"
)

type describeVolumesRequest struct {
	common
	paged
	filtered
	VolumeId                []string
	IncludeManagedResources bool // there are none
}

func noVolume(volumeAnswer) []string { return nil }

var volumeFields = fields[volumeAnswer]{
	named: map[string]func(volumeAnswer) []string{
		"attachment.attach-time":           noVolume,
		"attachment.delete-on-termination": noVolume,
		"attachment.device":                noVolume,
		"attachment.instance-id":           noVolume,
		"attachment.status":                noVolume,
		"availability-zone":                func(v volumeAnswer) []string { return []string{v.Zone} },
		"availability-zone-id":             func(v volumeAnswer) []string { return []string{v.ZoneID} },
		"create-time":                      func(v volumeAnswer) []string { return []string{timeText(v.Created)} },
		"encrypted":                        func(v volumeAnswer) []string { return []string{strconv.FormatBool(v.Encrypted)} },
		"fast-restored":                    noVolume,
		"multi-attach-enabled":             func(v volumeAnswer) []string { return []string{strconv.FormatBool(v.MultiAttach)} },
		"size":                             func(v volumeAnswer) []string { return []string{strconv.FormatInt(v.Size, 10)} },
		"snapshot-id":                      func(v volumeAnswer) []string { return present(v.Snapshot) },
		"status":                           func(v volumeAnswer) []string { return []string{v.Status} },
		"tag-key":                          func(v volumeAnswer) []string { return tagKeys(v.volume.Tags) },
		"volume-id":                        func(v volumeAnswer) []string { return []string{v.ID} },
		"volume-type":                      func(v volumeAnswer) []string { return []string{v.Type} },
	},
	tags: func(v volumeAnswer) tag.Set { return v.volume.Tags },
}

var describeVolumesRules = volumeListRules(volumeFields, func(r describeVolumesRequest) []string { return r.VolumeId })

type describeVolumesAnswer struct {
	Volumes   ec2query.List[volumeAnswer] `xml:"volumeSet"`
	NextToken string                      `xml:"nextToken,omitempty"`
}

type volumeAnswer struct {
	ID          string                    `xml:"volumeId"`
	Size        int64                     `xml:"size"` // GiB
	Snapshot    string                    `xml:"snapshotId"`
	Zone        string                    `xml:"availabilityZone"`
	ZoneID      string                    `xml:"availabilityZoneId"`
	Status      string                    `xml:"status"`
	Created     ec2query.Time             `xml:"createTime"`
	Attachments ec2query.List[string]     `xml:"attachmentSet"`
	Tags        *ec2query.List[tagAnswer] `xml:"tagSet"`
	Type        string                    `xml:"volumeType"`
	Iops        int64                     `xml:"iops,omitempty"`
	Throughput  int64                     `xml:"throughput,omitempty"`
	Encrypted   bool                      `xml:"encrypted"`
	KMSKey      string                    `xml:"kmsKeyId,omitempty"`
	MultiAttach bool                      `xml:"multiAttachEnabled"`

	volume volume.Volume
}

func showVolume(v volume.Volume) volumeAnswer {
	a := volumeAnswer{
		ID: v.ID, Size: v.Settings.Size, Snapshot: v.Snapshot, Zone: v.Zone, Status: "available", Created: ec2query.Time(v.Created), Tags: optionalTags(v.Tags),
		Type: v.Settings.Type, Iops: shownIops(v.Settings), Throughput: v.Settings.Throughput, Encrypted: v.KMSKey != "", KMSKey: v.KMSKey,
		MultiAttach: v.Settings.MultiAttach, volume: v,
	}
	if i := slices.Index(zoneNames(v.Region), v.Zone); i >= 0 {
		a.ZoneID = zoneIDs(v.Region)[i]
	}
	return a
}

// shownIops are those that were asked for; a gp2 volume has three for each GiB, and at
// least 100.
func shownIops(s volume.Settings) int64 {
	if s.Type != "gp2" {
		return s.Iops
	}
	return min(16000, max(100, 3*s.Size))
}

// volumesOf makes the list of volumes that a request is about, without its places and matches.
func volumesOf[T any](ctx context.Context, c call, ids []string, filters filtered, show func(volume.Volume) T) (l list[T], err error) {
	l.wanted = wanted{ids, c.haveVolumes}
	if err := l.wanted.check(ctx); err != nil {
		return l, err
	}
	about, err := c.ids(ctx, ids, filters, "volume-id")
	if err != nil {
		return l, err
	}
	l.next = shownAs(show, func(ctx context.Context, after listing.Place, n int) ([]volume.Volume, error) {
		return c.Volumes.List(ctx, c.Home(), volume.Filter{IDs: about}, after, n)
	})
	return l, nil
}

// haveVolumes fails unless all volumes of the ids are the account's.
func (c call) haveVolumes(ctx context.Context, ids []string) error {
	have, err := c.Volumes.List(ctx, c.Home(), volume.Filter{IDs: ids}, listing.Place{}, len(ids))
	if err != nil {
		return err
	}
	return missing(ids, have, func(v volume.Volume) string { return v.ID }, volume.ErrNotFound)
}

func describeVolumes(ctx context.Context, c call, r describeVolumesRequest) (any, error) {
	l, err := volumesOf(ctx, c, r.VolumeId, r.filtered, showVolume)
	if err != nil {
		return nil, err
	}
	l.place = func(v volumeAnswer) string { return listing.At(v.volume.Created, v.ID).String() }
	l.match = volumeFields.matching(r.Filter)
	shown, token, err := page(ctx, c, r.paged, l)
	if err != nil {
		return nil, err
	}
	return describeVolumesAnswer{shown, token}, nil
}

type describeVolumeStatusRequest struct {
	common
	paged
	filtered
	VolumeId                []string
	IncludeManagedResources bool // there are none
}

func noStatus(volumeStatusAnswer) []string { return nil }

var volumeStatusFields = fields[volumeStatusAnswer]{named: map[string]func(volumeStatusAnswer) []string{
	"action.code":                  noStatus,
	"action.description":           noStatus,
	"action.event-id":              noStatus,
	"availability-zone":            func(v volumeStatusAnswer) []string { return []string{v.Zone} },
	"event.description":            noStatus,
	"event.event-id":               noStatus,
	"event.event-type":             noStatus,
	"event.not-after":              noStatus,
	"event.not-before":             noStatus,
	"volume-status.details-name":   func(v volumeStatusAnswer) []string { return []string{v.Details[0].Name, v.Details[1].Name} },
	"volume-status.details-status": func(v volumeStatusAnswer) []string { return []string{v.Details[0].Status, v.Details[1].Status} },
	"volume-status.status":         func(v volumeStatusAnswer) []string { return []string{v.Status} },
}}

var describeVolumeStatusRules = volumeListRules(volumeStatusFields, func(r describeVolumeStatusRequest) []string { return r.VolumeId })

type describeVolumeStatusAnswer struct {
	Volumes   ec2query.List[volumeStatusAnswer] `xml:"volumeStatusSet"`
	NextToken string                            `xml:"nextToken,omitempty"`
}

type volumeStatusAnswer struct {
	ID          string                      `xml:"volumeId"`
	Zone        string                      `xml:"availabilityZone"`
	Status      string                      `xml:"volumeStatus>status"`
	Details     ec2query.List[statusDetail] `xml:"volumeStatus>details"`
	Events      ec2query.List[string]       `xml:"eventsSet"`
	Actions     ec2query.List[string]       `xml:"actionsSet"`
	Attachments ec2query.List[string]       `xml:"attachmentStatuses"`

	volume volume.Volume
}

type statusDetail struct {
	Name   string `xml:"name"`
	Status string `xml:"status"`
}

func showVolumeStatus(v volume.Volume) volumeStatusAnswer {
	return volumeStatusAnswer{
		ID: v.ID, Zone: v.Zone, Status: "ok", volume: v,
		Details: ec2query.List[statusDetail]{{"io-enabled", "passed"}, {"io-performance", "not-applicable"}},
	}
}

func describeVolumeStatus(ctx context.Context, c call, r describeVolumeStatusRequest) (any, error) {
	l, err := volumesOf(ctx, c, r.VolumeId, r.filtered, showVolumeStatus)
	if err != nil {
		return nil, err
	}
	l.place = func(v volumeStatusAnswer) string { return listing.At(v.volume.Created, v.ID).String() }
	l.match = volumeStatusFields.matching(r.Filter)
	shown, token, err := page(ctx, c, r.paged, l)
	if err != nil {
		return nil, err
	}
	return describeVolumeStatusAnswer{shown, token}, nil
}
