package importtask

import (
	"fmt"
	"slices"

	"github.com/diskport/diskport/diskimage"
)

// ForeignError reports an image that AWS does not take, when the service is told to
// be strict.
type ForeignError struct {
	What    string // the image
	message string // AWS's
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("AWS takes no %s, and the service runs with --strict-aws", e.What)
}

// asAWS refuses what AWS does not import.
func asAWS(about diskimage.Description) error {
	switch {
	case about.Container != "":
		return &ForeignError{"images in " + about.Container, invalid("Unsupported specified file format")}
	case !slices.Contains([]string{"raw", "vhd", "vhdx", "vmdk"}, about.Format):
		return &ForeignError{about.Format, invalid("Unsupported specified file format")}
	case about.Format == "vmdk" && about.Variant != "streamOptimized":
		return &ForeignError{about.Variant + " VMDK", invalid("Unsupported VMDK File Format")}
	}
	return nil
}

// StrictVirtualSize is AWS's limit on a disk, in bytes.
const StrictVirtualSize = 8 << 40
