package ec2api

import (
	"context"
	"slices"
	"strconv"

	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/tag"
)

type describeImagesRequest struct {
	common
	paged
	filtered
	ImageId      []string
	Owner        []string
	ExecutableBy []string
	// There are no images that these could add.
	IncludeDeprecated bool
	IncludeDisabled   bool
}

var imageFields = fields[imageAnswer]{
	named: map[string]func(imageAnswer) []string{
		"architecture":                     func(i imageAnswer) []string { return []string{i.Architecture} },
		"boot-mode":                        func(i imageAnswer) []string { return []string{i.BootMode} },
		"creation-date":                    func(i imageAnswer) []string { return []string{timeText(i.Created)} },
		"description":                      func(i imageAnswer) []string { return []string{i.Description} },
		"ena-support":                      func(i imageAnswer) []string { return []string{strconv.FormatBool(i.EnaSupport)} },
		"hypervisor":                       func(i imageAnswer) []string { return []string{i.Hypervisor} },
		"image-id":                         func(i imageAnswer) []string { return []string{i.ID} },
		"image-type":                       func(i imageAnswer) []string { return []string{i.Type} },
		"is-public":                        func(i imageAnswer) []string { return []string{strconv.FormatBool(i.Public)} },
		"manifest-location":                func(i imageAnswer) []string { return []string{i.Location} },
		"name":                             func(i imageAnswer) []string { return []string{i.Name} },
		"owner-alias":                      func(imageAnswer) []string { return nil },
		"owner-id":                         func(i imageAnswer) []string { return []string{i.OwnerID} },
		"platform":                         func(imageAnswer) []string { return nil },
		"root-device-name":                 func(i imageAnswer) []string { return []string{i.RootDevice} },
		"root-device-type":                 func(i imageAnswer) []string { return []string{i.RootType} },
		"state":                            func(i imageAnswer) []string { return []string{i.State} },
		"tag-key":                          func(i imageAnswer) []string { return tagKeys(i.image.Tags) },
		"virtualization-type":              func(i imageAnswer) []string { return []string{i.Virtualization} },
		"block-device-mapping.device-name": eachDevice(func(d image.Device) string { return d.Name }),
		"block-device-mapping.snapshot-id": eachDevice(func(d image.Device) string { return d.Snapshot }),
		"block-device-mapping.volume-size": eachDevice(func(d image.Device) string { return strconv.FormatInt(d.VolumeSize, 10) }),
		"block-device-mapping.volume-type": eachDevice(func(d image.Device) string { return d.VolumeType }),
		"block-device-mapping.encrypted":   eachDevice(func(d image.Device) string { return strconv.FormatBool(d.Encrypted) }),
		"block-device-mapping.delete-on-termination": eachDevice(func(d image.Device) string { return strconv.FormatBool(d.DeleteOnTermination) }),
	},
	tags: func(i imageAnswer) tag.Set { return i.image.Tags },
}

func eachDevice(value func(image.Device) string) func(imageAnswer) []string {
	return func(i imageAnswer) []string {
		var out []string
		for _, d := range i.image.Devices {
			out = append(out, value(d))
		}
		return out
	}
}

var describeImagesRules = slices.Concat(
	[]rule[describeImagesRequest]{
		pageRule[describeImagesRequest](1, 0),
		few("ImageId", func(r describeImagesRequest) int { return len(r.ImageId) }),
	},
	imageIDRules(func(r describeImagesRequest) []string { return r.ImageId }),
	[]rule[describeImagesRequest]{
		accountRule("Owner.N", []string{"self", "amazon", "aws-marketplace", "aws-backup-vault"}, func(r describeImagesRequest) []string { return r.Owner }),
		accountRule("ExecutableBy.N", []string{"self", "all"}, func(r describeImagesRequest) []string { return r.ExecutableBy }),
	},
	filterRules[imageAnswer, describeImagesRequest](imageFields),
)

type describeImagesAnswer struct {
	Images    ec2query.List[imageAnswer] `xml:"imagesSet"`
	NextToken string                     `xml:"nextToken,omitempty"`
}

type imageAnswer struct {
	ID             string                      `xml:"imageId"`
	Location       string                      `xml:"imageLocation"`
	State          string                      `xml:"imageState"`
	OwnerID        string                      `xml:"imageOwnerId"`
	Created        ec2query.Time               `xml:"creationDate"`
	Public         bool                        `xml:"isPublic"`
	Architecture   string                      `xml:"architecture"`
	Type           string                      `xml:"imageType"`
	Platform       string                      `xml:"platformDetails"`
	Usage          string                      `xml:"usageOperation"`
	SriovNet       string                      `xml:"sriovNetSupport,omitempty"`
	EnaSupport     bool                        `xml:"enaSupport"`
	Name           string                      `xml:"name"`
	Description    string                      `xml:"description,omitempty"`
	RootType       string                      `xml:"rootDeviceType"`
	RootDevice     string                      `xml:"rootDeviceName"`
	Devices        ec2query.List[deviceAnswer] `xml:"blockDeviceMapping"`
	Virtualization string                      `xml:"virtualizationType"`
	Tags           ec2query.List[tagAnswer]    `xml:"tagSet"`
	Hypervisor     string                      `xml:"hypervisor"`
	BootMode       string                      `xml:"bootMode,omitempty"`
	TpmSupport     string                      `xml:"tpmSupport,omitempty"`
	ImdsSupport    string                      `xml:"imdsSupport,omitempty"`

	image image.Image
}

type deviceAnswer struct {
	Name        string     `xml:"deviceName"`
	VirtualName string     `xml:"virtualName,omitempty"`
	Ebs         *ebsAnswer `xml:"ebs"`
}

type ebsAnswer struct {
	Snapshot   string `xml:"snapshotId,omitempty"`
	Size       int64  `xml:"volumeSize,omitempty"`
	Delete     bool   `xml:"deleteOnTermination"`
	Type       string `xml:"volumeType"`
	Iops       int64  `xml:"iops,omitempty"`
	Throughput int64  `xml:"throughput,omitempty"`
	Encrypted  bool   `xml:"encrypted"`
}

func describeImages(ctx context.Context, c call, r describeImagesRequest) (any, error) {
	if err := c.haveImages(ctx, r.ImageId); err != nil {
		return nil, err
	}
	ids, err := c.ids(ctx, r.ImageId, r.filtered, "image-id")
	if err != nil {
		return nil, err
	}
	f := image.Filter{IDs: ids}
	f.Names, _ = r.exact("name")
	shown, next, err := page(ctx, c, r.paged, list[imageAnswer]{
		next: shownAs(showImage, func(ctx context.Context, after listing.Place, n int) ([]image.Image, error) {
			if !c.mine(r.Owner) || !c.mine(r.ExecutableBy) {
				return nil, nil
			}
			return c.Images.List(ctx, c.Home(), f, after, n)
		}),
		place: func(i imageAnswer) string { return listing.At(i.image.Created, i.ID).String() },
		match: imageFields.matching(r.Filter),
	})
	if err != nil {
		return nil, err
	}
	return describeImagesAnswer{Images: shown, NextToken: next}, nil
}

// haveImages fails unless all images of the ids are the account's.
func (c call) haveImages(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	images, err := c.Images.List(ctx, c.Home(), image.Filter{IDs: ids}, listing.Place{}, len(ids))
	if err != nil {
		return err
	}
	return missing(ids, images, func(i image.Image) string { return i.ID }, image.ErrNotFound)
}

// mine reports whether a list of accounts, empty for any, names the caller's.
// Images are never shared, so only the account's own are shown.
func (c call) mine(list []string) bool {
	return len(list) == 0 || slices.Contains(list, "self") || slices.Contains(list, c.account())
}

func showImage(i image.Image) imageAnswer {
	a := imageAnswer{
		ID: i.ID, Location: i.Account + "/" + i.Name, State: "available", OwnerID: i.Account, Created: ec2query.Time(i.Created),
		Architecture: i.Architecture, Type: "machine", Platform: "Linux/UNIX", Usage: "RunInstances",
		SriovNet: i.SriovNet, EnaSupport: i.EnaSupport, Name: i.Name, Description: i.Description, RootType: "ebs", RootDevice: i.RootDevice,
		Virtualization: i.Virtualization, Tags: showTags(i.Tags), Hypervisor: "xen",
		BootMode: i.BootMode, TpmSupport: i.TpmSupport, ImdsSupport: i.ImdsSupport, image: i,
	}
	for _, d := range i.Devices {
		shown := deviceAnswer{Name: d.Name, VirtualName: d.VirtualName}
		if d.VolumeType != "" {
			shown.Ebs = &ebsAnswer{
				Snapshot: d.Snapshot, Size: d.VolumeSize, Delete: d.DeleteOnTermination, Type: d.VolumeType,
				Iops: d.Iops, Throughput: d.Throughput, Encrypted: d.Encrypted,
			}
		}
		a.Devices = append(a.Devices, shown)
	}
	return a
}
