package awsid

import (
	"slices"
	"testing"
)

func TestZones(t *testing.T) {
	for region, id := range map[string]string{
		"us-east-1": "use1", "eu-west-1": "euw1", "ap-southeast-2": "apse2", "ap-northeast-1": "apne1", "ca-central-1": "cac1",
		"us-gov-west-1": "usgw1", "cn-northwest-1": "cnnw1", "mx-central-1": "mxc1", "local-1": "local1",
	} {
		want := []Zone{{region + "a", id + "-az1"}, {region + "b", id + "-az2"}, {region + "c", id + "-az3"}}
		if got := Zones(region); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", region, got, want)
		}
	}
}
