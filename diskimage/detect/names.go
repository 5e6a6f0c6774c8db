package detect

import "slices"

// Names returns the formats that can be opened by name, in lower case, sorted.
func Names() []string {
	names := []string{rawFormat.name, "tar"}
	for _, f := range formats {
		if f.open != nil {
			names = append(names, f.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
