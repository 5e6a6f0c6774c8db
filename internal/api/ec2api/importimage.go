package ec2api

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/store/snapshot"
)

type importImageRequest struct {
	common
	tagged
	Architecture          string
	BootMode              string
	ClientData            *clientData
	ClientToken           string
	Description           string
	DiskContainer         []imageContainer
	Encrypted             bool
	Hypervisor            string
	KmsKeyId              string
	LicenseSpecifications []licenseSpecification
	LicenseType           string
	Platform              string
	RoleName              string
	UsageOperation        string
}

type imageContainer struct {
	diskContainer
	DeviceName string
	SnapshotId string
}

type licenseSpecification struct{ LicenseConfigurationArn string }

const imageTaskType = "import-image-task"

func importImageGrants(c call, r importImageRequest) []grant {
	task, made := awsid.ImageTaskARN(c.Home(), "*"), awsid.SnapshotARN(c.Region, "*")
	resources := []string{task, awsid.ImageARN(c.Region, "*")}
	for _, d := range r.DiskContainer {
		arn := made
		if d.SnapshotId != "" {
			arn = awsid.SnapshotARN(c.Region, d.SnapshotId)
		}
		if !slices.Contains(resources, arn) {
			resources = append(resources, arn)
		}
	}
	with := tagContext(r.tags())
	grants := []grant{{"ec2:ImportImage", with, resources}}
	grants = append(grants, tagOnCreate("ImportImage", r.tagsFor(imageTaskType), with, task)...)
	return append(grants, tagOnCreate("ImportImage", r.tagsFor(snapshotType), with, made)...)
}

// imageKinds is importKinds for images.
func imageKinds(c call) []string {
	if c.TagSnapshots {
		return []string{imageTaskType, snapshotType}
	}
	return []string{imageTaskType}
}

var (
	deviceName     = regexp.MustCompile(`^(/dev/)?[a-z][a-z0-9]{1,31}$`)
	usageOperation = regexp.MustCompile(`^RunInstances(:[0-9a-z]{4})?$`)
	licenseARN     = regexp.MustCompile(`^arn:[a-z-]+:license-manager:[a-z0-9-]+:\d{12}:license-configuration[:/]lic-[0-9a-f]{32}$`)
)

var importImageRules = slices.Concat(
	[]rule[importImageRequest]{
		{
			field: "DiskContainer.N", code: "MissingParameter", message: "The request must contain the parameter DiskContainer",
			broken: func(_ call, r importImageRequest) (string, bool) { return "", len(r.DiskContainer) == 0 },
		},
		{
			field: "DiskContainer.N", code: "InvalidParameterValue",
			message: "Value (%s) for parameter DiskContainer is invalid. It must not have more than " + strconv.Itoa(importtask.MaxDisks) + " entries.",
			broken: func(_ call, r importImageRequest) (string, bool) {
				return strconv.Itoa(len(r.DiskContainer)), len(r.DiskContainer) > importtask.MaxDisks
			},
		},
	},
	containerRules,
	[]rule[importImageRequest]{
		oneOf("architecture", []string{"i386", "x86_64", "arm64"}, func(r importImageRequest) string { return r.Architecture }),
		oneOf("bootMode", []string{"legacy-bios", "uefi", "uefi-preferred"}, func(r importImageRequest) string { return r.BootMode }),
		oneOf("hypervisor", []string{"xen"}, func(r importImageRequest) string { return r.Hypervisor }),
		oneOf("licenseType", []string{"AWS", "BYOL"}, func(r importImageRequest) string { return r.LicenseType }),
		oneOf("platform", []string{"Windows", "Linux"}, func(r importImageRequest) string { return r.Platform }),
		formed("usageOperation", usageOperation, func(r importImageRequest) string { return r.UsageOperation }),
		few("LicenseSpecifications", func(r importImageRequest) int { return len(r.LicenseSpecifications) }),
		{
			field: "LicenseSpecifications.N.LicenseConfigurationArn", code: "InvalidParameterValue", message: "Value (%s) for parameter licenseConfigurationArn is invalid.",
			broken: func(_ call, r importImageRequest) (string, bool) {
				for _, l := range r.LicenseSpecifications {
					if !licenseARN.MatchString(l.LicenseConfigurationArn) {
						return l.LicenseConfigurationArn, true
					}
				}
				return "", false
			},
		},
		{
			field: "RoleName", code: "InvalidParameter", message: roleMessage,
			broken: func(_ call, r importImageRequest) (string, bool) {
				return r.RoleName, r.RoleName != "" && !roleName.MatchString(r.RoleName)
			},
		},
		{
			field: "KmsKeyId", code: "InvalidParameterDependency", message: "The parameter KmsKeyId requires the parameter Encrypted to be set.",
			broken: func(_ call, r importImageRequest) (string, bool) { return "", r.KmsKeyId != "" && !r.Encrypted },
		},
		goodToken(func(r importImageRequest) string { return r.ClientToken }),
		short("Description", func(r importImageRequest) string { return r.Description }),
	},
	specificationRules[importImageRequest](imageKinds),
)

// containerRules are the validation rows of DiskContainer.N.
var containerRules = []rule[importImageRequest]{
	eachContainer("UserBucket.S3Key", "MissingParameter", "The request must contain the parameter DiskContainer.UserBucket.S3Key",
		func(_ call, d imageContainer) (string, bool) {
			return "", d.UserBucket.S3Bucket != "" && d.UserBucket.S3Key == ""
		}),
	eachContainer("UserBucket.S3Bucket", "MissingParameter", "The request must contain the parameter DiskContainer.UserBucket.S3Bucket",
		func(_ call, d imageContainer) (string, bool) {
			return "", d.UserBucket.S3Bucket == "" && d.UserBucket.S3Key != ""
		}),
	eachContainer("", "MissingParameter", "The request must contain the parameter DiskContainer.UserBucket, DiskContainer.Url or DiskContainer.SnapshotId",
		func(_ call, d imageContainer) (string, bool) {
			return "", d.UserBucket.S3Bucket == "" && d.Url == "" && d.SnapshotId == ""
		}),
	eachContainer("Url", "InvalidParameterCombination", "The parameter Url cannot be used with the parameter UserBucket",
		func(_ call, d imageContainer) (string, bool) { return "", d.UserBucket.S3Bucket != "" && d.Url != "" }),
	eachContainer("SnapshotId", "InvalidParameterCombination", "The parameter SnapshotId cannot be used with the parameter %s",
		func(_ call, d imageContainer) (string, bool) {
			switch {
			case d.SnapshotId == "":
			case d.Url != "":
				return "Url", true
			case d.UserBucket.S3Bucket != "":
				return "UserBucket", true
			case d.Format != "":
				return "Format", true
			}
			return "", false
		}),
	{
		field: "Encrypted", code: "InvalidParameterCombination", message: "The parameter Encrypted cannot be used with the parameter SnapshotId",
		broken: func(_ call, r importImageRequest) (string, bool) {
			return "", r.Encrypted && slices.ContainsFunc(r.DiskContainer, func(d imageContainer) bool { return d.SnapshotId != "" })
		},
	},
	eachContainer("SnapshotId", "InvalidParameterValue", "Value (%s) for parameter snapshotId is invalid. Expected: 'snap-...'.",
		func(_ call, d imageContainer) (string, bool) {
			return d.SnapshotId, d.SnapshotId != "" && !strings.HasPrefix(d.SnapshotId, "snap-")
		}),
	eachContainer("SnapshotId", "InvalidSnapshotID.Malformed", "Value ( %s ) for parameter SNAPSHOT is invalid. ",
		func(_ call, d imageContainer) (string, bool) {
			return d.SnapshotId, d.SnapshotId != "" && !awsid.IsSnapshot(d.SnapshotId)
		}),
	eachContainer("Url", "InvalidParameter", locationMessage,
		func(c call, d imageContainer) (string, bool) { return "", badLocation(c, d.Url) }),
	eachContainer("Format", "InvalidParameter", "Parameter disk-image-format=%s has an invalid format",
		func(c call, d imageContainer) (string, bool) {
			f := strings.ToUpper(d.Format)
			return d.Format, f != "" && f != "OVA" && !slices.Contains(c.Formats, f)
		}),
	eachContainer("DeviceName", "InvalidParameterValue", "Value (%s) for parameter deviceName is invalid.",
		func(_ call, d imageContainer) (string, bool) {
			return d.DeviceName, d.DeviceName != "" && !deviceName.MatchString(d.DeviceName)
		}),
	{
		field: "DiskContainer.N.DeviceName", code: "InvalidParameterValue", message: "Value (%s) for parameter deviceName is invalid. It is the name of two disks.",
		broken: func(_ call, r importImageRequest) (string, bool) {
			seen := map[string]bool{}
			for _, d := range r.DiskContainer {
				if d.DeviceName != "" && seen[image.DeviceKey(d.DeviceName)] {
					return d.DeviceName, true
				}
				seen[image.DeviceKey(d.DeviceName)] = true
			}
			return "", false
		},
	},
	eachContainer("Description", "InvalidParameterValue", "Value (%s) for parameter description is invalid. It must not be longer than 255 characters.",
		func(_ call, d imageContainer) (string, bool) { return d.Description, tooLong(d.Description) }),
}

// eachContainer is a validation row that every container must pass.
func eachContainer(member, code, message string, broken func(c call, d imageContainer) (string, bool)) rule[importImageRequest] {
	return rule[importImageRequest]{field: "DiskContainer.N." + member, code: code, message: message, broken: func(c call, r importImageRequest) (string, bool) {
		for _, d := range r.DiskContainer {
			if what, bad := broken(c, d); bad {
				return what, true
			}
		}
		return "", false
	}}
}

func importImage(ctx context.Context, c call, r importImageRequest) (any, error) {
	ask, err := r.ask(ctx, c)
	if err != nil {
		return nil, err
	}
	task, err := c.ImageImports.ImportImage(ctx, ask)
	logkey.NoteID(ctx, task.ID)
	if err != nil {
		return nil, r.explain(c, err)
	}
	return c.showImageTask(task), nil
}

// deepCheck implements deepRequest.
func (r importImageRequest) deepCheck(ctx context.Context, c call) error {
	ask, err := r.ask(ctx, c)
	if err != nil {
		return err
	}
	if err := c.ImageImports.CheckImage(ctx, ask); err != nil {
		return r.explain(c, err)
	}
	return nil
}

// ask returns the import that is asked for, once the request has passed the rules.
func (r importImageRequest) ask(ctx context.Context, c call) (importtask.ImageRequest, error) {
	ask := importtask.ImageRequest{
		Account: c.account(), Region: c.Region, Caller: c.Principal, Origin: c.Origin, Token: r.ClientToken, Digest: imageDigest(r),
		Spec: importtask.ImageSpec{
			Description: r.Description, Architecture: r.Architecture, BootMode: r.BootMode, Platform: r.Platform, Hypervisor: r.Hypervisor,
			LicenseType: r.LicenseType, UsageOperation: r.UsageOperation, RoleName: orDefault(r.RoleName, defaultRole),
		},
		OwnHosts: c.ownHosts(), Tags: r.tagsFor(imageTaskType), SnapshotTags: r.tagsFor(snapshotType),
	}
	for _, l := range r.LicenseSpecifications {
		ask.Spec.LicenseConfigurations = append(ask.Spec.LicenseConfigurations, l.LicenseConfigurationArn)
	}
	for _, d := range r.DiskContainer {
		ask.Containers = append(ask.Containers, importtask.Container{
			Description: d.Description, Device: d.DeviceName, Format: strings.ToUpper(d.Format),
			URL: d.Url, Bucket: d.UserBucket.S3Bucket, Key: d.UserBucket.S3Key, Snapshot: d.SnapshotId,
		})
	}
	defaults, err := c.Defaults.Defaults(ctx, c.Home())
	if encrypt := defaults.Encryption(snapshot.EncryptionRequest{Encrypted: r.Encrypted, Key: r.KmsKeyId}); encrypt != nil {
		ask.Spec.Encrypted, ask.Spec.KMSKey = true, encrypt.Key
	}
	return ask, err
}

// explain adds to an error of the domain what it is about.
func (r importImageRequest) explain(c call, err error) error {
	var at *importtask.ContainerError
	if errors.As(err, &at) && errors.Is(err, source.ErrLocation) {
		if b := r.DiskContainer[at.Number-1].UserBucket; b.S3Bucket != "" {
			err = &importtask.ObjectError{Bucket: b.S3Bucket, Key: b.S3Key, Err: err} // as of a snapshot's import
		}
	}
	return about(c.Region, err)
}

// imageDigest is digest for images. The order of containers makes a difference.
func imageDigest(r importImageRequest) string {
	r.common, r.ClientToken = common{}, ""
	r.DiskContainer = slices.Clone(r.DiskContainer)
	for i := range r.DiskContainer {
		r.DiskContainer[i].Format = strings.ToUpper(r.DiskContainer[i].Format)
	}
	tags := sortedTags(r.tagged, imageTaskType, snapshotType)
	r.TagSpecification = nil
	size := takeSize(&r.ClientData)
	return hashOf(r, size, tags)
}
