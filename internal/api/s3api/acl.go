package s3api

import (
	"context"
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
)

// Access control lists give nobody anything here: what is stored is the bucket
// owner's, as with the ownership that new buckets have. They can be read, and set to
// what they are.

type granteeXML struct {
	XSI         string `xml:"xmlns:xsi,attr"`
	Type        string `xml:"xsi:type,attr"`
	ID          string
	DisplayName string `xml:",omitempty"`
}

type aclOut struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ AccessControlPolicy"`
	Owner   owner
	Grants  []grantXML `xml:"AccessControlList>Grant"`
}

type grantXML struct {
	Grantee    granteeXML
	Permission string
}

const fullControl = "FULL_CONTROL"

func getACL(ctx context.Context, c *call) error {
	if c.key != "" {
		if err := c.hidden(ctx); err != nil {
			return err
		}
		c.showVersion(c.object.Version)
	}
	who := ownerOf(c.bucket.Account)
	return c.answer(aclOut{Owner: who, Grants: []grantXML{
		{granteeXML{"http://www.w3.org/2001/XMLSchema-instance", "CanonicalUser", who.ID, who.DisplayName}, fullControl},
	}})
}

// canned are AWS's access control lists with names.
var canned = []string{
	"private", "public-read", "public-read-write", "authenticated-read", "aws-exec-read", "bucket-owner-read", "bucket-owner-full-control", "log-delivery-write",
}

// checkCanned refuses the lists that would let others in.
func checkCanned(name string) error {
	switch {
	case name == "private" || name == "bucket-owner-full-control":
		return nil
	case slices.Contains(canned, name):
		return noACLs()
	}
	return invalidArgument("", "x-amz-acl", name)
}

type aclIn struct {
	XMLName xml.Name `xml:"AccessControlPolicy"`
	Owner   struct{ ID string }
	Grants  []struct {
		Grantee    struct{ ID, URI, EmailAddress string }
		Permission string
	} `xml:"AccessControlList>Grant"`
}

func putACL(ctx context.Context, c *call) error {
	if c.key != "" {
		if err := c.hidden(ctx); err != nil {
			return err
		}
	}
	owned, err := c.ownershipOf(ctx)
	if err != nil {
		return err
	}
	if owned == enforced {
		return noACLs()
	}
	for name := range c.header {
		if strings.HasPrefix(name, "X-Amz-Grant-") {
			return notImplemented("grants to others than the bucket's owner")
		}
	}
	if name := c.header.Get("X-Amz-Acl"); name != "" {
		if err := c.mayBePublic(ctx, name); err != nil {
			return err
		}
		return c.done(http.StatusOK)
	}
	var in aclIn
	if err := c.decode(&in); err != nil {
		return err
	}
	who := ownerOf(c.bucket.Account)
	for _, g := range in.Grants {
		if g.Grantee.ID != who.ID || g.Permission != fullControl {
			return notImplemented("grants to others than the bucket's owner")
		}
	}
	if len(in.Grants) == 0 || in.Owner.ID != "" && in.Owner.ID != who.ID {
		return accessDenied()
	}
	return c.done(http.StatusOK)
}

// mayBePublic refuses a list by its name unless it gives nobody anything.
func (c *call) mayBePublic(ctx context.Context, name string) error {
	if err := checkCanned(name); err == nil || !slices.Contains(canned, name) {
		return err
	}
	block, err := c.blockOf(ctx)
	switch {
	case err != nil:
		return err
	case block.BlockPublicAcls && strings.HasPrefix(name, "public-"):
		return accessDenied()
	}
	return notImplemented("x-amz-acl: " + name)
}
