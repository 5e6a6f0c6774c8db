package importtask_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/imports/importtask"
)

// TestDeviceNames: a device is the same with and without /dev/.
func TestDeviceNames(t *testing.T) {
	for _, c := range []struct{ asked, want []string }{
		{[]string{"", ""}, []string{"/dev/sda1", "/dev/sdb"}},
		{[]string{"sda1", ""}, []string{"sda1", "/dev/sdb"}},
		{[]string{"", "sda1"}, []string{"/dev/sdb", "sda1"}},
		{[]string{"/dev/sdb", "sdb"}, []string{"/dev/sdb", "/dev/sdc"}},
	} {
		var task importtask.ImageTask
		for i, name := range c.asked {
			task.Disks = append(task.Disks, importtask.Task{Device: name, Place: importtask.Place{Container: i + 1, Disk: 1}})
		}
		var got []string
		for _, d := range task.Devices() {
			got = append(got, d.Name)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v: %s", c.asked, diff)
		}
	}
}
