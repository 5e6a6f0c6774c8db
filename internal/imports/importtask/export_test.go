package importtask

import (
	"io"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
)

// SetDetect replaces what opens images.
func (e *Engine) SetDetect(open func(r io.ReaderAt, size int64, opts detect.Options) (diskimage.Disk, error)) {
	e.Images.detect = open
}
