package ec2api

import (
	"context"
	"slices"
	"strconv"

	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/image"
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

	// Not built.
	ImageLocation  string
	KernelId       string
	RamdiskId      string
	UefiData       string
	BillingProduct []string
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
}

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
		needed("Name", func(r registerImageRequest) string { return r.Name }),
		{
			field: "Name", code: "InvalidAMIName.Malformed", message: "AMI names must be between 3 and 128 characters long",
			broken: func(_ call, r registerImageRequest) (string, bool) { return "", len(r.Name) < 3 || len(r.Name) > 128 },
		},
		short("Description", func(r registerImageRequest) string { return r.Description }),
		unbuilt("ImageLocation", func(r registerImageRequest) bool { return r.ImageLocation != "" }),
		unbuilt("KernelId", func(r registerImageRequest) bool { return r.KernelId != "" }),
		unbuilt("RamdiskId", func(r registerImageRequest) bool { return r.RamdiskId != "" }),
		unbuilt("UefiData", func(r registerImageRequest) bool { return r.UefiData != "" }),
		unbuilt("BillingProduct", func(r registerImageRequest) bool { return len(r.BillingProduct) > 0 }),
		needed("RootDeviceName", func(r registerImageRequest) string { return r.RootDeviceName }),
		{
			field: "BlockDeviceMapping.N.DeviceName", code: "MissingParameter", message: "The request must contain the parameter DeviceName",
			broken: func(_ call, r registerImageRequest) (string, bool) {
				return "", slices.ContainsFunc(r.BlockDeviceMapping, func(m deviceMapping) bool { return m.DeviceName == "" })
			},
		},
		{
			field: "BlockDeviceMapping", code: "InvalidBlockDeviceMapping", message: "The root device %s has no snapshot in the block device mapping",
			broken: func(_ call, r registerImageRequest) (string, bool) {
				return r.RootDeviceName, !slices.ContainsFunc(r.BlockDeviceMapping, func(m deviceMapping) bool {
					return m.DeviceName == r.RootDeviceName && m.Ebs != nil && m.Ebs.SnapshotId != ""
				})
			},
		},
	},
	snapshotIDRules(registerImageRequest.snapshots),
	specificationRules[registerImageRequest](only(imageType)),
)

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
	common
	ImageId                   string
	DeleteAssociatedSnapshots bool
}

func deregisterImageGrants(c call, r deregisterImageRequest) []grant {
	return []grant{{action: "ec2:DeregisterImage", resources: []string{awsid.ImageARN(c.Region, orDefault(r.ImageId, "*"))}}}
}

var deregisterImageRules = slices.Concat(
	[]rule[deregisterImageRequest]{
		needed("ImageId", func(r deregisterImageRequest) string { return r.ImageId }),
		unbuilt("DeleteAssociatedSnapshots", func(r deregisterImageRequest) bool { return r.DeleteAssociatedSnapshots }),
	},
	imageIDRules(func(r deregisterImageRequest) []string { return []string{r.ImageId} }),
)

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
	if _, err := c.Images.Deregister(ctx, c.Home(), r.ImageId); err != nil {
		return nil, about(r.ImageId, err)
	}
	return ec2query.Done{Return: true}, nil
}
