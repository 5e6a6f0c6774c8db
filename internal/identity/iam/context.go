package iam

import (
	"strconv"
	"time"

	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

// Origin holds the condition keys about the request itself.
type Origin struct {
	Time      time.Time
	SourceIP  string // without port
	Secure    bool   // came over TLS
	Region    string
	UserAgent string
}

// Context returns o as condition keys. Empty fields are omitted.
func (o Origin) Context() policy.Context {
	c := policy.Context{}
	c.Set("aws:CurrentTime", o.Time.UTC().Format(time.RFC3339))
	c.Set("aws:EpochTime", strconv.FormatInt(o.Time.Unix(), 10))
	c.Set("aws:SecureTransport", strconv.FormatBool(o.Secure))
	c.Set("aws:ViaAWSService", "false") // requests made through a service set this themselves
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

// Details holds the condition keys about what a request acts on. Edges add it to
// the context that they authorise with. Empty fields are omitted: to a condition,
// those keys are absent.
type Details struct {
	RequestTags  []tag.Tag // given by the request: aws:RequestTag/key and aws:TagKeys
	TagKeys      []string  // keys of tags to remove, where
	ResourceTags tag.Set   // of the resource as it is before the
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
