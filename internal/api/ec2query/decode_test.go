package ec2query

import (
	"errors"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type tagIn struct {
	Key   string
	Value *string `ec2:"Value,empty"`
}

type filterIn struct {
	Name   string
	Values []string `ec2:"Value,empty"`
}

type dry struct{ DryRun *bool }

// importIn has the shape of ImportSnapshot, and one field of each other kind.
type importIn struct {
	dry
	ClientData *struct {
		Comment                string
		UploadStart, UploadEnd *time.Time
		UploadSize             *float64
	}
	Description   *string
	DiskContainer *struct {
		Format, Url string
		UserBucket  *struct{ S3Bucket, S3Key string }
	}
	MaxResults        *int32
	ImportTaskId      []string
	Numbers           []int64    `ec2:"Number"`
	Filters           []filterIn `ec2:"Filter|Filters"`
	TagSpecifications []struct {
		ResourceType string
		Tags         []tagIn `ec2:"Tag"`
	} `ec2:"TagSpecification"`
	RoleTags []tagIn `ec2:"Tags.member"`
}

func decode(t testing.TB, query string) (importIn, error) {
	t.Helper()
	form, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	var in importIn
	return in, Decode(form, &in)
}

func TestDecodeFullImport(t *testing.T) {
	in, err := decode(t, "Action=ImportSnapshot&Version=2016-11-15"+
		"&ClientData.Comment=a+b%2F%C3%A9&ClientData.UploadStart=2024-01-02T03%3A04%3A05.678900Z&ClientData.UploadEnd=0001-01-01T00:00:00%2B00:00&ClientData.UploadSize=1.5"+
		"&Description=d&DryRun=FALSE&MaxResults=0010"+
		"&DiskContainer.Format=VHD&DiskContainer.Url=&DiskContainer.UserBucket.S3Bucket=b&DiskContainer.UserBucket.S3Key=k%2Fy+z.vhd"+
		"&TagSpecification.1.ResourceType=import-snapshot-task&TagSpecification.1.Tag.1.Key=K1&TagSpecification.1.Tag.1.Value=V1&TagSpecification.1.Tag.2.Key=K2&TagSpecification.1.Tag.2.Value=&TagSpecification.1.Tag.3.Key=K3")
	if err != nil {
		t.Fatal(err)
	}
	if c := in.ClientData; c.Comment != "a b/é" || *c.UploadSize != 1.5 || !c.UploadEnd.IsZero() ||
		!c.UploadStart.Equal(time.Date(2024, 1, 2, 3, 4, 5, 678900000, time.UTC)) {
		t.Errorf("client data: %+v", c)
	}
	if *in.DryRun || *in.MaxResults != 10 || *in.Description != "d" {
		t.Errorf("scalars: %+v", in)
	}
	if d := in.DiskContainer; d.Format != "VHD" || d.Url != "" || d.UserBucket.S3Bucket != "b" || d.UserBucket.S3Key != "k/y z.vhd" {
		t.Errorf("container: %+v %+v", d, d.UserBucket)
	}
	v1, none := "V1", ""
	want := []tagIn{{"K1", &v1}, {"K2", &none}, {"K3", nil}}
	if diff := cmp.Diff(want, in.TagSpecifications[0].Tags); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeLists(t *testing.T) {
	for _, c := range []struct {
		name, query string
		want        []string
	}{
		{"none", "", nil},
		{"in order", "ImportTaskId.1=a&ImportTaskId.2=b", []string{"a", "b"}},
		{"any order and gaps", "ImportTaskId.10=c&ImportTaskId.9=b&ImportTaskId.2=a", []string{"a", "b", "c"}},
		{"leading zeros", "ImportTaskId.002=b&ImportTaskId.1=a", []string{"a", "b"}},
		{"from zero", "ImportTaskId.0=a&ImportTaskId.1=b", []string{"a", "b"}},
		{"empty ids ignored", "ImportTaskId.1=&ImportTaskId.2=b", []string{"b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := decode(t, c.query)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, in.ImportTaskId); diff != "" {
				t.Error(diff)
			}
		})
	}
	in, err := decode(t, "Filters.1.Name=a&Filters.1.Value.1=&Filter.1.Name=b&Filter.1.Value.2=y&Filter.1.Value.1=x&Number.1=7&Tags.member.1.Key=k")
	if err != nil {
		t.Fatal(err)
	}
	want := []filterIn{{"b", []string{"x", "y"}}, {"a", []string{""}}}
	if diff := cmp.Diff(want, in.Filters); diff != "" {
		t.Error(diff)
	}
	if len(in.Numbers) != 1 || in.Numbers[0] != 7 || len(in.RoleTags) != 1 || in.RoleTags[0].Key != "k" {
		t.Errorf("got %v, %v", in.Numbers, in.RoleTags)
	}
}

func TestDecodeAbsent(t *testing.T) {
	in, err := decode(t, "Description=&DryRun=&MaxResults=&DiskContainer.Url=&DiskContainer=&ClientData.UploadStart=&ClientData.UploadSize="+
		"&AWSAccessKeyId=a&Signature=s&SignatureMethod=m&SignatureVersion=2&Timestamp=t&Expires=e&SecurityToken=t&X-Amz-Date=d&x-amz-algorithm=a")
	if err != nil {
		t.Fatal(err)
	}
	if in.Description != nil || in.DryRun != nil || in.MaxResults != nil || in.DiskContainer != nil || in.ClientData != nil {
		t.Errorf("empty is not absent: %+v", in)
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, c := range []struct {
		name, query, param string
		want               any
	}{
		{"unknown", "Nope=1", "Nope", new(*UnknownParameterError)},
		{"unknown although empty", "Nope=", "Nope", new(*UnknownParameterError)},
		{"unknown structure", "Nope.1.Name=1", "Nope.1.Name", new(*UnknownParameterError)},
		{"unknown member", "DiskContainer.Nope=1", "DiskContainer.Nope", new(*UnknownParameterError)},
		{"unknown member of an item", "Filter.1.Nope=1", "Filter.1.Nope", new(*UnknownParameterError)},
		{"wrong case", "dryrun=true", "dryrun", new(*UnknownParameterError)},
		{"list without number", "ImportTaskId=a", "ImportTaskId", new(*UnknownParameterError)},
		{"list with a name", "ImportTaskId.x=a", "ImportTaskId.x", new(*UnknownParameterError)},
		{"signed index", "ImportTaskId.-1=a", "ImportTaskId.-1", new(*UnknownParameterError)},
		{"huge index", "ImportTaskId.99999999999=a", "ImportTaskId.99999999999", new(*UnknownParameterError)},
		{"member of a scalar", "DryRun=true&DryRun.1=true", "DryRun.1", new(*UnknownParameterError)},
		{"value of a structure", "DiskContainer=x", "DiskContainer", new(*UnknownParameterError)},
		{"too deep", "A.A.A.A.A.A.A.A.A=1", "A.A.A", new(*UnknownParameterError)},
		{"empty name", "=1", " is not recognized", new(*UnknownParameterError)},
		{"bool", "DryRun=maybe", "DryRun", new(*ValueError)},
		{"integer", "MaxResults=ten", "MaxResults", new(*ValueError)},
		{"integer too large", "MaxResults=4294967296", "MaxResults", new(*ValueError)},
		{"double", "ClientData.UploadSize=0x1p-2", "ClientData.UploadSize", new(*ValueError)},
		{"timestamp", "ClientData.UploadEnd=yesterday", "ClientData.UploadEnd", new(*ValueError)},
		{"item", "Number.3=x", "Number.3", new(*ValueError)},
		{"twice", "DryRun=true&DryRun=false", "DryRun", new(*LimitError)},
		{"one index twice", "Number.3=1&Number.03=2", "Number.", new(*LimitError)},
		{"long", "Description=" + strings.Repeat("x", maxValue+1), "Description", new(*LimitError)},
		{"many", strings.Repeat("&a", 1) + manyParams(), "", new(*LimitError)},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := decode(t, c.query)
			if err == nil || !errors.As(err, c.want) || !strings.Contains(err.Error(), c.param) {
				t.Errorf("got %T %v, want %T about %q", err, err, c.want, c.param)
			}
		})
	}
}

func manyParams() string {
	form := url.Values{}
	for i := range maxParams + 1 {
		form.Set("ImportTaskId."+Double(i).String(), "x")
	}
	return form.Encode()
}

func TestDecodeDoubles(t *testing.T) {
	for text, want := range map[string]float64{"1": 1, "1e3": 1000, "-2.5E-1": -0.25, "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)} {
		in, err := decode(t, "ClientData.UploadSize="+text)
		if err != nil || *in.ClientData.UploadSize != want {
			t.Errorf("%s: %v, %v", text, in.ClientData, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, query := range []string{
		"Filters.1.Name=a&Filters.1.Value.2=b&Filter.01.Value.1=", "DiskContainer.UserBucket.S3Key=k&DryRun=1",
		"TagSpecification.1.Tag.2.Key=%00&=&.=&..1=", "ClientData.UploadSize=NaN&ClientData.UploadStart=2024-01-02T03:04:05%2B23:59",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		var in importIn
		err = Decode(form, &in)
		var unknown *UnknownParameterError
		var value *ValueError
		var limit *LimitError
		if err != nil && !errors.As(err, &unknown) && !errors.As(err, &value) && !errors.As(err, &limit) {
			t.Fatalf("untyped error %T %v", err, err)
		}
		if err == nil && len(in.ImportTaskId)+len(in.Filters)+len(in.Numbers) > len(form) {
			t.Fatalf("more items than parameters: %+v", in)
		}
	})
}
