package ec2api

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/volume"
)

// authorize asks for each grant on each resource: policies may depend on what a
// resource is.
func (c call) authorize(ctx context.Context, grants []grant) error {
	for _, g := range grants {
		for _, arn := range g.resources {
			with, err := c.describe(ctx, g.context, arn)
			if err != nil {
				return err
			}
			if err := c.Authorize(ctx, g.action, with, arn); err != nil {
				return err
			}
		}
	}
	return nil
}

// describe adds what policies are told of one resource.
func (c call) describe(ctx context.Context, with policy.Context, arn string) (policy.Context, error) {
	if c.Principal.Kind == iam.Root { // policies do not apply to it
		return with, nil
	}
	full := maps.Clone(with)
	if full == nil {
		full = policy.Context{}
	}
	region := c.Region
	if part := strings.SplitN(arn, ":", 6); len(part) == 6 {
		region = part[3] // the source of a copy may be in another
	}
	full.Set("ec2:Region", region)
	tags, err := c.describeID(ctx, full, region, arn[strings.LastIndex(arn, "/")+1:])
	return iam.WithResourceTags(full, "ec2:ResourceTag/", tags), err
}

// describeID adds the condition keys of a resource of a region that the account may
// use, and returns its tags. Of one that is not there, or is none of the account's
// business, there is nothing to tell.
func (c call) describeID(ctx context.Context, with policy.Context, region, id string) (tag.Set, error) {
	home := awsid.Home{Account: c.account(), Region: region}
	switch {
	case awsid.IsSnapshot(id):
		r, err := c.Snapshots.Get(ctx, region, id)
		if err != nil || !r.UsableBy(c.account()) {
			return nil, unless(err, snapshot.ErrNotFound)
		}
		describeSnapshot(with, r)
		if r.Account != c.account() { // its tags are the other account's
			return nil, nil
		}
		return r.Tags, nil
	case awsid.IsTask(id):
		t, err := c.Tasks.Task(ctx, home, id)
		if err == nil {
			with.Set("aws:ResourceAccount", t.Account)
		}
		return t.Tags, unless(err, importtask.ErrNotFound)
	case awsid.IsImageTask(id):
		t, err := c.ImageTasks.ImageTask(ctx, home, id)
		if err == nil {
			with.Set("aws:ResourceAccount", t.Account)
		}
		return t.Tags, unless(err, importtask.ErrNotFound)
	case awsid.IsVolume(id):
		list, err := c.Volumes.List(ctx, home, volume.Filter{IDs: []string{id}}, listing.Place{}, 1)
		if err != nil || len(list) == 0 {
			return nil, err
		}
		describeVolume(with, list[0])
		return list[0].Tags, nil
	case awsid.IsImage(id):
		i, err := c.Images.Get(ctx, region, id)
		if err != nil || !i.UsableBy(c.account()) {
			return nil, unless(err, image.ErrNotFound)
		}
		describeImage(with, i)
		if i.Account != c.account() { // as of a snapshot
			return nil, nil
		}
		return i.Tags, nil
	}
	return nil, nil
}

func describeSnapshot(with policy.Context, r snapshot.Record) {
	with.Set("aws:ResourceAccount", r.Account)
	with.Set("ec2:Owner", r.Account)
	with.Set("ec2:SnapshotID", r.ID)
	with.Set("ec2:SnapshotTime", r.StartedAt.UTC().Format(time.RFC3339))
	with.Set("ec2:VolumeSize", strconv.FormatInt(r.VolumeSize, 10))
	with.Set("ec2:Encrypted", strconv.FormatBool(r.KMSKey != ""))
	with.Set("ec2:ParentVolume", awsid.VolumeARN(r.Home(), volumeOf(r)))
}

func describeVolume(with policy.Context, v volume.Volume) {
	with.Set("aws:ResourceAccount", v.Account)
	with.Set("ec2:AvailabilityZone", v.Zone)
	with.Set("ec2:Encrypted", strconv.FormatBool(v.KMSKey != ""))
	with.Set("ec2:VolumeID", v.ID)
	with.Set("ec2:VolumeIops", strconv.FormatInt(shownIops(v.Settings), 10))
	with.Set("ec2:VolumeSize", strconv.FormatInt(v.Settings.Size, 10))
	with.Set("ec2:VolumeThroughput", strconv.FormatInt(v.Settings.Throughput, 10))
	with.Set("ec2:VolumeType", v.Settings.Type)
	if v.Snapshot != "" {
		with.Set("ec2:ParentSnapshot", awsid.SnapshotARN(v.Region, v.Snapshot))
	}
}

func describeImage(with policy.Context, i image.Image) {
	with.Set("aws:ResourceAccount", i.Account)
	with.Set("ec2:Owner", i.Account)
	with.Set("ec2:ImageID", i.ID)
	with.Set("ec2:ImageType", "machine")
	with.Set("ec2:Public", strconv.FormatBool(i.Public))
	with.Set("ec2:RootDeviceType", "ebs")
}

// unless returns err unless it is a sentinel.
func unless(err, sentinel error) error {
	if errors.Is(err, sentinel) {
		return nil
	}
	return err
}
