package ec2api

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
)

// TestRegisterEverything: every parameter of RegisterImage is kept and shown.
func TestRegisterEverything(t *testing.T) {
	f := populated()
	data := base64.StdEncoding.EncodeToString([]byte("variables"))
	id := f.ok(t, "RegisterImage", append(slices.Clone(good["RegisterImage"]), "Description=d", "Architecture=arm64", "VirtualizationType=hvm", "SriovNetSupport=simple",
		"BootMode=uefi", "TpmSupport=v2.0", "ImdsSupport=v2.0", "EnaSupport=true", "ImageLocation=bucket/manifest.xml", "KernelId=aki-12345678",
		"RamdiskId=ari-0123456789abcdef0", "UefiData="+data, "BillingProduct.1=bp-6ba54002", "BillingProduct.2=bp-1")...).Image
	w := f.do("DescribeImages", "ImageId.1="+id)
	for _, want := range []string{
		"<imageLocation>bucket/manifest.xml<", "<kernelId>aki-12345678<", "<ramdiskId>ari-0123456789abcdef0<", "<bootMode>uefi<", "<tpmSupport>v2.0<",
		"<billingProducts><item><billingProduct>bp-6ba54002</billingProduct></item><item><billingProduct>bp-1</billingProduct></item></billingProducts>",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in %s", want, w.Body)
		}
	}
	for attribute, want := range map[string]string{
		"kernel": "<kernel><value>aki-12345678</value></kernel>", "ramdisk": "<ramdisk><value>ari-0123456789abcdef0</value></ramdisk>",
		"uefiData": "<uefiData><value>" + data + "</value></uefiData>", "bootMode": "<bootMode><value>uefi</value></bootMode>",
		"tpmSupport": "<tpmSupport><value>v2.0</value></tpmSupport>", "imdsSupport": "<imdsSupport><value>v2.0</value></imdsSupport>",
		"sriovNetSupport": "<sriovNetSupport><value>simple</value></sriovNetSupport>", "description": "<description><value>d</value></description>",
		"blockDeviceMapping": "<snapshotId>" + snapA + "</snapshotId>", "launchPermission": "<launchPermission></launchPermission>",
		"productCodes": "<productCodes></productCodes>", "lastLaunchedTime": "<lastLaunchedTime></lastLaunchedTime>",
		"deregistrationProtection": "<deregistrationProtection><value>disabled</value></deregistrationProtection>",
	} {
		w := f.do("DescribeImageAttribute", "ImageId="+id, "Attribute="+attribute)
		if !strings.Contains(w.Body.String(), "<imageId>"+id+"</imageId>") || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: got %s", attribute, w.Body)
		}
	}
	if len(imageAttributes) != 13 {
		t.Errorf("%d attributes were not all looked at", len(imageAttributes))
	}
	if w := f.do("GetInstanceUefiData", "InstanceId="+id); !strings.Contains(w.Body.String(), "<instanceId>"+id+"</instanceId><uefiData>"+data+"</uefiData>") {
		t.Errorf("got %s", w.Body)
	}
}

// TestLaunchPermissions: both forms change the same permissions, and images are found by
// them.
func TestLaunchPermissions(t *testing.T) {
	f := populated()
	steps := []struct {
		params []string
		want   []string
	}{
		{[]string{"LaunchPermission.Add.1.UserId=" + other, "LaunchPermission.Add.2.Group=all"}, []string{other, "all"}},
		{[]string{"LaunchPermission.Remove.1.Group=all"}, []string{other}},
		{[]string{"Attribute=launchPermission", "OperationType=add", "UserId.1=111122223333", "UserGroup.1=all"}, []string{other, "111122223333", "all"}},
		{[]string{"Attribute=launchPermission", "OperationType=remove", "UserId.1=" + other}, []string{"111122223333", "all"}},
		{[]string{"Attribute=launchPermission", "LaunchPermission.Add.1.UserId=" + other}, []string{"111122223333", "all", other}},
		{[]string{"Attribute=LaunchPermission", "LaunchPermission.Remove.1.UserId=" + other}, []string{"111122223333", "all"}}, // awspub
		{[]string{"UserId.1=" + other, "LaunchPermission.Add.1.UserId=" + other}, []string{"111122223333", "all", other}},      // Packer
	}
	for _, s := range steps {
		if got := f.ok(t, "ModifyImageAttribute", append(s.params, "ImageId="+imageA)...); got.Return != "true" {
			t.Errorf("%v: got %+v", s.params, got)
		}
		if diff := cmp.Diff(s.want, f.images.list[0].SharedWith); diff != "" {
			t.Errorf("%v: %s", s.params, diff)
		}
	}
	w := f.do("DescribeImageAttribute", good["DescribeImageAttribute"]...)
	if want := "<launchPermission><item><userId>111122223333</userId></item><item><group>all</group></item>"; !strings.Contains(w.Body.String(), want) {
		t.Errorf("got %s", w.Body)
	}
	for _, c := range []struct{ params, want string }{
		{"", imageA + " true, " + imageS + " false"},
		{"Owner.1=self", imageA + " true"},
		{"Owner.1=" + other, imageS + " false"},
		{"ExecutableBy.1=all", imageA + " true"},
		{"ExecutableBy.1=self", imageS + " false"},
		{"ExecutableBy.1=111122223333", imageA + " true"}, // not imageS: that is its owner's business
		{"Filter.1.Name=is-public", imageA + " true"},
	} {
		params := []string{c.params}
		if strings.HasPrefix(c.params, "Filter") {
			params = append(params, "Filter.1.Value.1=true")
		}
		var got []string
		for _, i := range f.ok(t, "DescribeImages", params...).Images {
			if got = append(got, fmt.Sprint(i.ID, " ", i.Public)); i.Tags != nil {
				t.Errorf("%s shows tags", i.ID)
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: got %v, want %s", c.params, got, c.want)
		}
	}
	f.ok(t, "ResetImageAttribute", good["ResetImageAttribute"]...)
	if with := f.images.list[0].SharedWith; len(with) != 0 {
		t.Errorf("after the reset: %v", with)
	}
}

func TestSharingEncryptedImages(t *testing.T) {
	for name, c := range map[string]struct{ key, add, code string }{
		"AWS's key":             {awsKeyARN, "UserId=" + other, "OperationNotPermitted"},
		"one's own key":         {keyARN, "UserId=" + other, ""},
		"one's own key, to all": {keyARN, "Group=all", "OperationNotPermitted"},
	} {
		f := populated()
		f.snapshots.records[0].KMSKey = c.key
		f.images.list[0].Devices = []image.Device{{Name: "/dev/sda1", Snapshot: snapA, Encrypted: true}}
		if got := parse(t, f.do("ModifyImageAttribute", "ImageId="+imageA, "LaunchPermission.Add.1."+c.add)); got.Code != c.code {
			t.Errorf("%s: got %s, want %s", name, got.Code, c.code)
		}
	}
}

func TestModifyTexts(t *testing.T) {
	f := populated()
	for _, c := range []struct {
		params []string
		want   string
	}{
		{[]string{"Description.Value=new"}, "new "},
		{[]string{"Attribute=description", "Description.Value=newer"}, "newer "},
		{[]string{"Attribute=description", "Value=newest"}, "newest "},
		{[]string{"Description.Value="}, " "},
		{[]string{"ImdsSupport.Value=v2.0"}, " v2.0"},
		{[]string{"Attribute=imdsSupport", "Value=v2.0"}, " v2.0"},
	} {
		f.ok(t, "ModifyImageAttribute", append(c.params, "ImageId="+imageA)...)
		if i := f.images.list[0]; i.Description+" "+i.ImdsSupport != c.want {
			t.Errorf("%v: got %q %q", c.params, i.Description, i.ImdsSupport)
		}
	}
}

// TestDeprecation: others do not find an image that is deprecated, unless they know it.
func TestDeprecation(t *testing.T) {
	f := populated()
	f.ok(t, "EnableImageDeprecation", "ImageId="+imageA, "DeprecateAt=2026-03-04T05:07:31Z")
	if got := f.ok(t, "DescribeImages", "ImageId.1="+imageA).Images[0]; got.Deprecated != "2026-03-04T05:08:00.000Z" {
		t.Errorf("got %s", got.Deprecated)
	}
	found := func(params ...string) int { return len(f.ok(t, "DescribeImages", params...).Images) }
	for name, c := range map[string]struct {
		image      int
		at         time.Time
		list       int
		deprecated int
	}{
		"one's own":      {0, clock.Add(-time.Hour), 2, 2},
		"another's":      {2, clock.Add(-time.Hour), 1, 2},
		"another's, yet": {2, clock.Add(time.Hour), 2, 2},
	} {
		f.images.list = populated().images.list
		f.images.list[c.image].Deprecated = c.at
		if got := found(); got != c.list {
			t.Errorf("%s: found %d", name, got)
		}
		if got := found("IncludeDeprecated=true"); got != c.deprecated {
			t.Errorf("%s: found %d with those deprecated", name, got)
		}
		if got := found("ImageId.1=" + f.images.list[c.image].ID); got != 1 {
			t.Errorf("%s, by id: found %d", name, got)
		}
	}
	f.images.list[0].Deprecated = clock
	f.ok(t, "DisableImageDeprecation", "ImageId="+imageA)
	if !f.images.list[0].Deprecated.IsZero() {
		t.Error("still deprecated")
	}
}

func TestProtection(t *testing.T) {
	f := populated()
	enable, disable, deregister := "EnableImageDeregistrationProtection", "DisableImageDeregistrationProtection", "DeregisterImage"
	until := "disabled after 2026-03-05T05:06:07.089Z"
	for _, s := range []struct {
		action string
		params []string
		want   string // return, or code
	}{
		{disable, nil, "disabled"},
		{enable, nil, "enabled-without-cooldown"},
		{deregister, nil, "OperationNotPermitted"},
		{disable, nil, "disabled"},
		{enable, []string{"WithCooldown=true"}, "enabled-with-cooldown"},
		{deregister, nil, "OperationNotPermitted"},
		{disable, nil, until},
		{disable, nil, until},
		{deregister, nil, "OperationNotPermitted"},
	} {
		got := parse(t, f.do(s.action, append(s.params, "ImageId="+imageA)...))
		if got.Return+got.Code != s.want {
			t.Errorf("%s %v: got %+v", s.action, s.params, got)
		}
	}
	if got := f.ok(t, "DescribeImages", "ImageId.1="+imageA).Images[0]; got.Protection != until {
		t.Errorf("got %s", got.Protection)
	}
	if got := parse(t, f.do(deregister, "ImageId="+imageA)); !strings.Contains(got.Message, "until 2026-03-05T05:06:07.089Z") {
		t.Errorf("got %s", got.Message)
	}
	f.images.list[0].ProtectedUntil = clock
	f.ok(t, deregister, "ImageId="+imageA)
}

// TestCopyImage: what a copy is made of, and what is not copied.
func TestCopyImage(t *testing.T) {
	f := populated()
	source := &f.images.list[0]
	*source = image.Image{
		ID: imageA, Account: account, Region: "us-east-1", Name: "web", Description: "d", Architecture: "arm64", BootMode: "uefi", UefiData: "AAAA", BillingProducts: []string{"bp-1"},
		Location: "b/k", Devices: []image.Device{{Name: "/dev/sda1", Snapshot: snapA, VolumeSize: 2}}, Created: clock.Add(-time.Hour),
		Tags: tag.Set{{Key: "a", Value: "source"}, {Key: "k", Value: "source"}}, SharedWith: []string{other}, Deprecated: clock.Add(time.Hour), Protection: image.Protected,
	}
	params := []string{"SourceRegion=us-east-1", "SourceImageId=" + imageA, "Name=copy", "Description=new", "ClientToken=once", "CopyImageTags=true", "Encrypted=true", "KmsKeyId=alias/k",
		"TagSpecification.1.ResourceType=image", oneTag, oneValue, "TagSpecification.2.ResourceType=snapshot", "TagSpecification.2.Tag.1.Key=s", "TagSpecification.2.Tag.1.Value=t"}
	w := f.doIn("eu-west-1", f.principal(), "CopyImage", params...)
	if w.Code != 200 {
		t.Fatal(w.Body)
	}
	got := f.copies.gotImage
	want := image.Image{
		ID: unknownAMI, Account: account, Region: "eu-west-1", Name: "copy", Description: "new", Architecture: "arm64", BootMode: "uefi", UefiData: "AAAA", BillingProducts: []string{"bp-1"},
		Devices: []image.Device{{Name: "/dev/sda1", Snapshot: snapA, VolumeSize: 2}}, Created: clock, SourceImage: imageA, SourceRegion: "us-east-1",
		Tags: tag.Set{{Key: "a", Value: "source"}, {Key: "k", Value: "v"}}, Token: "once", Digest: got.Image.Digest,
	}
	if diff := cmp.Diff(want, got.Image); diff != "" {
		t.Error(diff)
	}
	if len(got.Image.Digest) != 64 || got.SourceRegion != "us-east-1" || got.Caller.Region != "eu-west-1" || !cmp.Equal(got.Tags, tag.Set{{Key: "s", Value: "t"}}) {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff(&snapshot.Encryption{Key: "alias/k"}, got.Encrypt); diff != "" {
		t.Error(diff)
	}
	digest := got.Image.Digest
	f.doIn("eu-west-1", f.principal(), "CopyImage", append(params, "ClientToken=again", "DryRun=false")...)
	if f.copies.gotImage.Image.Digest != digest {
		t.Error("the token changes the digest")
	}
	f.doIn("eu-west-1", f.principal(), "CopyImage", append(params, "Description=other")...)
	if f.copies.gotImage.Image.Digest == digest {
		t.Error("the description does not change the digest")
	}
	f.doIn("us-east-1", f.principal(), "CopyImage", "SourceRegion=us-east-1", "SourceImageId="+imageS, "Name=copy", "CopyImageTags=true")
	if got := f.copies.gotImage.Image; got.Account != account || len(got.Tags) != 0 {
		t.Errorf("of another's: %+v", got)
	}
}

// TestCopyImageIsJudgedInBothRegions: a copy is judged where its source is, too.
func TestCopyImageIsJudgedInBothRegions(t *testing.T) {
	const all = `{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*",`
	for name, c := range map[string]struct {
		deny   string
		status int
	}{
		"nothing":                  {`"Resource":"arn:aws:ec2:eu-west-1::image/` + imageB + `"`, 200},
		"the source":               {`"Resource":"arn:aws:ec2:us-east-1::image/` + imageA + `"`, 403},
		"the region of the source": {`"Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"us-east-1"}}`, 403},
		"the region of the copy":   {`"Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}`, 403},
		"new images":               {`"Resource":"arn:aws:ec2:eu-west-1::image/*"`, 403},
		"new snapshots":            {`"Resource":"arn:aws:ec2:eu-west-1::snapshot/*"`, 403},
		"the tag of the source":    {`"Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/keep":"yes"}}`, 403},
		"public images":            {`"Resource":"*","Condition":{"Bool":{"ec2:Public":"true"}}`, 403},
	} {
		f := populated()
		f.images.list[0].Tags, f.images.list[0].SharedWith = tag.Set{{Key: "keep", Value: "yes"}}, []string{"all"}
		w := f.doIn("eu-west-1", bound(all+c.deny+"}"), "CopyImage", good["CopyImage"]...)
		if w.Code != c.status {
			t.Errorf("who may not use %s: got %d %s, want %d", name, w.Code, w.Body, c.status)
		}
	}
}
