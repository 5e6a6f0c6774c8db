package objects

import (
	"path"
	"strings"
	"testing"
)

func TestCleanKey(t *testing.T) {
	for _, tt := range []struct {
		key, want string
		ok        bool
	}{
		{"a", "a", true},
		{"a/b.vmdk", "a/b.vmdk", true},
		{"a//b", "a/b", true},
		{"/a", "a", true},
		{"a/", "a/", true},
		{"a//", "a/", true},
		{"..a/b..", "..a/b..", true},
		{"x/.sgwtmp", "x/.sgwtmp", true},
		{"", "", false},
		{"/", "", false},
		{".", "", false},
		{"..", "", false},
		{"a/../b", "", false},
		{"./a", "", false},
		{"a\x00", "", false},
		{".sgwtmp/x", "", false},
		{"//.sgwtmp/x", "", false},
		{strings.Repeat("k", maxKey+1), "", false},
	} {
		t.Run(tt.key, func(t *testing.T) {
			got, ok := CleanKey(tt.key)
			if got != tt.want || ok != tt.ok {
				t.Errorf("got %q, %t; want %q, %t", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func FuzzObjectPath(f *testing.F) {
	f.Add("bucket", "a/b")
	f.Add("bucket", "../../x")
	f.Add("..", "x")
	f.Add("bucket", "a/./b//c")
	f.Fuzz(func(t *testing.T, bucket, key string) {
		p, ok := objectPath(bucket, key)
		if ok && (path.Clean(p) != p || !strings.HasPrefix(p, bucketsDir+"/"+bucket+"/") || strings.Contains(p, "\x00")) {
			t.Errorf("objectPath(%q, %q) = %q", bucket, key, p)
		}
	})
}
