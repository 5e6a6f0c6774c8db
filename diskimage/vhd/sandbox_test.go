package vhd_test

import (
	"os"
	"testing"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
)

func TestMain(m *testing.M) { os.Exit(sandboxtest.Main(m)) }

// No image makes the decoder open anything.
func TestSandboxed(t *testing.T) {
	imagetest.Volume(t)
	sandboxtest.Run(t)
}
