package hostile_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// declared opens a specimen's object as the format declared in an import. Without a
// declared format, a truncated fixed VHD is a raw disk.
func (s specimen) declared(r io.ReaderAt, size int64) (diskimage.Disk, error) {
	words := strings.Fields(s.name)
	format := words[0]
	if n := len(words); n > 2 && words[n-2] == "in" {
		format = words[n-1]
	}
	return detect.Open(r, size, detect.Options{Format: format, Scratch: &imagetest.Scratch{}, With: s.with})
}

// as opens a changed object and compares all of it with the specimen's disk.
func (s specimen) as(object []byte) error {
	d, err := s.declared(bytes.NewReader(object), int64(len(object)))
	if err != nil {
		return err
	}
	if c, ok := d.(io.Closer); ok {
		defer c.Close() // scratch room in memory
	}
	if s.disk != nil {
		err = diskimage.Compare(context.Background(), d, s.disk)
	} else {
		err = differs(d, s.want)
	}
	// Zeros that writers leave out at the very end can't be told from data lost
	// there. Such an image is read, with a warning.
	if wrong(err) && slices.ContainsFunc(d.(diskimage.Describer).Describe().Warnings, endsInside) {
		return nil
	}
	return err
}

func endsInside(warning string) bool { return strings.Contains(warning, "the object ends inside") }

// faulty reports whether err is a fault of the image and nothing else.
func faulty(err error) bool {
	var fault *diskimage.FormatError
	return errors.As(err, &fault)
}

// work returns how many of n changes to an object are tried: all of them, unless
// the object is large.
func (s specimen) work(n int) int { return max(20, min(n, n*(1<<20)/len(s.object))) }

// cuts returns where an object of n bytes is cut: at every sector of its first 64
// KiB, where structures lie, around every structure at its end, and at random
// places.
func cuts(n int) []int {
	rnd := rand.New(rand.NewPCG(uint64(n), 4))
	all := []int{0, 1, 3}
	for i := 1; i <= 16; i++ {
		all = append(all, max(0, n-i), max(0, n-512*i), max(0, n-512*i+1))
	}
	for range 50 {
		all = append(all, rnd.IntN(n))
	}
	for at := 512; at < min(n, 64<<10); at += 512 {
		all = append(all, at)
	}
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// A truncated specimen is either refused, or reads as the same disk because nothing
// was lost or with a warning that its last block is incomplete.
func TestCut(t *testing.T) {
	imagetest.Volume(t)
	for _, s := range append(gallery(t), corpus(t)...) {
		if strings.HasPrefix(s.name, "raw") && !strings.Contains(s.name, " in ") {
			continue // a raw disk can end anywhere
		}
		t.Run("4 "+s.name, func(t *testing.T) {
			t.Parallel()
			kept := 0
			all := cuts(len(s.object))
			for _, n := range all[:min(len(all), s.work(len(all)))] {
				if err := s.as(s.object[:n]); err == nil {
					kept++
				} else if !faulty(err) {
					t.Errorf("cut to %d of %d bytes: %v", n, len(s.object), err)
				}
			}
			if s.disk == nil && kept > 100 {
				t.Errorf("%d cuts lost nothing: is the object all padding?", kept)
			}
		})
	}
}

// Zeros behind a specimen are padding. Noise is ignored too, or refused.
func TestPadded(t *testing.T) {
	imagetest.Volume(t)
	for _, s := range append(gallery(t), corpus(t)...) {
		if strings.HasPrefix(s.name, "raw") && !strings.Contains(s.name, " in ") {
			continue
		}
		for _, n := range []int{1, 511, 512, 65536} {
			padded := func(pad []byte) error { return s.as(append(bytes.Clone(s.object), pad...)) }
			t.Run("5 zeros behind "+s.name, func(t *testing.T) {
				t.Parallel()
				if err := padded(make([]byte, n)); err != nil && !(faulty(err) && s.mayRefuse()) {
					t.Errorf("%d zeros: %v", n, err)
				}
			})
			t.Run("6 noise behind "+s.name, func(t *testing.T) {
				t.Parallel()
				if err := padded(imagetest.Mixed(n, 6)); err != nil && !faulty(err) {
					t.Errorf("%d bytes: %v", n, err)
				}
				if err := padded(bytes.Repeat([]byte{0xa5}, n)); err != nil && !faulty(err) {
					t.Errorf("%d bytes: %v", n, err)
				}
			})
		}
	}
}

// mayRefuse reports whether zeros behind an object may be an error: they may for
// formats recognised by their end, and for streams whose own formats forbid them.
func (s specimen) mayRefuse() bool {
	return strings.HasPrefix(s.name, "vhd fixed") || strings.HasPrefix(s.name, "dmg") || strings.Contains(s.name, " in ")
}
