package hostile_test

import (
	"testing"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
)

// Everything that reads images runs in a sandbox where nothing can be opened: all
// specimens, truncated and padded, the real images, and the cases of the catalogue.
// Tests that only measure the same work are left out.
func TestSandboxed(t *testing.T) {
	imagetest.Volume(t)
	sandboxtest.Run(t)
}
