package torture

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/diskport/diskport/internal/client"
	"github.com/diskport/diskport/internal/failpoint"
)

// TestKilledWhileMending kills the service while it mends a block from another copy, and has
// it mend again: nothing is lost by that, and nothing is left behind.
func TestKilledWhileMending(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	w := newWorld(makeImages(t, fewDisks))
	s := serve(t, dir, arm{still: true})
	w.prepare(t, s)
	w.importAgain(t, s)
	s.stop(t)
	first := packs(t, dir)
	turn(t, first[0])
	s = serve(t, dir, arm{still: true})
	if done, err := s.VerifyStore(s.ctx, 0, client.Watching{}); err != nil || done.Findings == 0 {
		t.Fatalf("verified %+v, %v", done, err)
	}
	w.importAgain(t, s) // which stores the block anew
	s.stop(t)
	second := slices.DeleteFunc(packs(t, dir), func(name string) bool { return slices.Contains(first, name) })
	if len(first) != 1 || len(second) != 1 {
		t.Fatalf("packs %q, then %q", first, second)
	}
	turn(t, first[0]) // back
	turn(t, second[0])
	for _, point := range []string{"Packs.Begin" + failpoint.After, "pack: durable", "Packs.Mend" + failpoint.Before, "Packs.Mend" + failpoint.After} {
		t.Run(point, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(data, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			s := serve(t, data, arm{point: point, still: true})
			if done, err := s.Repair(s.ctx, 0, client.Watching{}); err == nil {
				t.Fatalf("it lived, and repaired %+v", done)
			}
			if <-s.ended; !s.killed() {
				t.Fatalf("it ended with %v\n%s", s.err, s.tail())
			}
			s = serve(t, data, arm{still: true})
			done, err := s.Repair(s.ctx, 0, client.Watching{})
			if mended := point == "Packs.Mend"+failpoint.After; err != nil || done.Left != 0 || (done.MendedBlocks == 0) != mended {
				t.Errorf("repaired %+v, %v", done, err)
			}
			again := w.clone()
			caller{again, s, s.ctx, rand.New(rand.NewPCG(*seed, 4))}.settle(t)
			for _, what := range again.broken {
				t.Error(what)
			}
		})
	}
}

// importAgain imports the second image, and waits until it is completed.
func (w *world) importAgain(t *testing.T, s *service) {
	t.Helper()
	c := caller{w, s, s.ctx, rand.New(rand.NewPCG(*seed, 5))}
	i := &importing{token: w.name("import"), image: w.images[1]}
	w.imports = append(w.imports, i)
	if err := c.ask(i); err != nil {
		t.Fatal(err)
	}
	if err := c.endAll(); err != nil || len(w.broken) > 0 {
		t.Fatal(err, w.broken)
	}
}

// packs returns the paths of the packs below a data directory.
func packs(t *testing.T, data string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(data, "blocks", "pack", "*", "*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%d packs, %v", len(names), err)
	}
	return names
}

// turn turns a bit of the first frame of a pack over.
func turn(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[4096+1000] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
