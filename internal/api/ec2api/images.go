package ec2api

import (
	"context"
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
)

const imageType = "image"

type registerImageRequest struct {
	common
	tagged
	Name               string
	Description        string
	Architecture       string
	RootDeviceName     string
	VirtualizationType string
	SriovNetSupport    string
	BootMode           string
	TpmSupport         string
	ImdsSupport        string
	EnaSupport         bool
	BlockDeviceMapping []deviceMapping
	ImageLocation      string
	KernelId           string
	RamdiskId          string
	UefiData           string
	BillingProduct     []string
}

type deviceMapping struct {
	DeviceName  string
	VirtualName string
	NoDevice    *string `ec2:"NoDevice,empty"`
	Ebs         *ebsDevice
}

type ebsDevice struct {
	SnapshotId          string
	VolumeSize          int64
	VolumeType          string
	Iops                int64
	Throughput          int64
	DeleteOnTermination *bool
	Encrypted           bool

	// Not built: they are about volumes of instances, which AWS's images do not have
	// either.
	AvailabilityZone         string
	AvailabilityZoneId       string
	EbsCardIndex             *int64
	KmsKeyId                 string
	OutpostArn               string
	VolumeInitializationRate int64
}

// volumeTypes are the types of volumes.
var volumeTypes = []string{"standard", "io1", "io2", "gp2", "gp3", "sc1", "st1"}

// snapshots returns the ids of the snapshots that the image is to be made of.
func (r registerImageRequest) snapshots() []string {
	var ids []string
	for _, m := range r.BlockDeviceMapping {
		if m.Ebs != nil && m.Ebs.SnapshotId != "" {
			ids = append(ids, m.Ebs.SnapshotId)
		}
	}
	return ids
}

func registerImageGrants(c call, r registerImageRequest) []grant {
	all, tags := awsid.ImageARN(c.Region, "*"), r.tagsFor(imageType)
	with := tagContext(tags)
	resources := []string{all}
	for _, id := range r.snapshots() {
		resources = append(resources, awsid.SnapshotARN(c.Region, id))
	}
	return append([]grant{{"ec2:RegisterImage", with, resources}}, tagOnCreate("RegisterImage", tags, with, all)...)
}

var registerImageRules = slices.Concat(
	[]rule[registerImageRequest]{
		unbuilt("ImageLocation", func(r registerImageRequest) bool { // of a manifest in S3, which says what the disks are
			return r.ImageLocation != "" && r.RootDeviceName == "" && len(r.snapshots()) == 0
		}),
		needed("Name", func(r registerImageRequest) string { return r.Name }),
		imageName(func(r registerImageRequest) string { return r.Name }),
		short("Description", func(r registerImageRequest) string { return r.Description }),
		oneOf("architecture", []string{"i386", "x86_64", "arm64", "x86_64_mac", "arm64_mac"}, func(r registerImageRequest) string { return r.Architecture }),
		oneOf("virtualizationType", []string{"hvm", "paravirtual"}, func(r registerImageRequest) string { return r.VirtualizationType }),
		oneOf("sriovNetSupport", []string{"simple"}, func(r registerImageRequest) string { return r.SriovNetSupport }),
		oneOf("bootMode", []string{"legacy-bios", "uefi", "uefi-preferred"}, func(r registerImageRequest) string { return r.BootMode }),
		oneOf("tpmSupport", []string{"v2.0"}, func(r registerImageRequest) string { return r.TpmSupport }),
		oneOf("imdsSupport", []string{imdsV2}, func(r registerImageRequest) string { return r.ImdsSupport }),
		formed("kernelId", kernelID, func(r registerImageRequest) string { return r.KernelId }),
		formed("ramdiskId", ramdiskID, func(r registerImageRequest) string { return r.RamdiskId }),
		{
			field: "UefiData", code: "InvalidParameterValue", message: "Value for parameter uefiData is invalid. It must be in base64.",
			broken: func(_ call, r registerImageRequest) (string, bool) { return "", !isUefiData(r.UefiData) },
		},
		{
			field: "TpmSupport", code: "InvalidParameterCombination", message: "The parameters tpmSupport and uefiData need the boot mode uefi or uefi-preferred.",
			broken: func(_ call, r registerImageRequest) (string, bool) {
				return "", (r.TpmSupport != "" || r.UefiData != "") && !strings.HasPrefix(r.BootMode, "uefi")
			},
		},
		{
			field: "BillingProduct.N", code: "InvalidParameterValue", message: "Value (%s) for parameter billingProduct is invalid.",
			broken: func(_ call, r registerImageRequest) (string, bool) {
				for _, code := range r.BillingProduct {
					if !billingProduct.MatchString(code) {
						return code, true
					}
				}
				return "", false
			},
		},
		few("BillingProduct", func(r registerImageRequest) int { return len(r.BillingProduct) }),
		few("BlockDeviceMapping", func(r registerImageRequest) int { return len(r.BlockDeviceMapping) }),
		unbuilt("BlockDeviceMapping.N.Ebs.AvailabilityZone", inDevices(func(e ebsDevice) bool { return e.AvailabilityZone != "" || e.AvailabilityZoneId != "" })),
		unbuilt("BlockDeviceMapping.N.Ebs.EbsCardIndex", inDevices(func(e ebsDevice) bool { return e.EbsCardIndex != nil })),
		unbuilt("BlockDeviceMapping.N.Ebs.KmsKeyId", inDevices(func(e ebsDevice) bool { return e.KmsKeyId != "" })),
		unbuilt("BlockDeviceMapping.N.Ebs.OutpostArn", inDevices(func(e ebsDevice) bool { return e.OutpostArn != "" })),
		unbuilt("BlockDeviceMapping.N.Ebs.VolumeInitializationRate", inDevices(func(e ebsDevice) bool { return e.VolumeInitializationRate != 0 })),
		{
			field: "BlockDeviceMapping.N.Ebs.VolumeType", code: "InvalidParameterValue", message: "Value (%s) for parameter volumeType is invalid.",
			broken: func(_ call, r registerImageRequest) (what string, bad bool) {
				bad = inDevices(func(e ebsDevice) bool {
					what = e.VolumeType
					return e.VolumeType != "" && !slices.Contains(volumeTypes, e.VolumeType)
				})(r)
				return what, bad
			},
		},
		needed("RootDeviceName", func(r registerImageRequest) string { return r.RootDeviceName }),
		{
			field: "BlockDeviceMapping.N.DeviceName", code: "MissingParameter", message: "The request must contain the parameter DeviceName",
			broken: func(_ call, r registerImageRequest) (string, bool) {
				return "", slices.ContainsFunc(r.BlockDeviceMapping, func(m deviceMapping) bool { return m.DeviceName == "" })
			},
		},
		{
			field: "BlockDeviceMapping.N.DeviceName", code: "InvalidBlockDeviceMapping", message: "The device '%s' is used in more than one block-device mapping",
			broken: func(_ call, r registerImageRequest) (string, bool) { return twice(r.BlockDeviceMapping) },
		},
		{
			field: "BlockDeviceMapping", code: "InvalidBlockDeviceMapping", message: "The root device %s has no snapshot in the block device mapping",
			broken: func(_ call, r registerImageRequest) (string, bool) {
				return r.RootDeviceName, !slices.ContainsFunc(r.BlockDeviceMapping, func(m deviceMapping) bool {
					return image.DeviceKey(m.DeviceName) == image.DeviceKey(r.RootDeviceName) && m.Ebs != nil && m.Ebs.SnapshotId != ""
				})
			},
		},
	},
	snapshotIDRules(registerImageRequest.snapshots),
	specificationRules[registerImageRequest](only(imageType)),
)

var (
	kernelID       = regexp.MustCompile(`^aki-([0-9a-f]{8}|[0-9a-f]{17})$`)
	ramdiskID      = regexp.MustCompile(`^ari-([0-9a-f]{8}|[0-9a-f]{17})$`)
	billingProduct = regexp.MustCompile(`^bp-[0-9a-z]{1,61}$`)
)

// twice returns a device that two entries of a mapping name, if there is one.
func twice(mapping []deviceMapping) (name string, found bool) {
	seen := map[string]bool{}
	for _, m := range mapping {
		if seen[image.DeviceKey(m.DeviceName)] {
			return m.DeviceName, true
		}
		seen[image.DeviceKey(m.DeviceName)] = true
	}
	return "", false
}

// isUefiData reports whether a text can be UEFI variables; how long a parameter can be is
// the codec's to say.
func isUefiData(text string) bool {
	_, err := base64.StdEncoding.DecodeString(text)
	return err == nil
}

// inDevices reports whether something is true of one of the volumes of a mapping.
func inDevices(is func(ebsDevice) bool) func(registerImageRequest) bool {
	return func(r registerImageRequest) bool {
		return slices.ContainsFunc(r.BlockDeviceMapping, func(m deviceMapping) bool { return m.Ebs != nil && is(*m.Ebs) })
	}
}

// unbuilt is the validation row of a parameter that is known and not supported.
func unbuilt[R any](field string, given func(R) bool) rule[R] {
	return rule[R]{
		field: field, code: "UnsupportedOperation", message: "The parameter " + field + " is not supported.",
		broken: func(_ call, r R) (string, bool) { return "", given(r) },
	}
}

type registerImageAnswer struct {
	ID string `xml:"imageId"`
}

func registerImage(ctx context.Context, c call, r registerImageRequest) (any, error) {
	tags, err := tag.Set(nil).Merge(r.tagsFor(imageType))
	if err != nil {
		return nil, err
	}
	i := image.Image{
		ID: c.IDs.Image(), Account: c.account(), Region: c.Region, Name: r.Name, Description: r.Description,
		Architecture: orDefault(r.Architecture, "i386"), RootDevice: r.RootDeviceName,
		Virtualization: orDefault(r.VirtualizationType, "paravirtual"), SriovNet: r.SriovNetSupport, EnaSupport: r.EnaSupport,
		BootMode: r.BootMode, TpmSupport: r.TpmSupport, ImdsSupport: r.ImdsSupport, Created: c.Now().UTC(), Tags: tags,
		Location: r.ImageLocation, Kernel: r.KernelId, Ramdisk: r.RamdiskId, UefiData: r.UefiData, BillingProducts: r.BillingProduct,
	}
	for _, m := range r.BlockDeviceMapping {
		if m.NoDevice != nil {
			continue // removes a device that the image has by itself; ours have none
		}
		d, err := c.device(ctx, m)
		if err != nil {
			return nil, err
		}
		i.Devices = append(i.Devices, d)
	}
	if err := c.Images.Register(ctx, i); err != nil {
		return nil, err
	}
	return registerImageAnswer{i.ID}, nil
}

// device returns an entry of a mapping, completed from its snapshot.
func (c call) device(ctx context.Context, m deviceMapping) (image.Device, error) {
	d := image.Device{Name: m.DeviceName, VirtualName: m.VirtualName}
	e := m.Ebs
	if e == nil {
		return d, nil
	}
	d.Snapshot, d.VolumeSize, d.VolumeType, d.Encrypted = e.SnapshotId, e.VolumeSize, orDefault(e.VolumeType, "standard"), e.Encrypted
	d.Iops, d.Throughput, d.DeleteOnTermination = e.Iops, e.Throughput, e.DeleteOnTermination == nil || *e.DeleteOnTermination
	if d.Snapshot == "" {
		return d, nil
	}
	records, err := c.usable(ctx, []string{d.Snapshot})
	if err != nil {
		return d, err
	}
	if records[0].State != snapshot.Completed {
		return d, about(d.Snapshot, snapshot.ErrNotPending)
	}
	d.Encrypted = records[0].KMSKey != ""
	switch {
	case d.VolumeSize == 0:
		d.VolumeSize = records[0].VolumeSize
	case d.VolumeSize < records[0].VolumeSize:
		return d, refused("InvalidBlockDeviceMapping", "Volume of size "+strconv.FormatInt(d.VolumeSize, 10)+"GB is smaller than snapshot '"+d.Snapshot+
			"', expect size >= "+strconv.FormatInt(records[0].VolumeSize, 10)+"GB")
	}
	return d, nil
}

type deregisterImageRequest struct {
	imageRequest
	DeleteAssociatedSnapshots bool
}

var deregisterImageRules = append(
	oneImageRules[deregisterImageRequest](),
	unbuilt("DeleteAssociatedSnapshots", func(r deregisterImageRequest) bool { return r.DeleteAssociatedSnapshots }),
)

// imageRequest is embedded in requests about one image.
type imageRequest struct {
	common
	ImageId string
}

func (r imageRequest) id() string { return r.ImageId }

// onImage is the grant that actions on one image need.
func onImage[R interface{ id() string }](name string) func(call, R) []grant {
	return func(c call, r R) []grant {
		with := policy.Context{}
		if about, ok := any(r).(interface{ keys(policy.Context) }); ok {
			about.keys(with)
		}
		return []grant{{action: "ec2:" + name, context: with, resources: []string{awsid.ImageARN(c.Region, orDefault(r.id(), "*"))}}}
	}
}

// oneImageRules are the validation rows of ImageId.
func oneImageRules[R interface{ id() string }]() []rule[R] {
	return append(
		[]rule[R]{needed("ImageId", func(r R) string { return r.id() })},
		imageIDRules(func(r R) []string { return []string{r.id()} })...,
	)
}

// usableImage returns an image of a region that the caller may use.
func (c call) usableImage(ctx context.Context, region, id string) (image.Image, error) {
	i, err := c.Images.Get(ctx, region, id)
	if err == nil && !i.UsableBy(c.account()) {
		err = image.ErrNotFound
	}
	if err != nil {
		return image.Image{}, about(id, err)
	}
	return i, nil
}

// ownImage returns an image of the caller's account. Only of one that it may use it is
// told that the image is another's.
func (c call) ownImage(ctx context.Context, id string) (image.Image, error) {
	i, err := c.usableImage(ctx, c.Region, id)
	if err == nil && i.Account != c.account() {
		err = awshttp.Fault{Status: http.StatusForbidden, Code: "AuthFailure", Message: "Not authorized for image:" + id}
	}
	return i, err
}

func imageIDRules[R any](ids func(R) []string) []rule[R] {
	return []rule[R]{{
		field: "ImageId", code: "InvalidAMIID.Malformed", message: "Invalid id: \"%s\" (expecting \"ami-...\")",
		broken: func(_ call, r R) (string, bool) {
			for _, id := range ids(r) {
				if !awsid.IsImage(id) {
					return id, true
				}
			}
			return "", false
		},
	}}
}

func deregisterImage(ctx context.Context, c call, r deregisterImageRequest) (any, error) {
	if _, err := c.ownImage(ctx, r.ImageId); err != nil {
		return nil, err
	}
	if _, err := c.Images.Deregister(ctx, c.Home(), r.ImageId); err != nil {
		return nil, about(r.ImageId, err)
	}
	return ec2query.Done{Return: true}, nil
}
