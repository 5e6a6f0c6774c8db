package ec2api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/volume"
)

const volumeType = "volume"

type createVolumeRequest struct {
	common
	tagged
	AvailabilityZone   string
	AvailabilityZoneId string
	ClientToken        string
	Encrypted          bool
	Iops               int64
	KmsKeyId           string
	MultiAttachEnabled bool
	Size               int64
	SnapshotId         string
	Throughput         int64
	VolumeType         string

	// Not built.
	OutpostArn               string
	Operator                 *operatorRequest
	SourceVolumeId           string
	VolumeInitializationRate int64
}

type operatorRequest struct{ Principal string }

// settings returns what is asked for; what is not given is 0.
func (r createVolumeRequest) settings() volume.Settings {
	return volume.Settings{Size: r.Size, Type: orDefault(r.VolumeType, "gp2"), Iops: r.Iops, Throughput: r.Throughput, MultiAttach: r.MultiAttachEnabled}
}

// zone returns the zone that is asked for; ok is false if there is none such.
func (r createVolumeRequest) zone(region string) (name string, ok bool) {
	for _, z := range awsid.Zones(region) {
		if (r.AvailabilityZone == "" || r.AvailabilityZone == z.Name) && (r.AvailabilityZoneId == "" || r.AvailabilityZoneId == z.ID) {
			return z.Name, true
		}
	}
	return orDefault(r.AvailabilityZone, r.AvailabilityZoneId), false
}

func createVolumeGrants(c call, r createVolumeRequest) []grant {
	tags, all := r.tagsFor(volumeType), awsid.VolumeARN(c.Home(), "*")
	with := tagContext(tags)
	zone, _ := r.zone(c.Region)
	s := r.settings()
	with.Set("ec2:AvailabilityZone", zone)
	with.Set("ec2:Encrypted", strconv.FormatBool(r.Encrypted))
	with.Set("ec2:VolumeType", s.Type)
	for name, n := range map[string]int64{"Iops": s.Iops, "Size": s.Size, "Throughput": s.Throughput} {
		if n != 0 {
			with.Set("ec2:Volume"+name, strconv.FormatInt(n, 10))
		}
	}
	var from []grant
	if r.SnapshotId != "" {
		with.Set("ec2:ParentSnapshot", awsid.SnapshotARN(c.Region, r.SnapshotId))
		from = []grant{{"ec2:CreateVolume", tagContext(nil), []string{awsid.SnapshotARN(c.Region, r.SnapshotId)}}}
	}
	return slices.Concat([]grant{{"ec2:CreateVolume", with, []string{all}}}, from, tagOnCreate("CreateVolume", tags, with, all))
}

var createVolumeRules = slices.Concat(
	[]rule[createVolumeRequest]{
		needed("AvailabilityZone", func(r createVolumeRequest) string { return r.AvailabilityZone + r.AvailabilityZoneId }),
		{
			field: "AvailabilityZone", code: "InvalidZone.NotFound", message: "The zone '%s' does not exist.",
			broken: func(c call, r createVolumeRequest) (string, bool) {
				name, ok := r.zone(c.Region)
				return name, !ok
			},
		},
		{
			field: "Size", code: "MissingParameter", message: "The request must contain the parameter size/snapshot",
			broken: func(_ call, r createVolumeRequest) (string, bool) { return "", r.Size == 0 && r.SnapshotId == "" },
		},
		{
			field: "Size", code: "InvalidParameterValue", message: "Value (%s) for parameter size is invalid.",
			broken: func(_ call, r createVolumeRequest) (string, bool) { return strconv.FormatInt(r.Size, 10), r.Size < 0 },
		},
		oneOf("volumeType", volumeTypes, func(r createVolumeRequest) string { return r.VolumeType }),
		unbuilt("OutpostArn", func(r createVolumeRequest) bool { return r.OutpostArn != "" }),
		unbuilt("Operator", func(r createVolumeRequest) bool { return r.Operator != nil }),
		unbuilt("SourceVolumeId", func(r createVolumeRequest) bool { return r.SourceVolumeId != "" }),
		unbuilt("VolumeInitializationRate", func(r createVolumeRequest) bool { return r.VolumeInitializationRate != 0 }),
		{
			field: "KmsKeyId", code: "InvalidParameterDependency", message: "The parameter KmsKeyId requires the parameter Encrypted to be set.",
			broken: func(_ call, r createVolumeRequest) (string, bool) { return "", r.KmsKeyId != "" && !r.Encrypted },
		},
		goodToken(func(r createVolumeRequest) string { return r.ClientToken }),
		{field: "VolumeType", check: func(r createVolumeRequest) error { return checkSettings(r.settings()) }},
	},
	optionalSnapshotRules(func(r createVolumeRequest) string { return r.SnapshotId }),
	specificationRules[createVolumeRequest](only(volumeType)),
)

// optionalSnapshotRules are snapshotIDRules for a snapshot that need not be given.
func optionalSnapshotRules[R any](id func(R) string) []rule[R] {
	return snapshotIDRules(func(r R) []string { return present(id(r)) })
}

// digest stands for what the request asks for, whatever its token.
func (r createVolumeRequest) digest() string {
	r.ClientToken, r.DryRun = "", false
	return digestOf(r)
}

func createVolume(ctx context.Context, c call, r createVolumeRequest) (any, error) {
	tags, err := tag.Set(nil).Merge(r.tagsFor(volumeType))
	if err != nil {
		return nil, err
	}
	v := volume.Volume{
		ID: c.IDs.Volume(), Account: c.account(), Region: c.Region, Settings: r.settings(), Snapshot: r.SnapshotId, Created: c.Now().UTC(),
		Token: r.ClientToken, Digest: r.digest(), Tags: tags,
	}
	v.Zone, _ = r.zone(c.Region) // there is one: createVolumeRules
	if v.Token != "" {
		made, err := c.Volumes.List(ctx, c.Home(), volume.Filter{Tokens: []string{v.Token}}, listing.Place{}, 1)
		if err != nil || len(made) > 0 {
			return sameVolume(append(made, v)[0], v, err)
		}
	}
	if err := c.encrypt(ctx, r, &v); err != nil {
		return nil, err
	}
	stored, _, err := c.Volumes.Create(ctx, v)
	return sameVolume(stored, v, err)
}

// encrypt completes a volume from its snapshot, and says under which key it is.
func (c call) encrypt(ctx context.Context, r createVolumeRequest, v *volume.Volume) error {
	d, err := c.Defaults.Defaults(ctx, c.Home())
	if err != nil {
		return err
	}
	e := d.Encryption(snapshot.EncryptionRequest{Encrypted: r.Encrypted, Key: r.KmsKeyId})
	source, key, err := c.Copies.EncryptVolume(ctx, *v, c.KeyUser(), e, d.KMSKey)
	if err != nil {
		return about(r.SnapshotId, err)
	}
	v.KMSKey = key
	if v.Settings.Size == 0 {
		v.Settings.Size = source.VolumeSize
	}
	if v.Settings.Size < source.VolumeSize {
		return refused("InvalidParameterValue", fmt.Sprintf("Volume of size %dGB is smaller than snapshot '%s', expect size >= %dGB", v.Settings.Size, source.ID, source.VolumeSize))
	}
	v.Settings = withDefaults(v.Settings)
	return checkSettings(v.Settings)
}

// sameVolume answers with what was made, unless that was for another request than v's.
func sameVolume(made, v volume.Volume, err error) (any, error) {
	switch {
	case err != nil:
		return nil, about(v.Snapshot, err)
	case made.Digest != v.Digest:
		return nil, about(made.ID, snapshot.ErrTokenReused)
	}
	a := showVolume(made)
	a.Status = "creating"
	tags := ec2query.List[tagAnswer](showTags(made.Tags))
	a.Tags = &tags // an answer to a call that makes something always has them
	return a, nil
}

// volumeLimits are what settings of a type of volume can be. The type has no Iops or
// Throughput of its own if the largest is 0.
type volumeLimits struct {
	size, iops, throughput limits
	iopsNeeded             bool
	multiAttach            bool
}

// limits are a range, and what is taken if nothing is given.
type limits struct{ least, most, normal int64 }

// limitsOf are AWS's.
var limitsOf = map[string]volumeLimits{
	"standard": {size: limits{1, 1024, 0}},
	"gp2":      {size: limits{1, 16384, 0}},
	"gp3":      {size: limits{1, 65536, 0}, iops: limits{3000, 80000, 3000}, throughput: limits{125, 2000, 125}},
	"io1":      {size: limits{4, 16384, 0}, iops: limits{100, 64000, 0}, iopsNeeded: true, multiAttach: true},
	"io2":      {size: limits{4, 65536, 0}, iops: limits{100, 256000, 0}, iopsNeeded: true, multiAttach: true},
	"sc1":      {size: limits{125, 16384, 0}},
	"st1":      {size: limits{125, 16384, 0}},
}

// withDefaults completes settings.
func withDefaults(s volume.Settings) volume.Settings {
	l := limitsOf[s.Type]
	if s.Iops == 0 {
		s.Iops = l.iops.normal
	}
	if s.Throughput == 0 {
		s.Throughput = l.throughput.normal
	}
	return s
}

// checkSettings refuses what a type of volume can't have. A size of 0 is not known yet.
func checkSettings(s volume.Settings) error {
	l := limitsOf[s.Type]
	combination := func(text string) error {
		return refused("InvalidParameterCombination", fmt.Sprintf(text, s.Type))
	}
	outside := func(what string, n int64, unit string, l limits) error {
		switch {
		case n < l.least:
			return refused("InvalidParameterValue", fmt.Sprintf("Volume %s of %d%s is too low for volume type %s; minimum is %d%s.", what, n, unit, s.Type, l.least, unit))
		case n > l.most:
			return refused("InvalidParameterValue", fmt.Sprintf("Volume %s of %d%s is too high for volume type %s; maximum is %d%s.", what, n, unit, s.Type, l.most, unit))
		}
		return nil
	}
	switch {
	case s.Iops != 0 && l.iops.most == 0:
		return combination("The parameter iops is not supported for %s volumes.")
	case s.Iops == 0 && l.iopsNeeded:
		return refused("MissingParameter", "The parameter iops must be specified for "+s.Type+" volumes.")
	case s.Throughput != 0 && l.throughput.most == 0:
		return combination("The parameter throughput is not supported for %s volumes.")
	case s.MultiAttach && !l.multiAttach:
		return combination("Multi-Attach is not supported for %s volumes.")
	}
	var err error
	if s.Iops != 0 {
		err = outside("iops", s.Iops, "", l.iops)
	}
	if err == nil && s.Throughput != 0 {
		err = outside("throughput", s.Throughput, "MiB/s", l.throughput)
	}
	if err == nil && s.Size != 0 {
		err = outside("size", s.Size, "GiB", l.size)
	}
	return err
}

// volumeRequest is embedded in requests about one volume.
type volumeRequest struct {
	common
	VolumeId string
}

func (r volumeRequest) id() string { return r.VolumeId }

// onVolume is the grant that actions on one volume need.
func onVolume[R interface{ id() string }](name string) func(call, R) []grant {
	return func(c call, r R) []grant {
		return []grant{{action: "ec2:" + name, context: policy.Context{}, resources: []string{awsid.VolumeARN(c.Home(), orDefault(r.id(), "*"))}}}
	}
}

// oneVolumeRules are the validation rows of VolumeId.
func oneVolumeRules[R interface{ id() string }]() []rule[R] {
	return append(
		[]rule[R]{needed("VolumeId", func(r R) string { return r.id() })},
		volumeIDRules(func(r R) []string { return []string{r.id()} })...,
	)
}

// volumeListRules are the validation rows of a list of volumes.
func volumeListRules[T any, R interface {
	maxResults() string
	filters() []filter
}](known fields[T], ids func(R) []string) []rule[R] {
	return slices.Concat(
		[]rule[R]{
			pageRule[R](5, 0),
			few("VolumeId", func(r R) int { return len(ids(r)) }),
		},
		volumeIDRules(ids),
		filterRules[T, R](known),
	)
}

func volumeIDRules[R any](ids func(R) []string) []rule[R] {
	return []rule[R]{{
		field: "VolumeId", code: "InvalidParameterValue", message: "Value (%s) for parameter volumeId is invalid. Expected: 'vol-...'.",
		broken: func(_ call, r R) (string, bool) {
			for _, id := range ids(r) {
				if !awsid.IsVolume(id) {
					return id, true
				}
			}
			return "", false
		},
	}}
}

// ownVolume returns a volume of the caller's account.
func (c call) ownVolume(ctx context.Context, id string) (volume.Volume, error) {
	list, err := c.Volumes.List(ctx, c.Home(), volume.Filter{IDs: []string{id}}, listing.Place{}, 1)
	switch {
	case err != nil:
		return volume.Volume{}, err
	case len(list) == 0:
		return volume.Volume{}, about(id, volume.ErrNotFound)
	}
	return list[0], nil
}

type deleteVolumeRequest struct{ volumeRequest }

func deleteVolume(ctx context.Context, c call, r deleteVolumeRequest) (any, error) {
	if err := c.Volumes.Delete(ctx, c.Home(), r.VolumeId); err != nil {
		return nil, about(r.VolumeId, err)
	}
	return ec2query.Done{Return: true}, nil
}

type createSnapshotRequest struct {
	volumeRequest
	tagged
	Description string

	// Not built.
	Location   string
	OutpostArn string
}

func createSnapshotGrants(c call, r createSnapshotRequest) []grant {
	tags, all := r.tagsFor(snapshotType), awsid.SnapshotARN(c.Region, "*")
	volume := awsid.VolumeARN(c.Home(), orDefault(r.VolumeId, "*"))
	with := tagContext(tags)
	with.Set("ec2:ParentVolume", volume)
	grants := []grant{{"ec2:CreateSnapshot", with, []string{all}}, {"ec2:CreateSnapshot", tagContext(tags), []string{volume}}}
	return append(grants, tagOnCreate("CreateSnapshot", tags, with, all)...)
}

var createSnapshotRules = slices.Concat(
	oneVolumeRules[createSnapshotRequest](),
	[]rule[createSnapshotRequest]{
		short("Description", func(r createSnapshotRequest) string { return r.Description }),
		unbuilt("Location", func(r createSnapshotRequest) bool { return r.Location != "" && r.Location != "regional" }),
		unbuilt("OutpostArn", func(r createSnapshotRequest) bool { return r.OutpostArn != "" }),
	},
	specificationRules[createSnapshotRequest](only(snapshotType)),
)

func createSnapshot(ctx context.Context, c call, r createSnapshotRequest) (any, error) {
	tags, err := tag.Set(nil).Merge(r.tagsFor(snapshotType))
	if err != nil {
		return nil, err
	}
	v, err := c.ownVolume(ctx, r.VolumeId)
	if err != nil {
		return nil, err
	}
	made, err := c.Copies.OfVolume(ctx, snapshot.VolumeSnapshotRequest{Home: c.Home(), Caller: c.KeyUser(), Volume: v, Description: r.Description, Tags: tags})
	switch {
	case errors.Is(err, snapshot.ErrTooMany):
		return nil, refused("ConcurrentSnapshotLimitExceeded", "Maximum allowed in-progress snapshots for the account exceeded.")
	case err != nil:
		return nil, about(r.VolumeId, err)
	}
	logkey.NoteID(ctx, made.ID)
	a := c.showSnapshot(made)
	shown := ec2query.List[tagAnswer](showTags(made.Tags))
	a.Tags = &shown
	return a, nil
}
