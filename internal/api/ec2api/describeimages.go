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
	ImageId           []string
	Owner             []string
	ExecutableBy      []string
	IncludeDeprecated bool // of other accounts; one's own are always shown
	IncludeDisabled   bool // there are none
}

var imageFields = fields[imageAnswer]{
	named: map[string]func(imageAnswer) []string{
		"architecture":                     func(i imageAnswer) []string { return []string{i.Architecture} },
		"boot-mode":                        func(i imageAnswer) []string { return []string{i.BootMode} },
		"creation-date":                    func(i imageAnswer) []string { return []string{timeText(i.Created)} },
		"deregistration-protection":        func(i imageAnswer) []string { return []string{i.Protection} },
		"description":                      func(i imageAnswer) []string { return []string{i.Description} },
		"ena-support":                      func(i imageAnswer) []string { return []string{strconv.FormatBool(i.EnaSupport)} },
		"hypervisor":                       func(i imageAnswer) []string { return []string{i.Hypervisor} },
		"image-id":                         func(i imageAnswer) []string { return []string{i.ID} },
		"image-type":                       func(i imageAnswer) []string { return []string{i.Type} },
		"is-public":                        func(i imageAnswer) []string { return []string{strconv.FormatBool(i.Public)} },
		"kernel-id":                        func(i imageAnswer) []string { return present(i.Kernel) },
		"manifest-location":                func(i imageAnswer) []string { return []string{i.Location} },
		"name":                             func(i imageAnswer) []string { return []string{i.Name} },
		"owner-alias":                      func(imageAnswer) []string { return nil },
		"owner-id":                         func(i imageAnswer) []string { return []string{i.OwnerID} },
		"platform":                         func(i imageAnswer) []string { return present(i.Windows) },
		"product-code":                     func(imageAnswer) []string { return nil },
		"ramdisk-id":                       func(i imageAnswer) []string { return present(i.Ramdisk) },
		"root-device-name":                 func(i imageAnswer) []string { return []string{i.RootDevice} },
		"root-device-type":                 func(i imageAnswer) []string { return []string{i.RootType} },
		"source-image-id":                  func(i imageAnswer) []string { return present(i.SourceImage) },
		"source-image-region":              func(i imageAnswer) []string { return present(i.SourceRegion) },
		"sriov-net-support":                func(i imageAnswer) []string { return present(i.SriovNet) },
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

// present returns the value of an element, which is left out where it is empty.
func present(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
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
	ID             string                       `xml:"imageId"`
	Location       string                       `xml:"imageLocation"`
	State          string                       `xml:"imageState"`
	OwnerID        string                       `xml:"imageOwnerId"`
	Created        ec2query.Time                `xml:"creationDate"`
	Public         bool                         `xml:"isPublic"`
	Architecture   string                       `xml:"architecture"`
	Type           string                       `xml:"imageType"`
	Windows        string                       `xml:"platform,omitempty"` // it has no other value
	Platform       string                       `xml:"platformDetails"`
	Usage          string                       `xml:"usageOperation"`
	Kernel         string                       `xml:"kernelId,omitempty"`
	Ramdisk        string                       `xml:"ramdiskId,omitempty"`
	Billing        *ec2query.List[billingEntry] `xml:"billingProducts"` // AWS shows them only in platformDetails
	SriovNet       string                       `xml:"sriovNetSupport,omitempty"`
	EnaSupport     bool                         `xml:"enaSupport"`
	Name           string                       `xml:"name"`
	Description    string                       `xml:"description,omitempty"`
	RootType       string                       `xml:"rootDeviceType"`
	RootDevice     string                       `xml:"rootDeviceName"`
	Devices        ec2query.List[deviceAnswer]  `xml:"blockDeviceMapping"`
	Virtualization string                       `xml:"virtualizationType"`
	Tags           *ec2query.List[tagAnswer]    `xml:"tagSet"`
	Hypervisor     string                       `xml:"hypervisor"`
	BootMode       string                       `xml:"bootMode,omitempty"`
	TpmSupport     string                       `xml:"tpmSupport,omitempty"`
	ImdsSupport    string                       `xml:"imdsSupport,omitempty"`
	Deprecated     *ec2query.Time               `xml:"deprecationTime"`
	Protection     string                       `xml:"deregistrationProtection"`
	SourceImage    string                       `xml:"sourceImageId,omitempty"`
	SourceRegion   string                       `xml:"sourceImageRegion,omitempty"`
	Reason         *reasonAnswer                `xml:"stateReason"`

	image image.Image
}

type billingEntry struct {
	Product string `xml:"billingProduct"`
}

// reasonAnswer says why an image failed.
type reasonAnswer struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
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
	wanted := wanted{r.ImageId, c.haveImages}
	if err := wanted.check(ctx); err != nil {
		return nil, err
	}
	ids, err := c.ids(ctx, r.ImageId, r.filtered, "image-id")
	if err != nil {
		return nil, err
	}
	f := image.Filter{IDs: ids, Owners: c.accounts(r.Owner), ExecutableBy: c.accounts(r.ExecutableBy)}
	if !r.IncludeDeprecated && len(r.ImageId) == 0 { // one that is named is found
		f.OfferedAt = c.Now()
	}
	f.Names, _ = r.exact("name")
	if owners, ok := r.exact("owner-id"); ok {
		f.Owners = both(f.Owners, owners)
	}
	shown, next, err := page(ctx, c, r.paged, list[imageAnswer]{
		next: shownAs(c.showImage, func(ctx context.Context, after listing.Place, n int) ([]image.Image, error) {
			return c.Images.List(ctx, c.Home(), f, after, n)
		}),
		place:  func(i imageAnswer) string { return listing.At(i.image.Created, i.ID).String() },
		match:  imageFields.matching(r.Filter),
		wanted: wanted,
	})
	if err != nil {
		return nil, err
	}
	return describeImagesAnswer{Images: shown, NextToken: next}, nil
}

// haveImages fails unless the account may see all images of the ids.
func (c call) haveImages(ctx context.Context, ids []string) error {
	images, err := c.Images.List(ctx, c.Home(), image.Filter{IDs: ids}, listing.Place{}, len(ids))
	if err != nil {
		return err
	}
	return missing(ids, images, func(i image.Image) string { return i.ID }, image.ErrNotFound)
}

func (c call) showImage(i image.Image) imageAnswer {
	if i.Account != c.account() { // tags are shown only to their account
		i.Tags = nil
	}
	a := imageAnswer{
		ID: i.ID, Location: orDefault(i.Location, i.Account+"/"+i.Name), State: orDefault(string(i.State), string(image.Available)),
		OwnerID: i.Account, Created: ec2query.Time(i.Created), Public: i.Public, Kernel: i.Kernel, Ramdisk: i.Ramdisk,
		Architecture: i.Architecture, Type: "machine", Platform: "Linux/UNIX", Usage: "RunInstances",
		SriovNet: i.SriovNet, EnaSupport: i.EnaSupport, Name: i.Name, Description: i.Description, RootType: "ebs", RootDevice: i.RootDevice,
		Devices: showDevices(i), Virtualization: i.Virtualization, Tags: optionalTags(i.Tags), Hypervisor: "xen",
		BootMode: i.BootMode, TpmSupport: i.TpmSupport, ImdsSupport: i.ImdsSupport, Deprecated: ec2query.OptionalTime(i.Deprecated),
		Protection: c.showProtection(i), SourceImage: i.SourceImage, SourceRegion: i.SourceRegion, image: i,
	}
	if i.Platform == "Windows" {
		a.Windows, a.Platform, a.Usage = "windows", "Windows", "RunInstances:0002"
	}
	if a.Usage = orDefault(i.UsageOperation, a.Usage); a.Usage == windowsBYOL {
		a.Platform = "Windows BYOL"
	}
	if i.State == image.Failed {
		a.Reason = &reasonAnswer{"Client.SnapshotFailed", i.Reason}
	}
	if len(i.BillingProducts) > 0 {
		a.Billing = &ec2query.List[billingEntry]{}
		for _, code := range i.BillingProducts {
			*a.Billing = append(*a.Billing, billingEntry{code})
		}
	}
	return a
}

// windowsBYOL is the usage operation of Windows whose licence the user has.
const windowsBYOL = "RunInstances:0800"

func showDevices(i image.Image) (devices ec2query.List[deviceAnswer]) {
	for _, d := range i.Devices {
		shown := deviceAnswer{Name: d.Name, VirtualName: d.VirtualName}
		if d.VolumeType != "" {
			shown.Ebs = &ebsAnswer{
				Snapshot: d.Snapshot, Size: d.VolumeSize, Delete: d.DeleteOnTermination, Type: d.VolumeType,
				Iops: d.Iops, Throughput: d.Throughput, Encrypted: d.Encrypted,
			}
		}
		devices = append(devices, shown)
	}
	return devices
}
