package awsid

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Home is where a resource belongs: the account that owns it, and the region that it
// was made in and is seen in.
type Home struct{ Account, Region string }

// Partition returns the ARN partition of a region.
func Partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// known returns the regions that AWS has in a partition, in order. The first entry of
// each list is where AWS keeps the partition's global services.
func known(partition string) []string {
	switch partition {
	case "aws-cn":
		return []string{"cn-north-1", "cn-northwest-1"}
	case "aws-us-gov":
		return []string{"us-gov-west-1", "us-gov-east-1"}
	}
	return []string{
		"us-east-1", "us-east-2", "us-west-1", "us-west-2",
		"af-south-1",
		"ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2",
		"ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7",
		"ca-central-1", "ca-west-1",
		"eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3",
		"il-central-1", "me-central-1", "me-south-1", "mx-central-1", "sa-east-1",
	}
}

// regionName is the form of a region: that of a DNS label. Ciphertexts carry the name
// with one byte for its length.
var regionName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// IsRegion reports whether s has the shape of a region.
func IsRegion(s string) bool { return regionName.MatchString(s) }

// Regions are the regions that a service plays, all of one partition. It never changes,
// and may be used concurrently. The zero Regions has none.
type Regions struct {
	own string
	all []string // sorted
}

// NewRegions returns the regions of a service whose own region is own: those in only,
// which must name own too; or, if only is empty, all that AWS has in own's partition. A
// region that AWS does not have is then the only one.
func NewRegions(own string, only []string) (Regions, error) {
	all := slices.Clone(only)
	if len(all) == 0 {
		all = slices.Clone(known(Partition(own)))
		if !slices.Contains(all, own) {
			all = []string{own}
		}
	}
	slices.Sort(all)
	r := Regions{own, slices.Compact(all)}
	for _, region := range append([]string{own}, r.all...) {
		switch {
		case !IsRegion(region):
			return Regions{}, fmt.Errorf("awsid: %q can't be a region: give up to 63 lower-case letters, digits and hyphens, such as us-east-1", region)
		case Partition(region) != Partition(own):
			return Regions{}, fmt.Errorf("awsid: region %s is in partition %s, and %s is in %s: a service plays regions of one partition", region, Partition(region), own, Partition(own))
		}
	}
	if !r.Has(own) {
		return Regions{}, fmt.Errorf("awsid: the service's own region %s is not among the regions that it plays, %s", own, strings.Join(r.all, ", "))
	}
	return r, nil
}

// Own returns the region that is meant where a request names none.
func (r Regions) Own() string { return r.own }

// All returns all regions, sorted. The caller must not change the slice.
func (r Regions) All() []string { return r.all }

// Has reports whether the service plays a region.
func (r Regions) Has(region string) bool {
	_, ok := slices.BinarySearch(r.all, region)
	return ok
}

// Global returns the region that requests to global services, such as IAM, are made in:
// the one where AWS keeps them, or the own one if AWS does not have that.
func (r Regions) Global() string {
	if aws := known(Partition(r.own)); slices.Contains(aws, r.own) {
		return aws[0]
	}
	return r.own
}
