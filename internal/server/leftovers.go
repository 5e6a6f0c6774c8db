package server

import (
	"io/fs"
	"os"
	"path/filepath"
)

// formerFolders are what the gateway kept that served as embedded S3 in earlier versions:
// objects at s3/BUCKET/KEY, its metadata, and hard links to what was being imported.
var formerFolders = []string{"s3", "s3-meta", "pins"}

// formerObjects returns the folders of the former gateway that hold anything.
func (d *dataDir) formerObjects() (found []string) {
	for _, name := range formerFolders {
		if holdsFiles(d.file(name)) {
			found = append(found, d.file(name))
		}
	}
	return found
}

// holdsFiles reports whether there is a file anywhere under a path. What can't be looked
// into may hold some.
func holdsFiles(path string) (holds bool) {
	if _, err := os.Lstat(path); os.IsNotExist(err) {
		return false
	}
	_ = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			return nil
		}
		holds = true
		return fs.SkipAll
	})
	return holds
}

// warnOfFormerObjects tells operators about objects that are not served any more.
func (a *App) warnOfFormerObjects() {
	if found := a.data.formerObjects(); len(found) > 0 {
		a.log.Warn("objects of an earlier version's S3 are not read any more: upload what is still needed again, each s3/BUCKET/KEY in the data directory being an object as it was; then remove these folders, which only take room",
			"folders", found)
	}
}
