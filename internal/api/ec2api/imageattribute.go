package ec2api

import (
	"context"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// The attributes of an image that can be changed.
const (
	launchPermission = "launchPermission"
	description      = "description"
	imdsSupport      = "imdsSupport"
)

// imdsV2 is the only value of imdsSupport.
const imdsV2 = "v2.0"

type describeImageAttributeRequest struct {
	imageRequest
	Attribute string
}

func (r describeImageAttributeRequest) attribute() string { return r.Attribute }

func (r describeImageAttributeRequest) keys(with policy.Context) { attributeKeys(with, r.Attribute) }

// imageAttributes show each attribute of an image.
var imageAttributes = map[string]func(c call, i image.Image, a *imageAttributeAnswer){
	"blockDeviceMapping": func(_ call, i image.Image, a *imageAttributeAnswer) {
		devices := showDevices(i)
		a.Devices = &devices
	},
	"bootMode": func(_ call, i image.Image, a *imageAttributeAnswer) { a.BootMode = shown(i.BootMode) },
	"deregistrationProtection": func(c call, i image.Image, a *imageAttributeAnswer) {
		a.Protection = shown(c.showProtection(i))
	},
	description:        func(_ call, i image.Image, a *imageAttributeAnswer) { a.Description = shown(i.Description) },
	imdsSupport:        func(_ call, i image.Image, a *imageAttributeAnswer) { a.ImdsSupport = shown(i.ImdsSupport) },
	"kernel":           func(_ call, i image.Image, a *imageAttributeAnswer) { a.Kernel = shown(i.Kernel) },
	"lastLaunchedTime": func(_ call, _ image.Image, a *imageAttributeAnswer) { a.LastLaunched = shown("") },
	launchPermission: func(_ call, i image.Image, a *imageAttributeAnswer) {
		permissions := showPermissions(i.SharedWith)
		a.Permissions = &permissions
	},
	productCodes:      func(_ call, _ image.Image, a *imageAttributeAnswer) { a.Products = &ec2query.List[string]{} },
	"ramdisk":         func(_ call, i image.Image, a *imageAttributeAnswer) { a.Ramdisk = shown(i.Ramdisk) },
	"sriovNetSupport": func(_ call, i image.Image, a *imageAttributeAnswer) { a.SriovNet = shown(i.SriovNet) },
	"tpmSupport":      func(_ call, i image.Image, a *imageAttributeAnswer) { a.TpmSupport = shown(i.TpmSupport) },
	"uefiData":        func(_ call, i image.Image, a *imageAttributeAnswer) { a.UefiData = shown(i.UefiData) },
}

var describeImageAttributeRules = append(
	oneImageRules[describeImageAttributeRequest](),
	needed("Attribute", describeImageAttributeRequest.attribute),
	rule[describeImageAttributeRequest]{
		field: "Attribute", code: "InvalidParameterValue", message: "Value (%s) for parameter attribute is invalid. Unknown attribute.",
		broken: func(_ call, r describeImageAttributeRequest) (string, bool) {
			_, known := imageAttributes[r.Attribute]
			return r.Attribute, !known
		},
	},
)

// imageAttributeAnswer has one attribute.
type imageAttributeAnswer struct {
	ID           string                          `xml:"imageId"`
	Devices      *ec2query.List[deviceAnswer]    `xml:"blockDeviceMapping"`
	BootMode     *attributeValue                 `xml:"bootMode"`
	Protection   *attributeValue                 `xml:"deregistrationProtection"`
	Description  *attributeValue                 `xml:"description"`
	ImdsSupport  *attributeValue                 `xml:"imdsSupport"`
	Kernel       *attributeValue                 `xml:"kernel"`
	LastLaunched *attributeValue                 `xml:"lastLaunchedTime"`
	Permissions  *ec2query.List[permissionEntry] `xml:"launchPermission"`
	Products     *ec2query.List[string]          `xml:"productCodes"`
	Ramdisk      *attributeValue                 `xml:"ramdisk"`
	SriovNet     *attributeValue                 `xml:"sriovNetSupport"`
	TpmSupport   *attributeValue                 `xml:"tpmSupport"`
	UefiData     *attributeValue                 `xml:"uefiData"`
}

// attributeValue is an element that is there, and empty, for an attribute without value.
type attributeValue struct {
	Value string `xml:"value,omitempty"`
}

func shown(value string) *attributeValue { return &attributeValue{value} }

func showPermissions(with []string) ec2query.List[permissionEntry] {
	list := ec2query.List[permissionEntry]{}
	for _, who := range with {
		if who == snapshot.Everybody {
			list = append(list, permissionEntry{Group: who})
		} else {
			list = append(list, permissionEntry{UserID: who})
		}
	}
	return list
}

func describeImageAttribute(ctx context.Context, c call, r describeImageAttributeRequest) (any, error) {
	i, err := c.ownImage(ctx, r.ImageId)
	if err != nil {
		return nil, err
	}
	a := imageAttributeAnswer{ID: i.ID}
	imageAttributes[r.Attribute](c, i, &a)
	return a, nil
}

type resetImageAttributeRequest struct{ describeImageAttributeRequest }

var resetImageAttributeRules = append(
	oneImageRules[resetImageAttributeRequest](),
	needed("Attribute", func(r resetImageAttributeRequest) string { return r.Attribute }),
	attributeRule(func(r resetImageAttributeRequest) string { return r.Attribute }, launchPermission),
)

func resetImageAttribute(ctx context.Context, c call, r resetImageAttributeRequest) (any, error) {
	if _, err := c.ownImage(ctx, r.ImageId); err != nil {
		return nil, err
	}
	if err := c.ImageChanges.Unshare(ctx, c.Home(), r.ImageId); err != nil {
		return nil, about(r.ImageId, err)
	}
	return ec2query.Done{Return: true}, nil
}

// modifyImageAttributeRequest changes one attribute, which its own parameter names, or
// Attribute, with Value or, for permissions, as in modifyAttributeRequest.
type modifyImageAttributeRequest struct {
	imageRequest
	Attribute        string
	Value            *string `ec2:"Value,empty"`
	Description      *givenValue
	ImdsSupport      *givenValue
	LaunchPermission struct{ Add, Remove []launchChange }
	OperationType    string
	UserId           []string
	UserGroup        []string

	// Not built.
	OrganizationArn       []string
	OrganizationalUnitArn []string
	ProductCode           []string
}

type givenValue struct {
	Value *string `ec2:"Value,empty"`
}

type launchChange struct {
	permissionChange
	OrganizationArn       string
	OrganizationalUnitArn string
}

// attribute returns Attribute as it is spelled elsewhere. AWS takes it with a capital letter,
// too, as its pages write it in places and awspub sends it.
func (r modifyImageAttributeRequest) attribute() string {
	if r.Attribute == "" {
		return ""
	}
	return strings.ToLower(r.Attribute[:1]) + r.Attribute[1:]
}

// asSnapshots returns the change of permissions, as that of a snapshot, whose shapes are
// the same.
func (r modifyImageAttributeRequest) asSnapshots() modifyAttributeRequest {
	m := modifyAttributeRequest{Attribute: r.attribute(), OperationType: r.OperationType, UserId: r.UserId, UserGroup: r.UserGroup}
	for _, p := range r.LaunchPermission.Add {
		m.CreateVolumePermission.Add = append(m.CreateVolumePermission.Add, p.permissionChange)
	}
	for _, p := range r.LaunchPermission.Remove {
		m.CreateVolumePermission.Remove = append(m.CreateVolumePermission.Remove, p.permissionChange)
	}
	return m
}

// named returns the attributes that the request is about.
func (r modifyImageAttributeRequest) named() (names []string) {
	if r.Attribute != "" {
		names = []string{r.attribute()}
	}
	if add, remove := r.asSnapshots().changes(); len(add)+len(remove)+len(r.UserId)+len(r.UserGroup) > 0 {
		names = append(names, launchPermission)
	}
	if r.Description != nil {
		names = append(names, description)
	}
	if r.ImdsSupport != nil {
		names = append(names, imdsSupport)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// value returns what a text attribute is to be; nil if the request is not about it.
func (r modifyImageAttributeRequest) value(name string, own *givenValue) *string {
	switch {
	case own != nil && own.Value != nil:
		return own.Value
	case r.attribute() == name:
		return r.Value
	}
	return nil
}

func (r modifyImageAttributeRequest) keys(with policy.Context) {
	for _, name := range r.named() {
		attributeKeys(with, name)
	}
	if m := r.asSnapshots(); len(r.named()) == 0 || slices.Contains(r.named(), launchPermission) {
		m.Attribute = launchPermission
		m.keys(with)
	}
}

// organised reports whether the request names organisations.
func (r modifyImageAttributeRequest) organised() bool {
	for _, p := range slices.Concat(r.LaunchPermission.Add, r.LaunchPermission.Remove) {
		if p.OrganizationArn+p.OrganizationalUnitArn != "" {
			return true
		}
	}
	return len(r.OrganizationArn)+len(r.OrganizationalUnitArn) > 0
}

var modifyImageAttributeRules = slices.Concat(
	oneImageRules[modifyImageAttributeRequest](),
	[]rule[modifyImageAttributeRequest]{
		{
			field: "Attribute", code: "UnsupportedOperation", message: "The attribute productCodes is not supported.",
			broken: func(_ call, r modifyImageAttributeRequest) (string, bool) { return "", r.attribute() == productCodes },
		},
		attributeRule(func(r modifyImageAttributeRequest) string { return orDefault(r.attribute(), description) }, description, imdsSupport, launchPermission),
		unbuilt("OrganizationArn", modifyImageAttributeRequest.organised),
		unbuilt("ProductCode", func(r modifyImageAttributeRequest) bool { return len(r.ProductCode) > 0 }),
		{
			field: "Attribute", code: "InvalidParameterCombination", message: "No attributes specified.",
			broken: func(_ call, r modifyImageAttributeRequest) (string, bool) { return "", len(r.named()) == 0 },
		},
		{
			field: "Attribute", code: "InvalidParameterCombination", message: "Only one attribute may be modified at a time, not %s.",
			broken: func(_ call, r modifyImageAttributeRequest) (string, bool) {
				return strings.Join(r.named(), " and "), len(r.named()) > 1
			},
		},
		{
			field: "Value", code: "MissingParameter", message: "The request must contain the parameter value",
			broken: func(_ call, r modifyImageAttributeRequest) (string, bool) {
				name := r.named()[0]
				return "", name == description && r.value(name, r.Description) == nil || name == imdsSupport && r.value(name, r.ImdsSupport) == nil
			},
		},
		{
			field: "Value", code: "InvalidParameterCombination", message: "The parameter value can only be used with the attribute description or imdsSupport, and instead of a parameter of that name.",
			broken: func(_ call, r modifyImageAttributeRequest) (string, bool) {
				return "", r.Value != nil && (r.attribute() != description && r.attribute() != imdsSupport || r.Description != nil || r.ImdsSupport != nil)
			},
		},
		{
			field: "OperationType", code: "InvalidParameterCombination", message: "The parameter operationType can only be used with the attribute launchPermission.",
			broken: func(_ call, r modifyImageAttributeRequest) (string, bool) {
				return "", r.OperationType != "" && r.named()[0] != launchPermission
			},
		},
		short("Description", func(r modifyImageAttributeRequest) string { return pointed(r.value(description, r.Description)) }),
		{
			field: "ImdsSupport", code: "InvalidParameterValue", message: "Value (%s) for parameter imdsSupport is invalid.",
			broken: func(_ call, r modifyImageAttributeRequest) (string, bool) {
				v := r.value(imdsSupport, r.ImdsSupport)
				return pointed(v), v != nil && *v != imdsV2
			},
		},
	},
	permissionRules(func(r modifyImageAttributeRequest) (modifyAttributeRequest, bool) {
		return r.asSnapshots(), r.named()[0] == launchPermission
	}, "launchPermissions"),
)

func pointed(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func modifyImageAttribute(ctx context.Context, c call, r modifyImageAttributeRequest) (any, error) {
	i, err := c.ownImage(ctx, r.ImageId)
	if err != nil {
		return nil, err
	}
	if r.named()[0] == launchPermission {
		add, remove := r.asSnapshots().changes()
		if err := c.mayLaunch(ctx, i, add); err != nil {
			return nil, err
		}
		err = c.ImageChanges.Share(ctx, c.Home(), i.ID, add, remove)
	} else {
		err = c.ImageChanges.Modify(ctx, c.Home(), i.ID, image.Attributes{
			Description: r.value(description, r.Description), ImdsSupport: r.value(imdsSupport, r.ImdsSupport),
		})
	}
	if err != nil {
		return nil, about(i.ID, err)
	}
	return ec2query.Done{Return: true}, nil
}

// mayLaunch refuses to share an image whose disks others could not decrypt.
func (c call) mayLaunch(ctx context.Context, i image.Image, with []string) error {
	var ids []string
	for _, d := range i.Devices {
		if d.Snapshot != "" && d.Encrypted {
			ids = append(ids, d.Snapshot)
		}
	}
	if len(with) == 0 || len(ids) == 0 {
		return nil
	}
	records, err := c.Snapshots.List(ctx, c.Home(), snapshot.Filter{IDs: ids}, listing.Place{}, len(ids))
	if err != nil {
		return err
	}
	for _, r := range records {
		if err := c.mayShare(ctx, r, with); err != nil {
			return err
		}
	}
	return nil
}

type uefiDataRequest struct {
	common
	InstanceId string
}

// uefiDataGrants is for the image that InstanceId names, since there are no instances.
func uefiDataGrants(c call, r uefiDataRequest) []grant {
	arn := "arn:" + awsid.Partition(c.Region) + ":ec2:" + c.Region + ":" + c.account() + ":instance/" + orDefault(r.InstanceId, "*")
	if awsid.IsImage(r.InstanceId) {
		arn = awsid.ImageARN(c.Region, r.InstanceId)
	}
	return []grant{{action: "ec2:GetInstanceUefiData", resources: []string{arn}}}
}

var uefiDataRules = []rule[uefiDataRequest]{
	needed("InstanceId", func(r uefiDataRequest) string { return r.InstanceId }),
	{
		field: "InstanceId", code: "InvalidInstanceID.NotFound", message: "The instance ID '%s' does not exist",
		broken: func(_ call, r uefiDataRequest) (string, bool) { return r.InstanceId, !awsid.IsImage(r.InstanceId) },
	},
}

type uefiDataAnswer struct {
	ID   string `xml:"instanceId"`
	Data string `xml:"uefiData,omitempty"`
}

func uefiData(ctx context.Context, c call, r uefiDataRequest) (any, error) {
	i, err := c.ownImage(ctx, r.InstanceId)
	if err != nil {
		return nil, err
	}
	return uefiDataAnswer{i.ID, i.UefiData}, nil
}
