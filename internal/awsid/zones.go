package awsid

import (
	"strconv"
	"strings"
)

// Zone is an availability zone.
type Zone struct {
	Name string // "us-east-1a"
	ID   string // "use1-az1"
}

// zonesOfRegion is how many zones each region has.
const zonesOfRegion = 3

// Zones returns the availability zones of a region.
func Zones(region string) []Zone {
	zones := make([]Zone, zonesOfRegion)
	for i := range zones {
		zones[i] = Zone{region + string(rune('a'+i)), short(region) + "-az" + strconv.Itoa(i+1)}
	}
	return zones
}

// directions are how regions' names say where in an area they are, and how the ids of
// zones do.
var directions = strings.NewReplacer(
	"northeast", "ne", "northwest", "nw", "southeast", "se", "southwest", "sw",
	"north", "n", "south", "s", "east", "e", "west", "w", "central", "c", "gov", "g", "-", "",
)

// short returns a region's name as the ids of its zones begin: "use1" for us-east-1.
func short(region string) string { return directions.Replace(region) }
