package awsid

import (
	"slices"
	"strings"
	"testing"
)

func TestRegions(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, c := range []struct {
		name, own    string
		only         []string
		has, lacks   []string
		count        int // of all; 0: not looked at
		global, fail string
	}{
		{name: "AWS's", own: "us-east-1", has: []string{"us-east-1", "eu-north-1", "sa-east-1"}, lacks: []string{"cn-north-1", "us-gov-west-1", "us-east-1a", "", "*"}, global: "us-east-1"},
		{name: "another own one", own: "eu-west-1", has: []string{"us-east-1", "eu-west-1"}, global: "us-east-1"},
		{name: "China", own: "cn-northwest-1", has: []string{"cn-north-1", "cn-northwest-1"}, lacks: []string{"us-east-1"}, count: 2, global: "cn-north-1"},
		{name: "GovCloud", own: "us-gov-east-1", has: []string{"us-gov-west-1"}, count: 2, global: "us-gov-west-1"},
		{name: "limited", own: "eu-west-1", only: []string{"eu-west-2", "eu-west-1", "eu-west-2"}, has: []string{"eu-west-1", "eu-west-2"}, lacks: []string{"us-east-1"}, count: 2, global: "us-east-1"},
		{name: "made up", own: "local-1", has: []string{"local-1"}, lacks: []string{"us-east-1"}, count: 1, global: "local-1"},
		{name: "made up, several", own: "local-1", only: []string{"local-2", "local-1", "us-east-1"}, has: []string{"local-2", "us-east-1"}, count: 3, global: "local-1"},
		{name: "long", own: long, count: 1, global: long},
		{name: "too long", own: long + "a", fail: "can't be a region"},
		{name: "no name", own: "", fail: "can't be a region"},
		{name: "no DNS label", own: "Region One", fail: "can't be a region"},
		{name: "a pattern", own: "us-east-1", only: []string{"us-east-1", "*"}, fail: "can't be a region"},
		{name: "without the own one", own: "us-east-1", only: []string{"eu-west-1"}, fail: "not among"},
		{name: "two partitions", own: "us-east-1", only: []string{"us-east-1", "cn-north-1"}, fail: "one partition"},
	} {
		r, err := NewRegions(c.own, c.only)
		if c.fail != "" {
			if err == nil || !strings.Contains(err.Error(), c.fail) {
				t.Errorf("%s: got %v, want an error with %q", c.name, err, c.fail)
			}
			continue
		}
		if err != nil || r.Own() != c.own || r.Global() != c.global || !slices.IsSorted(r.All()) || c.count != 0 && len(r.All()) != c.count {
			t.Errorf("%s: got %v of %s, global %s, %v", c.name, r.All(), r.Own(), r.Global(), err)
		}
		for _, region := range c.has {
			if !r.Has(region) {
				t.Errorf("%s has no %s", c.name, region)
			}
		}
		for _, region := range c.lacks {
			if r.Has(region) {
				t.Errorf("%s has %s", c.name, region)
			}
		}
	}
	if (Regions{}).Has("") {
		t.Error("no regions have an empty one")
	}
}

// TestKnownRegions: AWS's regions are where their names say.
func TestKnownRegions(t *testing.T) {
	for _, partition := range []string{"aws", "aws-cn", "aws-us-gov"} {
		all := known(partition)
		for _, region := range all {
			if Partition(region) != partition || !IsRegion(region) {
				t.Errorf("%s is in %s", region, Partition(region))
			}
		}
		if sorted := slices.Compact(slices.Sorted(slices.Values(all))); len(sorted) != len(all) {
			t.Errorf("%s has a region twice", partition)
		}
	}
}
