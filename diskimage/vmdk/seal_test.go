package vmdk_test

import (
	"os"
	"testing"

	"github.com/diskport/diskport/diskimage/internal/sealtest"
)

func TestMain(m *testing.M) { os.Exit(sealtest.Main(m)) }

// No image makes the decoder open anything.
func TestSealed(t *testing.T) {
	sealtest.Run(t, "Qemu", "Corpus", "WriteStream", "Many", "Bomb", "GrainSizes", "Maximum")
}
