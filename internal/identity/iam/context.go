package iam

import (
	"strconv"
	"time"

	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

// Origin is what condition keys tell about a request as such.
type Origin struct {
	Time      time.Time
	SourceIP  string // without port
	Secure    bool   // came over TLS
	Region    string
	UserAgent string
}

// Context returns o as condition keys. Empty fields are left out.
func (o Origin) Context() policy.Context {
	c := policy.Context{}
	c.Set("aws:CurrentTime", o.Time.UTC().Format(time.RFC3339))
	c.Set("aws:EpochTime", strconv.FormatInt(o.Time.Unix(), 10))
	c.Set("aws:SecureTransport", strconv.FormatBool(o.Secure))
	c.Set("aws:ViaAWSService", "false") // those that come through a service say so themselves
	c.Set("aws:PrincipalIsAWSService", "false")
	for key, value := range map[string]string{
		"aws:SourceIp": o.SourceIP, "aws:RequestedRegion": o.Region, "aws:UserAgent": o.UserAgent,
	} {
		if value != "" {
			c.Set(key, value)
		}
	}
	return c
}

// Details is what condition keys tell about the thing that a request is for.
// Edges add it to the context that they authorise with; empty fields are left
// out, and so absent to a condition.
type Details struct {
	RequestTags  []tag.Tag // given by the request: aws:RequestTag/key and aws:TagKeys
	TagKeys      []string  // to take off, where a request gives no values
	ResourceTags tag.Set   // of the resource before the request: aws:ResourceTag/key
	CreateAction string    // ec2:CreateAction, of tags given on creation
}

// AddTo sets d's keys in c.
func (d Details) AddTo(c policy.Context) {
	keys := d.TagKeys
	for _, t := range d.RequestTags {
		c.Add("aws:RequestTag/"+t.Key, t.Value)
		keys = append(keys[:len(keys):len(keys)], t.Key)
	}
	if len(keys) > 0 {
		c.Set("aws:TagKeys", keys...)
	}
	for _, t := range d.ResourceTags {
		c.Add("aws:ResourceTag/"+t.Key, t.Value)
	}
	if d.CreateAction != "" {
		c.Set("ec2:CreateAction", d.CreateAction)
	}
}
