package objects

import (
	"os"
	"path/filepath"
	"testing"
)

// extent is a range that NextData reports.
type extent struct{ start, end int64 }

func TestNextData(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		name string
		data []int64 // offsets of a MiB of data
		size int64
		want []extent
	}{
		{"empty", nil, 0, nil},
		{"hole", nil, 4 * mib, nil},
		{"data", []int64{0}, mib, []extent{{0, mib}}},
		{"islands", []int64{mib, 5 * mib}, 8*mib + 7, []extent{{mib, 2 * mib}, {5 * mib, 6 * mib}}},
		{"odd end", []int64{2 * mib}, 3*mib - 9, []extent{{2 * mib, 3*mib - 9}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := sparse(t, tt.data, tt.size)
			var got []extent
			for off := int64(0); ; {
				start, end, err := f.NextData(off)
				if err != nil {
					t.Fatal(err)
				}
				if start == end {
					if start != tt.size {
						t.Errorf("ends at %d, want %d", start, tt.size)
					}
					break
				}
				got = append(got, extent{start, end})
				off = end
			}
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			}
		})
	}
}

// sparse makes a file of size bytes with data at the given offsets.
func sparse(t *testing.T, data []int64, size int64) *File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	content := make([]byte, 1<<20)
	for i := range content {
		content[i] = byte(i) | 1
	}
	for _, off := range data {
		if _, err := f.WriteAt(content, off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return NewFile(f, info.Size(), info.ModTime())
}
