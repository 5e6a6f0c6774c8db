package hostile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// tabled are images with nine consecutive units, in each format whose tables say
// where units are.
type tabled struct {
	name   string
	object []byte
	want   []byte
	entry  func(p []byte, i int64) []byte // entry i, of 4 or 8 bytes
	big    bool                           // byte order
	unit   uint64                         // difference between the entries of consecutive units
}

func tabledImages() []tabled {
	const count = 9
	at := func(off, width int64) func([]byte, int64) []byte {
		return func(p []byte, i int64) []byte { return p[off+i*width:][:width] }
	}
	units := func(size int) (want []byte, all map[int64][]byte) {
		all = map[int64][]byte{}
		for i := range int64(count) {
			all[i] = bytes.Repeat([]byte{byte(i + 1)}, size)
			want = append(want, all[i]...)
		}
		return want, all
	}
	want, all := units(4096)
	large, blocks := units(mib)
	size := int64(len(want))
	qed := imagetest.QED{Size: size, Clusters: all}.Build()
	q := imagetest.Qcow2{Size: size, ClusterBits: 12, Clusters: map[int64]imagetest.Qcow2Cluster{}}
	for i, p := range all {
		q.Clusters[i] = imagetest.Qcow2Cluster{Data: p}
	}
	qcow := q.Build()
	sparse := imagetest.VMDK{Size: size, Grain: 4096, Grains: all}.Build()
	return []tabled{
		{"vhd", imagetest.VHD{Size: size, BlockSize: 4096, Blocks: all}.Build(), want, at(imagetest.VHDTable, 4), true, 9},
		{"vhdx", imagetest.VHDX{Size: int64(len(large)), BlockSize: mib, Blocks: blocks}.Build(), large, at(imagetest.VHDXTable, 8), false, mib},
		{"vmdk", sparse.Bytes, want, at(int64(sparse.Tables[0]), 4), false, 8},
		{"qcow2", qcow.Bytes, want, at(qcow.Entries[0], 8), true, 4096},
		{"vdi", imagetest.VDI{Size: size, BlockSize: 4096, Blocks: all}.Build(), want, at(imagetest.VDIMap, 4), false, 1},
		{"qed", qed.Bytes, want, at(qed.Entries[0], 8), false, 4096},
		{"parallels", imagetest.Parallels{Size: size, Tracks: 8, Clusters: all}.Build(), want, at(imagetest.ParallelsTable, 4), false, 1},
		{"parallels old", imagetest.Parallels{Size: size, Tracks: 8, Old: true, Clusters: all}.Build(), want, at(imagetest.ParallelsTable, 4), false, 8},
	}
}

// get and put read and write the number in an entry.
func (x tabled) get(p []byte, i int64) uint64 {
	e := x.entry(p, i)
	switch {
	case len(e) == 4 && x.big:
		return uint64(binary.BigEndian.Uint32(e))
	case len(e) == 4:
		return uint64(binary.LittleEndian.Uint32(e))
	case x.big:
		return binary.BigEndian.Uint64(e)
	}
	return binary.LittleEndian.Uint64(e)
}

func (x tabled) put(p []byte, i int64, v uint64) {
	e := x.entry(p, i)
	switch {
	case len(e) == 4 && x.big:
		binary.BigEndian.PutUint32(e, uint32(v))
	case len(e) == 4:
		binary.LittleEndian.PutUint32(e, uint32(v))
	case x.big:
		binary.BigEndian.PutUint64(e, v)
	default:
		binary.LittleEndian.PutUint64(e, v)
	}
}

// fault opens and walks an object, and returns the error.
func (x tabled) fault(object []byte) error {
	d, err := open(object, nil)
	if err != nil {
		return err
	}
	return imagetest.Walk(d)
}

// Whatever part of its data an image has lost, it is reported as incomplete,
// whether that shows when the tables are first used or in the last unit. It is not
// reported as too large or damaged.
func TestCutInDataIsTruncated(t *testing.T) {
	for _, x := range tabledImages() {
		t.Run(x.name, func(t *testing.T) {
			end := len(x.object)
			if x.name == "vhd" {
				end -= 512 // the footer has a copy at the start
			}
			for _, n := range []int{1, 511, 513, 4096, 4097, end / 4, end * 2 / 5} {
				err := x.fault(x.object[:end-n])
				var fault *diskimage.FormatError
				if !errors.As(err, &fault) || fault.Class != diskimage.Truncated {
					t.Errorf("%d of %d bytes missing: got %v, want a truncated image", n, end, err)
				}
			}
		})
	}
	for _, s := range qcow2s() {
		t.Run(s.name, func(t *testing.T) {
			d, err := open(s.object[:len(s.object)*3/5+1], nil)
			if err == nil {
				err = imagetest.Walk(d)
			}
			imagetest.WantFault(t, err, diskimage.Truncated, "end of the object")
		})
	}
}

// A fault names the entry that is wrong and its value, wherever in a row of good
// ones the entry is. An overlap is a fault, however small it is.
func TestEntryThatIsWrongIsNamed(t *testing.T) {
	const wrong = 5
	for _, x := range tabledImages() {
		value := x.get(x.object, wrong)
		values := map[string]uint64{
			"the unit before":     x.get(x.object, wrong-1),
			"the unit behind":     x.get(x.object, wrong+1),
			"far past the end":    value + 1000*x.unit,
			"half a unit before":  value - x.unit/2,
			"half a unit behind":  value + x.unit/2,
			"a sector before":     value - max(1, x.unit/8),
			"a sector behind":     value + max(1, x.unit/8),
			"the last, past half": x.get(x.object, 8) + x.unit/2,
		}
		for name, v := range values {
			if v == value || v == 0 || strings.HasPrefix(x.name, "vhdx") && v%mib != value%mib {
				continue // not a different place
			}
			t.Run(x.name+", "+name, func(t *testing.T) {
				object := bytes.Clone(x.object)
				x.put(object, wrong, v)
				err := x.fault(object)
				var fault *diskimage.FormatError
				if !errors.As(err, &fault) {
					t.Fatalf("got %v, want a fault", err)
				}
				// If two entries have the same place, nothing says which is wrong. The
				// later one is named.
				one := fmt.Sprintf("entry %d = %#x", wrong, v)
				if x.name == "vhdx" {
					one = fmt.Sprintf("entry of block %d = %#x", wrong, v)
				}
				next := strings.Replace(one, fmt.Sprint(wrong), fmt.Sprint(wrong+1), 1)
				next, _, _ = strings.Cut(next, "=")
				last := strings.Replace(next, fmt.Sprint(wrong+1), "8", 1)
				if !strings.Contains(err.Error(), one) && !strings.Contains(err.Error(), next) && !strings.Contains(err.Error(), last) {
					t.Errorf("got %v, want %q named", err, one)
				}
			})
		}
	}
}
