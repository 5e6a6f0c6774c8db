package s3api

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"

	"github.com/diskport/diskport/internal/imports/bucketpolicy"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/tag"
)

// The settings of a bucket, as they are kept. A new bucket has none: what a setting
// is then is said where it is read. Those about who may use it are bucketpolicy's.
const (
	taggingSetting    = "tagging"           // JSON, a list of tags
	corsSetting       = "cors"              // the XML that was put
	lifecycleSetting  = "lifecycle"         // the XML that was put
	encryptionSetting = "encryption"        // JSON
	ownershipSetting  = "ownershipControls" // one word; "none" if it was deleted
)

// setting returns the document of a setting, or nil.
func (c *call) setting(ctx context.Context, bucket, name string) ([]byte, error) {
	document, err := c.opts.Objects.Setting(ctx, bucket, name)
	if errors.Is(err, objects.ErrNoSuchSetting) {
		return nil, nil
	}
	return document, err
}

func (c *call) setSetting(ctx context.Context, bucket, name string, document []byte) error {
	return c.opts.Objects.SetSetting(ctx, bucket, objects.Setting{Name: name, Document: document})
}

// readSetting decodes a setting that is kept as JSON into v. found is false if there
// is none.
func (c *call) readSetting(ctx context.Context, bucket, name string, v any) (found bool, err error) {
	document, err := c.setting(ctx, bucket, name)
	if err != nil || document == nil {
		return false, err
	}
	if err := json.Unmarshal(document, v); err != nil {
		return false, fmt.Errorf("reading setting %s of bucket %s: %w", name, bucket, err)
	}
	return true, nil
}

// writeSetting is the inverse of readSetting, and answers.
func (c *call) writeSetting(ctx context.Context, name string, v any) error {
	document, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := c.setSetting(ctx, c.bucket.Name, name, document); err != nil {
		return err
	}
	return c.done(http.StatusOK)
}

func deleteSetting(name string) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		if err := c.opts.Objects.DeleteSetting(ctx, c.bucket.Name, name); err != nil {
			return err
		}
		return c.done(http.StatusNoContent)
	}
}

// getNothing answers about a setting that can't be made here.
func getNothing(code, message string) func(context.Context, *call) error {
	return func(_ context.Context, c *call) error {
		return fail(http.StatusNotFound, code, message, element{"BucketName", c.bucket.Name})
	}
}

func deleteNothing(_ context.Context, c *call) error { return c.done(http.StatusNoContent) }

// getEmpty answers about a setting that says nothing until it is made.
func getEmpty(root string) func(context.Context, *call) error {
	return func(_ context.Context, c *call) error {
		return c.answer(struct{ XMLName xml.Name }{xml.Name{Space: namespace, Local: root}})
	}
}

// putEmpty accepts a setting as getEmpty shows it, and no other.
func putEmpty(root string) func(context.Context, *call) error {
	return func(_ context.Context, c *call) error {
		var in struct {
			XMLName xml.Name
			Any     []struct{ XMLName xml.Name } `xml:",any"`
		}
		if err := c.decode(&in); err != nil {
			return err
		}
		if in.XMLName.Local != root {
			return malformedXML()
		}
		if len(in.Any) > 0 {
			return notImplemented(in.Any[0].XMLName.Local + " in " + root)
		}
		return c.done(http.StatusOK)
	}
}

type paymentXML struct {
	XMLName xml.Name
	Payer   string
}

func getRequestPayment(_ context.Context, c *call) error {
	return c.answer(paymentXML{xml.Name{Space: namespace, Local: "RequestPaymentConfiguration"}, "BucketOwner"})
}

func putRequestPayment(_ context.Context, c *call) error {
	var in paymentXML
	switch err := c.decode(&in); {
	case err != nil:
		return err
	case in.Payer == "Requester":
		return notImplemented("requester pays")
	case in.Payer != "BucketOwner":
		return malformedXML()
	}
	return c.done(http.StatusOK)
}

func getBucketTagging(ctx context.Context, c *call) error {
	var tags []tag.Tag
	found, err := c.readSetting(ctx, c.bucket.Name, taggingSetting, &tags)
	if err != nil {
		return err
	}
	if !found || len(tags) == 0 {
		return fail(http.StatusNotFound, "NoSuchTagSet", "The TagSet does not exist", element{"BucketName", c.bucket.Name})
	}
	return c.answer(taggingOf(tags))
}

func putBucketTagging(ctx context.Context, c *call) error {
	tags, err := tagsIn(c.document, maxBucketTags)
	if err != nil {
		return err
	}
	if err := c.setTagging(ctx, c.bucket.Name, tags); err != nil {
		return err
	}
	return c.done(http.StatusNoContent)
}

type versioningXML struct {
	XMLName   xml.Name
	Status    string `xml:",omitempty"`
	MFADelete string `xml:"MfaDelete,omitempty"`
}

func getBucketVersioning(_ context.Context, c *call) error {
	return c.answer(versioningXML{XMLName: xml.Name{Space: namespace, Local: "VersioningConfiguration"}, Status: string(c.bucket.Versioning)})
}

func putBucketVersioning(ctx context.Context, c *call) error {
	var in versioningXML
	if err := c.decode(&in); err != nil {
		return err
	}
	v := objects.Versioning(in.Status)
	switch {
	case in.MFADelete == "Enabled":
		return notImplemented("MFA delete")
	case v != objects.Enabled && v != objects.Suspended:
		return fail(http.StatusBadRequest, "IllegalVersioningConfigurationException", "The Versioning element must be specified")
	}
	if err := c.opts.Objects.SetVersioning(ctx, c.bucket.Name, v); err != nil {
		return err
	}
	return c.done(http.StatusOK)
}

// ownershipXML says whether ACLs mean anything.
type ownershipXML struct {
	XMLName xml.Name
	Rule    []struct{ ObjectOwnership string }
}

// Whose an object is that another account has stored. With enforced, which new
// buckets have, it is the bucket's owner's, and ACLs are off.
const (
	enforced     = "BucketOwnerEnforced"
	preferred    = "BucketOwnerPreferred"
	writer       = "ObjectWriter"
	noOwnership  = "none"
	ownershipDoc = "OwnershipControls"
)

func ownershipNamed(text string) (string, error) {
	switch text {
	case "", enforced, preferred, writer:
		return text, nil
	}
	return "", invalidArgument("Invalid x-amz-object-ownership header: "+text, "x-amz-object-ownership", text)
}

// ownershipOf returns how ownership is controlled in the bucket; "none": not at all.
func (c *call) ownershipOf(ctx context.Context) (string, error) {
	document, err := c.setting(ctx, c.bucket.Name, ownershipSetting)
	if err != nil || document == nil {
		return enforced, err
	}
	return string(document), nil
}

func getOwnershipControls(ctx context.Context, c *call) error {
	owned, err := c.ownershipOf(ctx)
	if err != nil {
		return err
	}
	if owned == noOwnership {
		return fail(http.StatusNotFound, "OwnershipControlsNotFoundError", "The bucket ownership controls were not found", element{"BucketName", c.bucket.Name})
	}
	return c.answer(ownershipXML{xml.Name{Space: namespace, Local: ownershipDoc}, []struct{ ObjectOwnership string }{{owned}}})
}

func putOwnershipControls(ctx context.Context, c *call) error {
	var in ownershipXML
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.XMLName.Local != ownershipDoc || len(in.Rule) != 1 || in.Rule[0].ObjectOwnership == "" {
		return malformedXML()
	}
	owned, err := ownershipNamed(in.Rule[0].ObjectOwnership)
	if err != nil {
		return malformedXML()
	}
	if err := c.setSetting(ctx, c.bucket.Name, ownershipSetting, []byte(owned)); err != nil {
		return err
	}
	return c.done(http.StatusOK)
}

func deleteOwnershipControls(ctx context.Context, c *call) error {
	if err := c.setSetting(ctx, c.bucket.Name, ownershipSetting, []byte(noOwnership)); err != nil {
		return err
	}
	return c.done(http.StatusNoContent)
}

type publicAccessBlockXML struct {
	XMLName xml.Name
	bucketpolicy.PublicAccessBlock
}

const blockDoc = "PublicAccessBlockConfiguration"

// blockOf returns the public access block of the bucket; without one, nothing is
// blocked.
func (c *call) blockOf(ctx context.Context) (bucketpolicy.PublicAccessBlock, error) {
	block, err := c.judge.BlockOf(ctx, c.bucket.Name)
	if err != nil || block == nil {
		return bucketpolicy.PublicAccessBlock{}, err
	}
	return *block, nil
}

func getPublicAccessBlock(ctx context.Context, c *call) error {
	block, err := c.judge.BlockOf(ctx, c.bucket.Name)
	if err != nil {
		return err
	}
	if block == nil {
		return fail(http.StatusNotFound, "NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found", element{"BucketName", c.bucket.Name})
	}
	return c.answer(publicAccessBlockXML{xml.Name{Space: namespace, Local: blockDoc}, *block})
}

func putPublicAccessBlock(ctx context.Context, c *call) error {
	var in publicAccessBlockXML
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.XMLName.Local != blockDoc {
		return malformedXML()
	}
	return c.writeSetting(ctx, bucketpolicy.Block, in.PublicAccessBlock)
}

func deletePublicAccessBlock(ctx context.Context, c *call) error {
	if err := c.setSetting(ctx, c.bucket.Name, bucketpolicy.Block, []byte("null")); err != nil {
		return err
	}
	return c.done(http.StatusNoContent)
}
