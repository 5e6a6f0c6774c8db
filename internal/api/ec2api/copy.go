package ec2api

import (
	"context"
	"slices"

	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
)

type copySnapshotRequest struct {
	common
	tagged
	SourceRegion     string
	SourceSnapshotId string
	Description      string
	Encrypted        bool
	KmsKeyId         string
	// CompletionDurationMinutes asks for a copy within a time, which copies here
	// always meet.
	CompletionDurationMinutes *int64
	// Parameters that SDKs add by themselves, for a service that asks its other regions
	// over the network. A copy is always made in the region of the call.
	PresignedUrl      string
	DestinationRegion string

	DestinationOutpostArn       string
	DestinationAvailabilityZone string
}

func copySnapshotGrants(c call, r copySnapshotRequest) []grant {
	tags, all := r.tagsFor(snapshotType), awsid.SnapshotARN(c.Region, "*")
	with, from := tagContext(tags), tagContext(tags)
	region := r.from(c)
	from.Set("aws:RequestedRegion", region) // at AWS, that region is asked too
	grants := []grant{
		{"ec2:CopySnapshot", with, []string{all}},
		{"ec2:CopySnapshot", from, []string{awsid.SnapshotARN(region, orDefault(r.SourceSnapshotId, "*"))}},
	}
	return append(grants, tagOnCreate("CopySnapshot", tags, with, all)...)
}

// from returns the region of the source: the copy's, if there is none of the name that
// was given.
func (r copySnapshotRequest) from(c call) string {
	if c.Regions.Has(r.SourceRegion) {
		return r.SourceRegion
	}
	return c.Region
}

var copySnapshotRules = slices.Concat(
	[]rule[copySnapshotRequest]{
		needed("SourceRegion", func(r copySnapshotRequest) string { return r.SourceRegion }),
		needed("SourceSnapshotId", func(r copySnapshotRequest) string { return r.SourceSnapshotId }),
		{
			field: "SourceRegion", code: "InvalidParameterValue", message: "Value (%s) for parameter sourceRegion is invalid. There is no such region.",
			broken: func(c call, r copySnapshotRequest) (string, bool) {
				return r.SourceRegion, !c.Regions.Has(r.SourceRegion)
			},
		},
		{
			field: "DestinationOutpostArn", code: "UnsupportedOperation", message: "Copying to an Outpost or Local Zone is not supported.",
			broken: func(_ call, r copySnapshotRequest) (string, bool) {
				return "", r.DestinationOutpostArn != "" || r.DestinationAvailabilityZone != ""
			},
		},
	},
	snapshotIDRules(func(r copySnapshotRequest) []string { return []string{r.SourceSnapshotId} }),
	[]rule[copySnapshotRequest]{
		short("Description", func(r copySnapshotRequest) string { return r.Description }),
		{
			field: "CompletionDurationMinutes", code: "InvalidParameterValue",
			message: "Value for parameter completionDurationMinutes is invalid. It must be a multiple of 15 between 15 and 2880.",
			broken: func(_ call, r copySnapshotRequest) (string, bool) {
				return "", !isCopyTime(r.CompletionDurationMinutes)
			},
		},
		{
			field: "KmsKeyId", code: "InvalidParameterDependency", message: "The parameter KmsKeyId requires the parameter Encrypted to be set.",
			broken: func(_ call, r copySnapshotRequest) (string, bool) { return "", r.KmsKeyId != "" && !r.Encrypted },
		},
	},
	specificationRules[copySnapshotRequest](only(snapshotType)),
)

// isCopyTime reports whether a copy may be asked for within n minutes.
func isCopyTime(n *int64) bool { return n == nil || *n >= 15 && *n <= 2880 && *n%15 == 0 }

type copyAnswer struct {
	ID   string                   `xml:"snapshotId"`
	Tags ec2query.List[tagAnswer] `xml:"tagSet"`
}

func copySnapshot(ctx context.Context, c call, r copySnapshotRequest) (any, error) {
	tags, err := tag.Set(nil).Merge(r.tagsFor(snapshotType))
	if err != nil {
		return nil, err
	}
	d, err := c.Defaults.Defaults(ctx, c.Home())
	if err != nil {
		return nil, err
	}
	record, err := c.Copies.Copy(ctx, snapshot.CopyRequest{
		Home: c.Home(), Caller: c.KeyUser(), Source: r.SourceSnapshotId, SourceRegion: r.SourceRegion, Description: r.Description,
		Encrypt: d.Encryption(snapshot.EncryptionRequest{Encrypted: r.Encrypted, Key: r.KmsKeyId}), DefaultKey: d.KMSKey, Tags: tags,
	})
	if err != nil {
		return nil, about(r.SourceSnapshotId, err)
	}
	logkey.NoteID(ctx, record.ID)
	return copyAnswer{ID: record.ID, Tags: showTags(record.Tags)}, nil
}
