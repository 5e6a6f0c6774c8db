package ec2api

import (
	"context"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/awsid"
)

// noOptIn is the status of regions and zones that nobody has to ask for: all of ours.
const noOptIn = "opt-in-not-required"

type describeRegionsRequest struct {
	common
	filtered
	RegionName []string
	AllRegions bool // adds those that one has not opted into; there are none
}

var regionFields = fields[regionAnswer]{named: map[string]func(regionAnswer) []string{
	"endpoint":      func(r regionAnswer) []string { return []string{r.Endpoint} },
	"opt-in-status": func(r regionAnswer) []string { return []string{r.OptIn} },
	"region-name":   func(r regionAnswer) []string { return []string{r.Name} },
}}

var describeRegionsRules = append(
	[]rule[describeRegionsRequest]{{
		field: "RegionName.N", code: "InvalidParameterValue", message: "Invalid region: [%s]",
		broken: func(c call, r describeRegionsRequest) (string, bool) {
			return strange(r.RegionName, c.Regions.All())
		},
	}},
	filterRules[regionAnswer, describeRegionsRequest](regionFields)...,
)

// strange returns those of the names that are not known.
func strange(names, known []string) (list string, any bool) {
	unknown := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(known, name) })
	return strings.Join(unknown, ", "), len(unknown) > 0
}

type describeRegionsAnswer struct {
	Regions ec2query.List[regionAnswer] `xml:"regionInfo"`
}

type regionAnswer struct {
	Name     string `xml:"regionName"`
	Endpoint string `xml:"regionEndpoint"`
	OptIn    string `xml:"optInStatus"`
}

// describeRegions lists the regions of the service. All have one endpoint: that which
// the client has reached.
func describeRegions(_ context.Context, c call, r describeRegionsRequest) (any, error) {
	var a describeRegionsAnswer
	for _, name := range c.Regions.All() {
		shown := regionAnswer{Name: name, Endpoint: c.host, OptIn: noOptIn}
		if (len(r.RegionName) == 0 || slices.Contains(r.RegionName, name)) && regionFields.match(shown, r.Filter) {
			a.Regions = append(a.Regions, shown)
		}
	}
	return a, nil
}

type describeZonesRequest struct {
	common
	filtered
	ZoneName             []string
	ZoneId               []string
	AllAvailabilityZones bool // as AllRegions
}

var zoneFields = fields[zoneAnswer]{named: map[string]func(zoneAnswer) []string{
	"group-name":       func(z zoneAnswer) []string { return []string{z.Group} },
	"message":          func(zoneAnswer) []string { return nil },
	"opt-in-status":    func(z zoneAnswer) []string { return []string{z.OptIn} },
	"parent-zone-id":   func(zoneAnswer) []string { return nil },
	"parent-zone-name": func(zoneAnswer) []string { return nil },
	"region-name":      func(z zoneAnswer) []string { return []string{z.Region} },
	"state":            func(z zoneAnswer) []string { return []string{z.State} },
	"zone-id":          func(z zoneAnswer) []string { return []string{z.ID} },
	"zone-name":        func(z zoneAnswer) []string { return []string{z.Name} },
	"zone-type":        func(z zoneAnswer) []string { return []string{z.Type} },
}}

var describeZonesRules = append(
	[]rule[describeZonesRequest]{
		{
			field: "ZoneName.N", code: "InvalidParameterValue", message: "Invalid availability zone: [%s]",
			broken: func(c call, r describeZonesRequest) (string, bool) {
				return strange(r.ZoneName, zoneNames(c.Region))
			},
		},
		{
			field: "ZoneId.N", code: "InvalidParameterValue", message: "Invalid availability zone-id: [%s]",
			broken: func(c call, r describeZonesRequest) (string, bool) {
				return strange(r.ZoneId, zoneIDs(c.Region))
			},
		},
	},
	filterRules[zoneAnswer, describeZonesRequest](zoneFields)...,
)

func zoneNames(region string) (names []string) {
	for _, z := range awsid.Zones(region) {
		names = append(names, z.Name)
	}
	return names
}

func zoneIDs(region string) (ids []string) {
	for _, z := range awsid.Zones(region) {
		ids = append(ids, z.ID)
	}
	return ids
}

type describeZonesAnswer struct {
	Zones ec2query.List[zoneAnswer] `xml:"availabilityZoneInfo"`
}

type zoneAnswer struct {
	State    string                `xml:"zoneState"`
	OptIn    string                `xml:"optInStatus"`
	Messages ec2query.List[string] `xml:"messageSet"`
	Region   string                `xml:"regionName"`
	Name     string                `xml:"zoneName"`
	ID       string                `xml:"zoneId"`
	Group    string                `xml:"groupName"`
	Border   string                `xml:"networkBorderGroup"`
	Type     string                `xml:"zoneType"`
}

func describeZones(_ context.Context, c call, r describeZonesRequest) (any, error) {
	var a describeZonesAnswer
	for _, z := range awsid.Zones(c.Region) {
		shown := zoneAnswer{
			State: "available", OptIn: noOptIn, Region: c.Region, Name: z.Name, ID: z.ID,
			Group: c.Region + "-zg-1", Border: c.Region, Type: "availability-zone",
		}
		named := len(r.ZoneName)+len(r.ZoneId) == 0 || slices.Contains(r.ZoneName, z.Name) || slices.Contains(r.ZoneId, z.ID)
		if named && zoneFields.match(shown, r.Filter) {
			a.Zones = append(a.Zones, shown)
		}
	}
	return a, nil
}

type describeAccountRequest struct {
	common
	AttributeName []string
}

// accountAttribute is what AWS says of every account. Nothing can be made here of what
// the limits are of.
type accountAttribute struct {
	name  string
	value string
}

var accountAttributes = []accountAttribute{
	{"supported-platforms", "VPC"},
	{"default-vpc", "none"},
	{"max-instances", "0"},
	{"vpc-max-security-groups-per-interface", "0"},
	{"max-elastic-ips", "0"},
	{"vpc-max-elastic-ips", "0"},
}

var describeAccountRules = []rule[describeAccountRequest]{{
	field: "AttributeName.N", code: "InvalidParameterValue", message: "Value (%s) for parameter attributeName is invalid. Unknown attribute.",
	broken: func(_ call, r describeAccountRequest) (string, bool) {
		for _, name := range r.AttributeName {
			if !slices.ContainsFunc(accountAttributes, func(a accountAttribute) bool { return a.name == name }) {
				return name, true
			}
		}
		return "", false
	},
}}

type describeAccountAnswer struct {
	Attributes ec2query.List[accountAnswer] `xml:"accountAttributeSet"`
}

type accountAnswer struct {
	Name   string                      `xml:"attributeName"`
	Values ec2query.List[accountValue] `xml:"attributeValueSet"`
}

type accountValue struct {
	Value string `xml:"attributeValue"`
}

func describeAccount(_ context.Context, _ call, r describeAccountRequest) (any, error) {
	var a describeAccountAnswer
	for _, have := range accountAttributes {
		if len(r.AttributeName) == 0 || slices.Contains(r.AttributeName, have.name) {
			a.Attributes = append(a.Attributes, accountAnswer{have.name, ec2query.List[accountValue]{{have.value}}})
		}
	}
	return a, nil
}
