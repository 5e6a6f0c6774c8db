// Package space tells how much room file systems have left.
package space

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Free returns the bytes that are left on the file system of path, for users that
// are not root.
func Free(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", path, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}
