package cluster

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

var (
	shareRanges = flag.Int64("share-ranges", 12, "TestTwoNodesShareAnImport: ranges of the image")
	shareBlocks = flag.Int64("share-blocks", 2, "TestTwoNodesShareAnImport: blocks of each range")
	sharePasses = flag.Int("share-passes", 1, "TestTwoNodesShareAnImport: how often one node imports it, and two")
	shareFair   = flag.Bool("share-fair", false, "TestTwoNodesShareAnImport: fail if two nodes do less than 1.9 times the work of one in a second of their CPUs: for a machine that has nothing else to do")
)

// portion is what nodes did for an import: each of them, and its seconds of CPU.
type portion struct{ ranges, blocks, bytes, cpu []float64 }

// TestTwoNodesShareAnImport imports an image that takes CPU to be read, with one node and with
// two. Whoever does it, all is done once: no range, block or byte of it twice. How much each
// node has done in a second of its CPU is printed.
func TestTwoNodesShareAnImport(t *testing.T) {
	t.Parallel()
	c, database := startNodes(t, 2, "--range-bytes", "1", "--hold-poll", "0", "--compact-rate", "0")
	w := newWorld(t, c, *seed)
	zlib := zlibImage(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	db, err := pgx.Connect(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	var one, two []portion
	for pass := range *sharePasses {
		if err := c.Nodes[1].Stop(); err != nil {
			t.Fatal(err)
		}
		alone, err := w.shared(ctx, db, zlib, c.Nodes[:1])
		if err != nil {
			t.Fatalf("one node, pass %d: %v", pass, err)
		}
		if err := c.Nodes[1].Start(ctx); err != nil {
			t.Fatal(err)
		}
		both, err := w.shared(ctx, db, zlib, c.Nodes)
		if err != nil {
			t.Fatalf("two nodes, pass %d: %v", pass, err)
		}
		one, two = append(one, alone), append(two, both)
		for _, d := range []portion{alone, both} {
			if sum(d.ranges) != float64(*shareRanges) || sum(d.blocks) != float64(*shareRanges**shareBlocks) || sum(d.bytes) != sum(alone.bytes) {
				t.Errorf("%d nodes did %v ranges, %v blocks, %v bytes, want %d ranges of %d blocks, each once", len(d.cpu), d.ranges, d.blocks, d.bytes, *shareRanges, *shareBlocks)
			}
		}
		if slices.Min(both.ranges) == 0 {
			t.Errorf("of two nodes, which were both at ranges, one finished none: %v", both.ranges)
		}
	}
	report(t, one, two)
	w.settle(t, database)
}

// report prints what one node and two did in a second of CPU.
func report(t *testing.T, one, two []portion) {
	t.Helper()
	var ratios, halves []float64
	for i := range one {
		alone, each := sum(one[i].bytes)/sum(one[i].cpu), sum(two[i].bytes)/sum(two[i].cpu)
		ratios = append(ratios, 2*each/alone)
		halves = append(halves, 2*slices.Min(two[i].bytes)/sum(two[i].bytes))
		t.Logf("one node: %.0f ranges, %.0f blocks, %.1f MiB in %.2f s of CPU, %.1f MiB/s; two: %v ranges, %v blocks in %.2f s of CPU, %.1f MiB/s",
			one[i].ranges[0], one[i].blocks[0], sum(one[i].bytes)/(1<<20), one[i].cpu[0], alone/(1<<20), two[i].ranges, two[i].blocks, two[i].cpu, each/(1<<20))
	}
	slices.Sort(ratios)
	slices.Sort(halves)
	ratio, half := ratios[len(ratios)/2], halves[len(halves)/2]
	t.Logf("median of %d passes: two nodes do %.2f times the work of one, in a second of the CPUs of each; the one that does less does %.2f of a half", len(one), ratio, half)
	if *shareFair && (ratio < 1.9 || half < 0.95) {
		t.Errorf("two nodes do %.2f times the work of one, and the one that does less %.2f of a half; want 1.9 and 0.95", ratio, half)
	}
}

// shared imports an image with some nodes, and returns what each of them did. Of two, none goes
// on before both are at it. What was stored is let go of in the end, so that the next import
// finds nothing.
func (w *world) shared(ctx context.Context, db *pgx.Conn, i image, nodes []*Node) (portion, error) {
	c := caller{world: w, ctx: ctx, rng: rand.New(rand.NewPCG(w.seed, 5000)), only: 1}
	before, err := measured(ctx, nodes)
	if err != nil {
		return portion{}, err
	}
	begun := w.begin(c, i)
	met, err := w.meet(ctx, db, begun.id, nodes)
	if err != nil {
		return portion{}, err
	}
	if err := c.again(func() bool { c.seeImport(begun); return begun.ended }); err != nil {
		return portion{}, fmt.Errorf("the import %s: %w", begun.id, err)
	}
	after, err := measured(ctx, nodes)
	if err != nil {
		return portion{}, err
	}
	for n := range nodes {
		after.ranges[n] -= before.ranges[n]
		after.blocks[n] -= before.blocks[n]
		after.bytes[n] -= before.bytes[n]
		after.cpu[n] -= before.cpu[n]
	}
	for _, s := range w.sorted() {
		if !s.removed {
			c.removeSnapshot(s)
		}
	}
	if _, err := c.through().own.CollectGarbage(ctx); err != nil || met {
		return after, err
	}
	return w.shared(ctx, db, i, nodes)
}

// meet has all nodes be at ranges of an import before any goes on: none reaches the store
// meanwhile. It returns false if one was so fast that the others found nothing to do.
func (w *world) meet(ctx context.Context, db *pgx.Conn, task string, nodes []*Node) (met bool, err error) {
	if len(nodes) == 1 {
		return true, nil
	}
	err = until(ctx, func() (begun bool, err error) {
		err = db.QueryRow(ctx, `SELECT ended <> 0 OR ranges_left > 0 FROM tasks WHERE id = $1`, task).Scan(&begun)
		return begun, err
	})
	for _, n := range nodes {
		n.Store.Stall()
		defer n.Store.Mend()
	}
	err = errors.Join(err, until(ctx, func() (ended bool, err error) {
		met = true
		for _, n := range nodes {
			at, err := numbers(ctx, db, `SELECT id FROM units WHERE task = $1 AND kind = 'range' AND owner LIKE '%/' || $2::text || '/%'`, task, fmt.Sprint(n.ID()))
			if err != nil {
				return false, err
			}
			met = met && len(at) > 0
		}
		err = db.QueryRow(ctx, `SELECT ended <> 0 FROM tasks WHERE id = $1`, task).Scan(&ended)
		return met || ended, err
	}))
	return met, err
}

// measured reads what nodes have done so far.
func measured(ctx context.Context, nodes []*Node) (d portion, err error) {
	for _, n := range nodes {
		for name, to := range map[string]*[]float64{
			`diskport_units_total{end="done",kind="range"}`: &d.ranges,
			`diskport_import_blocks_total{as="stored"}`:     &d.blocks,
			`diskport_import_data_bytes_total`:              &d.bytes,
			`process_cpu_seconds_total`:                     &d.cpu,
		} {
			v, err := metric(ctx, n.Endpoint(), name)
			if err != nil {
				return portion{}, fmt.Errorf("%s: %w", n.Name, err)
			}
			*to = append(*to, v)
		}
	}
	return d, nil
}

// metric reads one of a node's metrics; 0 if there is none yet.
func metric(ctx context.Context, endpoint, name string) (v float64, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/-/metrics", nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			_, err := fmt.Sscan(rest, &v)
			return v, err
		}
	}
	return 0, lines.Err()
}

func sum(list []float64) (s float64) {
	for _, v := range list {
		s += v
	}
	return s
}

// zlibImage stores a compressed qcow2 of many ranges, whose blocks take longer to inflate than
// to store: letters at random.
func zlibImage(t *testing.T, c *Cluster) image {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "zlib.raw")
	f, err := os.Create(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = f.Truncate(*shareRanges * pageBlocks * blockBytes)
	rng, data, have := rand.NewChaCha8([32]byte{5}), make([]byte, blockBytes), content{}
	for r := range *shareRanges {
		for b := range *shareBlocks {
			_, _ = rng.Read(data)
			for i := range data {
				data[i] = "diskport"[data[i]%8]
			}
			at := r*pageBlocks + b
			have[at] = sha256.Sum256(data)
			_, werr := f.WriteAt(data, at*blockBytes)
			err = cmp.Or(err, werr)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	path := raw + ".qcow2"
	if out, err := exec.CommandContext(t.Context(), "qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, path).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img: %v\n%s", err, out)
	}
	upload(t, c, "zlib.qcow2", path)
	return image{"zlib.qcow2", "", have}
}
