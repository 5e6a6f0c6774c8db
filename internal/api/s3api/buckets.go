package s3api

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"

	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/tag"
)

const usEast1 = "us-east-1" // the region that buckets are in whose location is not said

type createBucketIn struct {
	XMLName            xml.Name `xml:"CreateBucketConfiguration"`
	LocationConstraint string
	Location           *struct{} // of directory buckets
	Bucket             *struct{} // likewise
	Tags               []tag.Tag `xml:"Tags>Tag"`
}

// creation reads the document of a CreateBucket, which may be missing.
func (c *call) creation() (in createBucketIn, err error) {
	if len(c.document) == 0 {
		return in, nil
	}
	if err := c.decode(&in); err != nil {
		return createBucketIn{}, err
	}
	if in.Location != nil || in.Bucket != nil {
		return in, notImplemented("directory buckets")
	}
	return in, tagSet(in.Tags).check(maxBucketTags)
}

func createBucket(ctx context.Context, c *call) error {
	in, err := c.creation()
	if err != nil {
		return err
	}
	name := c.target.bucket
	if !objects.ValidBucketName(name) {
		return invalidBucketName(name)
	}
	region, err := c.regionFor(in.LocationConstraint)
	if err != nil {
		return err
	}
	owned, err := ownershipNamed(c.header.Get("X-Amz-Object-Ownership"))
	if err != nil {
		return err
	}
	_, err = c.opts.Objects.CreateBucket(ctx, objects.Bucket{Name: name, Account: c.Principal.Account, Region: region})
	if exists, ok := errors.AsType[*objects.BucketExistsError](err); ok {
		err = c.existing(exists.Bucket, region)
	}
	if err != nil {
		return err
	}
	if owned != "" {
		if err := c.setSetting(ctx, name, ownershipSetting, []byte(owned)); err != nil {
			return err
		}
	}
	if len(in.Tags) > 0 {
		if err := c.setTagging(ctx, name, in.Tags); err != nil {
			return err
		}
	}
	c.w.Header().Set("Location", "/"+name)
	return c.done(http.StatusOK)
}

// existing answers a CreateBucket of a name that is taken. Only in us-east-1 may
// owners create theirs again.
func (c *call) existing(b objects.Bucket, region string) error {
	switch {
	case b.Account != c.Principal.Account:
		return fail(http.StatusConflict, "BucketAlreadyExists",
			"The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.",
			element{"BucketName", b.Name})
	case b.Region == usEast1 && region == usEast1:
		return nil
	}
	return fail(http.StatusConflict, "BucketAlreadyOwnedByYou",
		"Your previous request to create the named bucket succeeded and you already own it.", element{"BucketName", b.Name})
}

func invalidBucketName(name string) *failure {
	return fail(http.StatusBadRequest, "InvalidBucketName", "The specified bucket is not valid.", element{"BucketName", name})
}

// regionFor returns where a bucket is to be made.
func (c *call) regionFor(constraint string) (string, error) {
	asked := c.Region
	switch {
	case constraint == "" && asked == usEast1:
		return usEast1, nil
	case constraint == "":
		return "", fail(http.StatusBadRequest, "IllegalLocationConstraintException",
			"The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.")
	}
	if constraint == "EU" {
		constraint = "eu-west-1"
	}
	switch {
	case constraint == usEast1, !c.opts.Regions.Has(constraint):
		return "", fail(http.StatusBadRequest, "InvalidLocationConstraint", "The specified location-constraint is not valid", element{"LocationConstraint", constraint})
	case asked != usEast1 && asked != constraint:
		return "", fail(http.StatusBadRequest, "IllegalLocationConstraintException",
			fmt.Sprintf("The %s location constraint is incompatible for the region specific endpoint this request was sent to.", constraint))
	}
	return constraint, nil
}

func deleteBucket(ctx context.Context, c *call) error {
	if err := c.opts.Objects.DeleteBucket(ctx, c.bucket.Name); err != nil {
		return err
	}
	return c.done(http.StatusNoContent)
}

func headBucket(_ context.Context, c *call) error {
	h := c.w.Header()
	h.Set("X-Amz-Bucket-Region", c.bucket.Region)
	h.Set("X-Amz-Bucket-Arn", c.judge.ARN(c.bucket.Name, ""))
	h.Set("X-Amz-Access-Point-Alias", "false")
	h.Set("Content-Type", contentXML)
	c.w.WriteHeader(http.StatusOK)
	return nil
}

func getBucketLocation(_ context.Context, c *call) error {
	out := struct {
		XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LocationConstraint"`
		Location string   `xml:",chardata"`
	}{}
	if c.bucket.Region != usEast1 {
		out.Location = c.bucket.Region
	}
	return c.answer(out)
}

// setTagging keeps the tags of a bucket.
func (c *call) setTagging(ctx context.Context, bucket string, tags []tag.Tag) error {
	document, err := json.Marshal(tags)
	if err != nil {
		return err
	}
	return c.setSetting(ctx, bucket, taggingSetting, document)
}
