package ec2api

import (
	"context"
	"strconv"

	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/volume"
)

type modifyVolumeRequest struct {
	volumeRequest
	Size               int64
	VolumeType         string
	Iops               int64
	Throughput         int64
	MultiAttachEnabled *bool
}

var modifyVolumeRules = append(
	oneVolumeRules[modifyVolumeRequest](),
	oneOf("volumeType", volumeTypes, func(r modifyVolumeRequest) string { return r.VolumeType }),
	rule[modifyVolumeRequest]{
		field: "Size", code: "InvalidParameterValue", message: "Value (%s) for parameter size is invalid.",
		broken: func(_ call, r modifyVolumeRequest) (string, bool) { return strconv.FormatInt(r.Size, 10), r.Size < 0 },
	},
	rule[modifyVolumeRequest]{
		field: "Size", code: "InvalidParameterCombination", message: "No attributes specified.",
		broken: func(_ call, r modifyVolumeRequest) (string, bool) {
			return "", r.Size == 0 && r.VolumeType == "" && r.Iops == 0 && r.Throughput == 0 && r.MultiAttachEnabled == nil
		},
	},
)

// change returns the settings that a volume is to have. What a new type has of its own
// is its default if it is not given.
func (r modifyVolumeRequest) change(s volume.Settings) volume.Settings {
	if r.VolumeType != "" && r.VolumeType != s.Type {
		s = volume.Settings{Size: s.Size, Type: r.VolumeType, MultiAttach: s.MultiAttach && limitsOf[r.VolumeType].multiAttach}
	}
	if r.Size != 0 {
		s.Size = r.Size
	}
	if r.Iops != 0 {
		s.Iops = r.Iops
	}
	if r.Throughput != 0 {
		s.Throughput = r.Throughput
	}
	if r.MultiAttachEnabled != nil {
		s.MultiAttach = *r.MultiAttachEnabled
	}
	return withDefaults(s)
}

type modifyVolumeAnswer struct {
	Modification modificationAnswer `xml:"volumeModification"`
}

type modificationAnswer struct {
	ID                 string        `xml:"volumeId"`
	State              string        `xml:"modificationState"`
	TargetSize         int64         `xml:"targetSize"`
	TargetIops         int64         `xml:"targetIops,omitempty"`
	TargetType         string        `xml:"targetVolumeType"`
	TargetThroughput   int64         `xml:"targetThroughput,omitempty"`
	TargetMulti        bool          `xml:"targetMultiAttachEnabled"`
	OriginalSize       int64         `xml:"originalSize"`
	OriginalIops       int64         `xml:"originalIops,omitempty"`
	OriginalType       string        `xml:"originalVolumeType"`
	OriginalThroughput int64         `xml:"originalThroughput,omitempty"`
	OriginalMulti      bool          `xml:"originalMultiAttachEnabled"`
	Progress           int64         `xml:"progress"`
	Start              ec2query.Time `xml:"startTime"`
	End                ec2query.Time `xml:"endTime"`

	volume volume.Volume
}

// showModification shows a change that is completed as soon as it is asked for.
func showModification(v volume.Volume) modificationAnswer {
	m := *v.Modified
	return modificationAnswer{
		ID: v.ID, State: "completed", Progress: 100, Start: ec2query.Time(m.At), End: ec2query.Time(m.At), volume: v,
		TargetSize: m.To.Size, TargetIops: shownIops(m.To), TargetType: m.To.Type, TargetThroughput: m.To.Throughput, TargetMulti: m.To.MultiAttach,
		OriginalSize: m.From.Size, OriginalIops: shownIops(m.From), OriginalType: m.From.Type, OriginalThroughput: m.From.Throughput, OriginalMulti: m.From.MultiAttach,
	}
}

func modifyVolume(ctx context.Context, c call, r modifyVolumeRequest) (any, error) {
	v, err := c.ownVolume(ctx, r.VolumeId)
	if err != nil {
		return nil, err
	}
	to := r.change(v.Settings)
	if err := checkSettings(to); err != nil {
		return nil, err
	}
	v, err = c.Volumes.Modify(ctx, c.Home(), v.ID, volume.Modification{From: v.Settings, To: to, At: c.Now().UTC()})
	if err != nil {
		return nil, about(r.VolumeId, err)
	}
	return modifyVolumeAnswer{showModification(v)}, nil
}

type describeModificationsRequest struct {
	common
	paged
	filtered
	VolumeId []string
}

var modificationFields = fields[modificationAnswer]{named: map[string]func(modificationAnswer) []string{
	"modification-state":         func(m modificationAnswer) []string { return []string{m.State} },
	"original-iops":              func(m modificationAnswer) []string { return []string{strconv.FormatInt(m.OriginalIops, 10)} },
	"original-size":              func(m modificationAnswer) []string { return []string{strconv.FormatInt(m.OriginalSize, 10)} },
	"original-volume-type":       func(m modificationAnswer) []string { return []string{m.OriginalType} },
	"originalMultiAttachEnabled": func(m modificationAnswer) []string { return []string{strconv.FormatBool(m.OriginalMulti)} },
	"start-time":                 func(m modificationAnswer) []string { return []string{timeText(m.Start)} },
	"target-iops":                func(m modificationAnswer) []string { return []string{strconv.FormatInt(m.TargetIops, 10)} },
	"target-size":                func(m modificationAnswer) []string { return []string{strconv.FormatInt(m.TargetSize, 10)} },
	"target-volume-type":         func(m modificationAnswer) []string { return []string{m.TargetType} },
	"targetMultiAttachEnabled":   func(m modificationAnswer) []string { return []string{strconv.FormatBool(m.TargetMulti)} },
	"volume-id":                  func(m modificationAnswer) []string { return []string{m.ID} },
}}

var describeModificationsRules = volumeListRules(modificationFields, func(r describeModificationsRequest) []string { return r.VolumeId })

type describeModificationsAnswer struct {
	Modifications ec2query.List[modificationAnswer] `xml:"volumeModificationSet"`
	NextToken     string                            `xml:"nextToken,omitempty"`
}

// describeModifications shows the last modification of each volume that has been
// modified.
func describeModifications(ctx context.Context, c call, r describeModificationsRequest) (any, error) {
	l, err := volumesOf(ctx, c, r.VolumeId, r.filtered, func(v volume.Volume) modificationAnswer {
		if v.Modified == nil {
			return modificationAnswer{ID: v.ID, volume: v}
		}
		return showModification(v)
	})
	if err != nil {
		return nil, err
	}
	l.place = func(m modificationAnswer) string { return listing.At(m.volume.Created, m.ID).String() }
	l.match = func(m modificationAnswer) bool {
		return m.volume.Modified != nil && modificationFields.match(m, r.Filter)
	}
	shown, token, err := page(ctx, c, r.paged, l)
	if err != nil {
		return nil, err
	}
	return describeModificationsAnswer{shown, token}, nil
}
