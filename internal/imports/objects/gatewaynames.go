package objects

import (
	"path/filepath"
	"strings"
)

// gatewayTemp is the folder in each bucket where the gateway keeps unfinished
// uploads. Objects can't have such a key.
const gatewayTemp = ".sgwtmp"

// maxKey is S3's limit in bytes.
const maxKey = 1024

// validBucket reports whether name obeys those of S3's rules for bucket names that
// keep it inside the store. The gateway refuses to make buckets with other names.
func validBucket(name string) bool {
	if len(name) < 3 || len(name) > 63 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		alnum := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		inner := (c == '-' || c == '.') && 0 < i && i < len(name)-1
		if !alnum && !inner {
			return false
		}
	}
	return true
}

// CleanKey returns the key under which the gateway keeps an object that a request
// calls key (it folds empty path segments), and false for keys that no object can
// have: empty ones, those with "." or ".." segments or NUL, and the gateway's own
// folder. A trailing slash, the mark of a directory object, is kept.
//
// Authorisation must use the clean key, or a policy could be evaded with another
// spelling.
func CleanKey(key string) (clean string, ok bool) {
	if key == "" || len(key) > maxKey || strings.IndexByte(key, 0) >= 0 {
		return "", false
	}
	var segments []string
	for segment := range strings.SplitSeq(key, "/") {
		switch segment {
		case "":
		case ".", "..":
			return "", false
		default:
			segments = append(segments, segment)
		}
	}
	if len(segments) == 0 || segments[0] == gatewayTemp {
		return "", false
	}
	clean = strings.Join(segments, "/")
	if strings.HasSuffix(key, "/") {
		clean += "/"
	}
	return clean, true
}

// objectPath returns where an object's file lies, relative to the data directory.
// ok is false if that can't be the name of an object that is a file.
func objectPath(bucket, key string) (path string, ok bool) {
	clean, ok := CleanKey(key)
	if !ok || !validBucket(bucket) || strings.HasSuffix(clean, "/") {
		return "", false
	}
	return filepath.Join(bucketsDir, bucket, filepath.FromSlash(clean)), true
}

// validPinID reports whether id can be a file name in the pins folder.
func validPinID(id string) bool {
	if id == "" || len(id) > 128 || id[0] == '.' {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}
