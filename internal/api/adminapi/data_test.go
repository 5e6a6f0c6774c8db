package adminapi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// records reads a stream as the package comment describes it: each record as
// "kind offset:length first byte", or its text.
func records(t *testing.T, stream []byte) (got []string) {
	t.Helper()
	for len(stream) > 0 {
		n, off := binary.LittleEndian.Uint32(stream[4:]), binary.LittleEndian.Uint64(stream[8:])
		data := stream[20 : 20+n]
		sum := crc32.Checksum(append(bytes.Clone(stream[:16]), data...), crc32.MakeTable(crc32.Castagnoli))
		if sum != binary.LittleEndian.Uint32(stream[16:]) {
			t.Errorf("checksum of the record at %d", off)
		}
		switch kind := string(stream[:4]); kind {
		case "data":
			got = append(got, fmt.Sprintf("data %d:%d %d", off, n, data[0]))
		default:
			got = append(got, fmt.Sprintf("%s%d %s", kind, off, data))
		}
		stream = stream[20+n:]
	}
	return got
}

var errRotten = fmt.Errorf("snap-1, block 7: %w", frame.ErrCorrupt)

// TestData: a stream tells what would fail again; else it is cut off, and its client asks
// again.
func TestData(t *testing.T) {
	const lead, rest = 100 << 10, block.Size - 100<<10
	two := []snapshot.Block{{Index: 1}, {Index: 7}}
	first, second := fmt.Sprintf("data %d:%d 1", block.Size+lead, rest), fmt.Sprintf("data %d:%d 7", 7*block.Size+lead, rest)
	end := fmt.Sprintf("end %d ", 1<<30)
	for name, tt := range map[string]struct {
		path  string
		world world
		want  []string
	}{
		"all":             {"snap-1/data", world{blocks: two}, []string{first, second, end}},
		"from a block on": {fmt.Sprintf("snap-1/data?from=%d", 2*block.Size), world{blocks: two}, []string{second, end}},
		"zeros":           {"snap-1/data", world{blocks: []snapshot.Block{{Index: 0}}}, []string{end}},
		"nothing":         {"snap-1/data", world{}, []string{end}},
		"damaged":         {"snap-1/data", world{blocks: two[:1], damaged: errRotten}, []string{first, "fail0 snap-1, block 7: frame: corrupt frame"}},
		"damaged at once": {"snap-1/data", world{damaged: errRotten}, []string{"fail0 snap-1, block 7: frame: corrupt frame"}},
		"cut off":         {"snap-1/data", world{blocks: two[:1], damaged: errors.New("the database is away")}, []string{first}},
		"locked midway":   {"snap-1/data", world{blocks: two[:1], damaged: &keyring.Error{Key: "arn", Reason: keyring.Disabled}}, []string{first, "fail0 the KMS key of the snapshot cannot be used: key-disabled"}},
		"encrypted":       {"snap-4/data", world{blocks: two[:1]}, []string{first, end}},
	} {
		t.Run(name, func(t *testing.T) {
			rec := tt.world.ask(t, "GET", "/-/v1/snapshots/"+tt.path)
			if diff := gocmp.Diff(tt.want, records(t, rec.Body.Bytes())); rec.Code != 200 || diff != "" {
				t.Errorf("answer %d, records (-want +got):\n%s", rec.Code, diff)
			}
		})
	}
}

// TestDataThatCannotBegin: who asks is told by the status, so that a client tries again.
func TestDataThatCannotBegin(t *testing.T) {
	for want, err := range map[int]error{
		500: errors.New("the database is away"),
		403: &keyring.Error{Key: "arn", Reason: keyring.Disabled},
		404: snapshot.ErrNotFound,
	} {
		if rec := (&world{damaged: err}).ask(t, "GET", "/-/v1/snapshots/snap-1/data"); rec.Code != want {
			t.Errorf("%v: answer %d %q, want %d", err, rec.Code, rec.Body, want)
		}
	}
}

// TestDataEndsWhenTheServiceStops: without an end, so that the client asks again.
func TestDataEndsWhenTheServiceStops(t *testing.T) {
	stopping := make(chan struct{})
	close(stopping)
	w := world{blocks: []snapshot.Block{{Index: 1}}, stopping: stopping}
	if rec := w.ask(t, "GET", "/-/v1/snapshots/snap-1/data"); rec.Body.Len() != 0 {
		t.Errorf("answer %d %q", rec.Code, rec.Body)
	}
}

// TestHoles: zeros are left out where that is worth a record.
func TestHoles(t *testing.T) {
	const u = holeUnit
	for name, tt := range map[string]struct {
		data []int // units that are not zero, of 128
		want [][2]int
	}{
		"all zero":         {nil, nil},
		"first":            {[]int{0}, [][2]int{{0, 1}}},
		"last":             {[]int{127}, [][2]int{{127, 128}}},
		"a small gap":      {[]int{3, 11}, [][2]int{{3, 12}}},
		"a gap":            {[]int{3, 12}, [][2]int{{3, 4}, {12, 13}}},
		"gaps and ends":    {[]int{0, 64, 127}, [][2]int{{0, 1}, {64, 65}, {127, 128}}},
		"a gap at the end": {[]int{126}, [][2]int{{126, 127}}},
	} {
		p := make([]byte, block.Size)
		for _, i := range tt.data {
			p[i*u+u-1] = 1
		}
		var got [][2]int
		for at, end := nextData(p, 0); at < len(p); at, end = nextData(p, end) {
			got = append(got, [2]int{at / u, end / u})
		}
		if diff := gocmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
