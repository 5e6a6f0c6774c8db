package objects_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/imports/objects"
)

// TestListsFold compares lists, page by page, with what S3 says of all keys.
func TestListsFold(t *testing.T) {
	f := newFixture(t, nil)
	if err := f.SetVersioning(t.Context(), "bucket", objects.Enabled); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	letters := []string{"a", "b", "/", "//", "é", "\U0010ffff", "-"}
	var keys []string
	for len(keys) < 150 {
		var key strings.Builder
		for range 1 + r.IntN(5) {
			key.WriteString(letters[r.IntN(len(letters))])
		}
		keys = append(keys, key.String())
	}
	for i := range 100 { // more than one read takes
		keys = append(keys, fmt.Sprintf("a/many/%d", i))
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	for _, key := range keys {
		for range 1 + len(key)%2 {
			if _, err := f.Put(t.Context(), objects.Put{Bucket: "bucket", Key: key}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.CreateUpload(t.Context(), objects.Upload{Bucket: "bucket", Key: key}); err != nil {
			t.Fatal(err)
		}
	}
	for _, prefix := range []string{"", "a", "a/", "a/many/", "/", "é", "\U0010ffff", "absent"} {
		for _, delimiter := range []string{"", "/", "a", "//", "many", "\U0010ffff"} {
			for _, limit := range []int{7, 1000} {
				t.Run(fmt.Sprintf("%q %q %d", prefix, delimiter, limit), func(t *testing.T) {
					want := folded(keys, prefix, delimiter)
					if diff := cmp.Diff(want, f.listed(t, prefix, delimiter, limit)); diff != "" {
						t.Errorf("objects (-want +got):\n%s", diff)
					}
					if diff := cmp.Diff(want, f.uploadsListed(t, prefix, delimiter, limit)); diff != "" {
						t.Errorf("uploads (-want +got):\n%s", diff)
					}
					var versions []string
					for _, entry := range want {
						versions = append(versions, entry)
						if !strings.HasSuffix(entry, "*") && len(entry)%2 == 1 {
							versions = append(versions, entry)
						}
					}
					if diff := cmp.Diff(versions, f.versionsListed(t, prefix, delimiter, limit)); diff != "" {
						t.Errorf("versions (-want +got):\n%s", diff)
					}
				})
			}
		}
	}
}

// folded returns a list by S3's definition, with a star behind folded prefixes.
func folded(keys []string, prefix, delimiter string) (list []string) {
	for _, key := range keys {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if head, _, ok := strings.Cut(key[len(prefix):], delimiter); ok && delimiter != "" {
			key = prefix + head + delimiter + "*"
		}
		if len(list) == 0 || list[len(list)-1] != key {
			list = append(list, key)
		}
	}
	return list
}

// merged returns the entries of a page in their order, with a star behind prefixes.
func merged(t *testing.T, keys, prefixes []string, limit int, truncated bool) []string {
	t.Helper()
	var all []string
	for _, p := range prefixes {
		all = append(all, p+"*")
	}
	all = append(keys, all...)
	slices.SortStableFunc(all, func(a, b string) int { return strings.Compare(strings.TrimSuffix(a, "*"), strings.TrimSuffix(b, "*")) })
	if len(all) > limit || truncated && len(all) < limit {
		t.Fatalf("a page of %d has %d entries, truncated: %t", limit, len(all), truncated)
	}
	return all
}

func (f fixture) listed(t *testing.T, prefix, delimiter string, limit int) (list []string) {
	t.Helper()
	q := objects.ListQuery{Bucket: "bucket", Prefix: prefix, Delimiter: delimiter, Limit: limit}
	for {
		p, err := f.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, o := range p.Objects {
			keys = append(keys, o.Key)
		}
		list = append(list, merged(t, keys, p.Prefixes, limit, p.Truncated)...)
		if !p.Truncated {
			return list
		}
		q.After = p.Last
	}
}

func (f fixture) versionsListed(t *testing.T, prefix, delimiter string, limit int) (list []string) {
	t.Helper()
	q := objects.VersionQuery{Bucket: "bucket", Prefix: prefix, Delimiter: delimiter, Limit: limit}
	for {
		p, err := f.Versions(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, o := range p.Versions {
			keys = append(keys, o.Key)
		}
		list = append(list, merged(t, keys, p.Prefixes, limit, p.Truncated)...)
		if !p.Truncated {
			return list
		}
		q.After, q.AfterVersion = p.Last, p.LastVersion
	}
}

func (f fixture) uploadsListed(t *testing.T, prefix, delimiter string, limit int) (list []string) {
	t.Helper()
	q := objects.UploadQuery{Bucket: "bucket", Prefix: prefix, Delimiter: delimiter, Limit: limit}
	for {
		p, err := f.Uploads(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, u := range p.Uploads {
			keys = append(keys, u.Key)
		}
		list = append(list, merged(t, keys, p.Prefixes, limit, p.Truncated)...)
		if !p.Truncated {
			return list
		}
		q.After, q.AfterUpload = p.Last, p.LastUpload
	}
}

// TestListsBeginInside: a page may begin anywhere. What is folded into a prefix that the
// place lies in has been seen.
func TestListsBeginInside(t *testing.T) {
	f := newFixture(t, nil)
	for _, key := range []string{"a", "b/1", "b/2", "c"} {
		f.put(t, key, nil)
	}
	for after, want := range map[string]string{"": "a b/* c", "a": "b/* c", "a5": "b/* c", "b/": "c", "b/1": "c", "b/3": "c", "c": "", "b": "b/* c"} {
		p, err := f.List(t.Context(), objects.ListQuery{Bucket: "bucket", Delimiter: "/", After: after, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, o := range p.Objects {
			keys = append(keys, o.Key)
		}
		if got := strings.Join(merged(t, keys, p.Prefixes, 10, p.Truncated), " "); got != want {
			t.Errorf("behind %q: got %q, want %q", after, got, want)
		}
	}
}
