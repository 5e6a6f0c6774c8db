package hostile_test

import (
	"testing"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
)

// Everything that reads images does so where nothing can be opened: all
// specimens, cut and padded, the real ones, and the cases of the catalogue. What
// measures the same work is left out.
func TestSandboxed(t *testing.T) {
	imagetest.Volume(t)
	sandboxtest.Run(t)
}
