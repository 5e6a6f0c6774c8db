package s3api

import (
	"context"
	"encoding/xml"
	"net/http"
	"time"

	"github.com/diskport/diskport/internal/imports/objects"
)

type lifecycleXML struct {
	XMLName xml.Name  `xml:"LifecycleConfiguration"`
	Rules   []ruleXML `xml:"Rule"`
}

// ruleXML is a rule about unfinished uploads. What other rules have is in Other.
type ruleXML struct {
	ID     string  `xml:",omitempty"`
	Prefix *string `xml:",omitempty"`
	Filter *struct {
		Prefix *string    `xml:",omitempty"`
		Other  []otherXML `xml:",any"`
	}
	Status string
	Abort  *struct {
		DaysAfterInitiation int
	} `xml:"AbortIncompleteMultipartUpload"`
	Other []otherXML `xml:",any"`
}

type otherXML struct{ XMLName xml.Name }

const maxRules = 1000 // as at AWS

func getBucketLifecycle(ctx context.Context, c *call) error {
	document, err := c.setting(ctx, c.bucket.Name, lifecycleSetting)
	if err != nil {
		return err
	}
	if document == nil {
		return fail(http.StatusNotFound, "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist", element{"BucketName", c.bucket.Name})
	}
	var in lifecycleXML
	if err := decodeXML(document, &in); err != nil {
		return err
	}
	c.w.Header().Set("X-Amz-Transition-Default-Minimum-Object-Size", "all_storage_classes_128K")
	return c.answer(struct {
		XMLName xml.Name  `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LifecycleConfiguration"`
		Rules   []ruleXML `xml:"Rule"`
	}{Rules: in.Rules})
}

func putBucketLifecycle(ctx context.Context, c *call) error {
	var in lifecycleXML
	if err := c.decode(&in); err != nil {
		return err
	}
	if len(in.Rules) == 0 || len(in.Rules) > maxRules {
		return malformedXML()
	}
	for _, r := range in.Rules {
		switch {
		case len(r.Other) > 0:
			return notImplemented(r.Other[0].XMLName.Local + " in a lifecycle rule")
		case r.Filter != nil && len(r.Filter.Other) > 0:
			return notImplemented(r.Filter.Other[0].XMLName.Local + " in the filter of a lifecycle rule")
		case r.Status != "Enabled" && r.Status != "Disabled", r.Abort == nil, r.Abort.DaysAfterInitiation < 1, r.Filter != nil && r.Prefix != nil:
			return malformedXML()
		}
	}
	if err := c.setSetting(ctx, c.bucket.Name, lifecycleSetting, c.document); err != nil {
		return err
	}
	return c.done(http.StatusOK)
}

func (r ruleXML) prefix() string {
	switch {
	case r.Prefix != nil:
		return *r.Prefix
	case r.Filter != nil && r.Filter.Prefix != nil:
		return *r.Filter.Prefix
	}
	return ""
}

// expiry is how many uploads one transaction aborts.
const expiry = 100

// ExpireUploads aborts the unfinished uploads of an account that its lifecycle rules
// say have waited for long enough.
func (e *Edge) ExpireUploads(ctx context.Context, account string) error {
	after := ""
	for {
		page, err := e.opts.Objects.Buckets(ctx, objects.BucketQuery{Account: account, After: after, Limit: maxList})
		if err != nil || len(page) == 0 {
			return err
		}
		for _, b := range page {
			if err := e.expireIn(ctx, b.Name); err != nil {
				return err
			}
			after = b.Name
		}
	}
}

func (e *Edge) expireIn(ctx context.Context, bucket string) error {
	document, err := (&call{Edge: e}).setting(ctx, bucket, lifecycleSetting)
	if err != nil || document == nil {
		return err
	}
	var in lifecycleXML
	if err := decodeXML(document, &in); err != nil {
		return err
	}
	for _, r := range in.Rules {
		if r.Status != "Enabled" {
			continue
		}
		before := e.opts.Aged().Add(-time.Duration(r.Abort.DaysAfterInitiation) * 24 * time.Hour)
		for n := expiry; n == expiry; {
			if n, err = e.opts.Objects.ExpireUploads(ctx, bucket, r.prefix(), before, expiry); err != nil {
				return err
			}
		}
	}
	return nil
}
