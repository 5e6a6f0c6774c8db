package ec2api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
)

type copyImageRequest struct {
	common
	tagged
	ClientToken   string
	CopyImageTags bool
	Description   string
	Encrypted     bool
	KmsKeyId      string
	Name          string
	SourceImageId string
	SourceRegion  string
	// SnapshotCopyCompletionDurationMinutes is as CompletionDurationMinutes of
	// CopySnapshot.
	SnapshotCopyCompletionDurationMinutes *int64

	DestinationOutpostArn         string
	DestinationAvailabilityZone   string
	DestinationAvailabilityZoneId string
}

// from returns the region of the source, as that of copySnapshotRequest does.
func (r copyImageRequest) from(c call) string {
	if c.Regions.Has(r.SourceRegion) {
		return r.SourceRegion
	}
	return c.Region
}

func copyImageGrants(c call, r copyImageRequest) []grant {
	images, snapshots := awsid.ImageARN(c.Region, "*"), awsid.SnapshotARN(c.Region, "*")
	region := r.from(c)
	from := tagContext(nil)
	from.Set("aws:RequestedRegion", region) // as for CopySnapshot
	from.Set("ec2:Region", region)
	grants := []grant{{"ec2:CopyImage", from, []string{awsid.ImageARN(region, orDefault(r.SourceImageId, "*"))}}}
	for _, made := range []struct{ kind, arn string }{{imageType, images}, {snapshotType, snapshots}} {
		tags := r.tagsFor(made.kind)
		with := tagContext(tags)
		grants = append(grants, grant{"ec2:CopyImage", with, []string{made.arn}})
		grants = append(grants, tagOnCreate("CopyImage", tags, with, made.arn)...)
	}
	if r.CopyImageTags && len(r.tagsFor(imageType)) == 0 {
		with := tagContext(nil)
		with.Set("ec2:CreateAction", "CopyImage")
		grants = append(grants, grant{"ec2:CreateTags", with, []string{images}})
	}
	return grants
}

var copyImageRules = slices.Concat(
	[]rule[copyImageRequest]{
		needed("SourceRegion", func(r copyImageRequest) string { return r.SourceRegion }),
		needed("SourceImageId", func(r copyImageRequest) string { return r.SourceImageId }),
		needed("Name", func(r copyImageRequest) string { return r.Name }),
		imageName(func(r copyImageRequest) string { return r.Name }),
		short("Description", func(r copyImageRequest) string { return r.Description }),
		goodToken(func(r copyImageRequest) string { return r.ClientToken }),
		{
			field: "SourceRegion", code: "InvalidParameterValue", message: "Value (%s) for parameter sourceRegion is invalid. There is no such region.",
			broken: func(c call, r copyImageRequest) (string, bool) { return r.SourceRegion, !c.Regions.Has(r.SourceRegion) },
		},
		unbuilt("DestinationOutpostArn", func(r copyImageRequest) bool { return r.DestinationOutpostArn != "" }),
		unbuilt("DestinationAvailabilityZone", func(r copyImageRequest) bool {
			return r.DestinationAvailabilityZone != "" || r.DestinationAvailabilityZoneId != ""
		}),
		{
			field: "SnapshotCopyCompletionDurationMinutes", code: "InvalidParameterValue",
			message: "Value for parameter snapshotCopyCompletionDurationMinutes is invalid. It must be a multiple of 15 between 15 and 2880.",
			broken: func(_ call, r copyImageRequest) (string, bool) {
				return "", !isCopyTime(r.SnapshotCopyCompletionDurationMinutes)
			},
		},
		{
			field: "KmsKeyId", code: "InvalidParameterDependency", message: "The parameter KmsKeyId requires the parameter Encrypted to be set.",
			broken: func(_ call, r copyImageRequest) (string, bool) { return "", r.KmsKeyId != "" && !r.Encrypted },
		},
	},
	imageIDRules(func(r copyImageRequest) []string { return []string{r.SourceImageId} }),
	specificationRules[copyImageRequest](only(imageType, snapshotType)),
)

// copyImage copies an image and its snapshots. What of the source belongs to its owner
// alone is not copied: with whom it is shared, until when it is offered, its protection.
func copyImage(ctx context.Context, c call, r copyImageRequest) (any, error) {
	tags, snapshotTags, err := r.made()
	if err != nil {
		return nil, err
	}
	source, err := c.usableImage(ctx, r.SourceRegion, r.SourceImageId)
	if err != nil {
		return nil, err
	}
	if r.CopyImageTags { // of another's image, which come without, there are none
		if source.Account != c.account() {
			source.Tags = nil
		}
		if tags, err = source.Tags.Merge(tags); err != nil {
			return nil, err
		}
	}
	d, err := c.Defaults.Defaults(ctx, c.Home())
	if err != nil {
		return nil, err
	}
	i := source
	i.ID, i.Account, i.Region, i.Name, i.Description, i.Created = c.IDs.Image(), c.account(), c.Region, r.Name, r.Description, c.Now().UTC()
	i.Location, i.SourceImage, i.SourceRegion, i.Tags, i.Token, i.Digest = "", source.ID, source.Region, tags, r.ClientToken, r.digest()
	i.SharedWith, i.Public, i.Deprecated, i.Protection, i.ProtectedUntil = nil, false, time.Time{}, image.Unprotected, time.Time{}
	made, err := c.Copies.CopyImage(ctx, snapshot.ImageCopyRequest{
		Image: i, SourceRegion: r.SourceRegion, Caller: c.KeyUser(), Tags: snapshotTags, DefaultKey: d.KMSKey,
		Encrypt: d.Encryption(snapshot.EncryptionRequest{Encrypted: r.Encrypted, Key: r.KmsKeyId}),
	})
	switch {
	case errors.Is(err, snapshot.ErrNotFound):
		return nil, refused("InvalidRequest", "You do not have permission to access the storage of this ami")
	case errors.Is(err, snapshot.ErrNotPending):
		return nil, refused("InvalidRequest", "The storage for the ami is not available in the source Region.")
	case err != nil:
		return nil, about(r.SourceImageId, err)
	}
	return registerImageAnswer{made.ID}, nil
}

// made returns the tags for the image and for its snapshots.
func (r copyImageRequest) made() (images, snapshots tag.Set, err error) {
	if images, err = tag.Set(nil).Merge(r.tagsFor(imageType)); err != nil {
		return nil, nil, err
	}
	snapshots, err = tag.Set(nil).Merge(r.tagsFor(snapshotType))
	return images, snapshots, err
}

// digest stands for what the request asks for, whatever its token.
func (r copyImageRequest) digest() string {
	r.ClientToken, r.DryRun = "", false
	return digestOf(r)
}

func digestOf(request any) string {
	text, err := json.Marshal(request)
	if err != nil {
		panic(err) // requests are made of texts, numbers and flags
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// imageName is the validation row of the name of a new image.
func imageName[R any](name func(R) string) rule[R] {
	return rule[R]{
		field: "Name", code: "InvalidAMIName.Malformed", message: "AMI names must be between 3 and 128 characters long",
		broken: func(_ call, r R) (string, bool) { return "", len(name(r)) < 3 || len(name(r)) > 128 },
	}
}

// goodToken is the validation row of ClientToken.
func goodToken[R any](token func(R) string) rule[R] {
	return rule[R]{
		field: "ClientToken", code: "InvalidParameterValue", message: "Client token %s",
		broken: func(_ call, r R) (string, bool) {
			if strings.ContainsFunc(token(r), func(c rune) bool { return c > 126 || c < 32 }) {
				return "has characters that are not printable ASCII", true
			}
			return "exceeds the maximum length of 64", len(token(r)) > maxToken
		},
	}
}
