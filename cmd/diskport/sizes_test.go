package main

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/client"
)

func TestSizesAreSaidInWords(t *testing.T) {
	base := client.Sizes{StoredBytes: 3 << 20, SharedBytes: 2 << 20, UniqueBytes: 1 << 20, Blocks: 6, UniqueBlocks: 2}
	kept := client.Sizes{StoredBytes: 3 << 20, SharedBytes: 3 << 20, Blocks: 6}
	with := func(s client.Sizes, volumes, drafts, margin int64) *client.Sizes {
		s.Volumes, s.Drafts, s.MarginBytes = volumes, drafts, margin
		return &s
	}
	tests := map[string]struct {
		sizes *client.Sizes
		want  string
		cells []string
	}{
		"not measured": {nil, "", []string{"", "", ""}},
		"exact": {with(base, 0, 0, 0), `Stored:        3.0 MiB in 6 different blocks
Shared:        2.0 MiB, which others keep
Unique:        1.0 MiB in 2 blocks, which deleting it gives back
`, []string{"3.0 MiB", "2.0 MiB", "1.0 MiB"}},
		"estimated": {with(base, 0, 0, 4096), `Stored:        3.0 MiB ± 4.0 KiB in 6 different blocks
Shared:        2.0 MiB ± 4.0 KiB, which others keep
Unique:        1.0 MiB ± 4.0 KiB in 2 blocks, which deleting it gives back
`, []string{"~3.0 MiB", "~2.0 MiB", "~1.0 MiB"}},
		"with a volume": {with(kept, 1, 0, 0), `Stored:        3.0 MiB in 6 different blocks
Shared:        3.0 MiB, which others keep
Unique:        nothing, since 1 volume keeps it all
`, []string{"3.0 MiB", "3.0 MiB", "0 B"}},
		"with a draft and volumes": {with(kept, 2, 1, 0), `Stored:        3.0 MiB in 6 different blocks
Shared:        3.0 MiB, which others keep
Unique:        nothing, since 2 volumes and 1 draft keep it all
`, []string{"3.0 MiB", "3.0 MiB", "0 B"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			(&app{stdout: &out}).printSizes(tt.sizes)
			if d := cmp.Diff(tt.want, out.String()); d != "" {
				t.Errorf("fields (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.cells, sizeCells(tt.sizes)); d != "" {
				t.Errorf("cells (-want +got):\n%s", d)
			}
		})
	}
}

func TestCompactionIsSaidInWords(t *testing.T) {
	tests := map[string]struct {
		done  client.Compacted
		want  string
		fails string
	}{
		"nothing":        {client.Compacted{}, "gave back 0 B: 0 packs became 0, 0 blocks were compressed\n", ""},
		"no room":        {client.Compacted{Stopped: "no room"}, "gave back 0 B: 0 packs became 0, 0 blocks were compressed\n", "compacting stopped early: no room"},
		"one":            {client.Compacted{Packs: 1, NewPacks: 1, Compressed: 1, Bytes: 512}, "gave back 512 B: 1 pack became 1, 1 block was compressed\n", ""},
		"damaged blocks": {client.Compacted{Packs: 2, NewPacks: 1, Compressed: 4, Bytes: -3 << 20}, "took 3.0 MiB more: 2 packs became 1, 4 blocks were compressed\n", ""},
		"a damaged frame": {client.Compacted{Packs: 2, NewPacks: 1, Damaged: []string{"block 7"}}, "gave back 0 B: 2 packs became 1, 0 blocks were compressed\n",
			"the store is damaged in 1 place: everything else was compacted, and diskport verify says which snapshots it concerns"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := (&compactCmd{}).report(&app{stdout: &out, stderr: io.Discard}, tt.done)
			if out.String() != tt.want || (err == nil) != (tt.fails == "") || err != nil && err.Error() != tt.fails {
				t.Errorf("%q, %v, want %q, %q", &out, err, tt.want, tt.fails)
			}
		})
	}
}

// TestAVerificationThatEndsEarlySaysSo, whatever it has found before.
func TestAVerificationThatEndsEarlySaysSo(t *testing.T) {
	early := errors.New("the database is malformed")
	for name, v := range map[string]verification{
		"with findings":  {Findings: []client.Finding{{Part: "database", Text: "malformed", Advice: "bring it back"}}, Error: early.Error()},
		"with snapshots": {Snapshots: []client.Verified{{SnapshotID: "snap-1", OK: true}}, Error: early.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			var errs bytes.Buffer
			err := (&verifyCmd{}).report(&app{stdout: io.Discard, stderr: &errs}, &v, early)
			if want := "diskport: not everything was read: " + early.Error() + "\n"; errs.String() != want || !errors.Is(err, errReported) || v.OK {
				t.Errorf("it said %q, and ended with %v", &errs, err)
			}
		})
	}
}
