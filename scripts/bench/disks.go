package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// The data set. Names tell the size of the disk where it is not the standard one.
const (
	gib          = 1 << 30
	mib          = 1 << 20
	standardSize = 4 * gib
	standardData = 1800 * mib
	littleData   = 100 * mib
	largeSize    = 64 * gib
	smallSize    = 16 * mib
)

// makeDisks makes what is missing of the data set.
func (b *bench) makeDisks(ctx context.Context) error {
	if err := os.MkdirAll(b.disks, 0o755); err != nil {
		return err
	}
	for _, d := range []struct {
		name       string
		size, data int64
	}{
		{"disk", standardSize, standardData},
		{"little", standardSize, littleData},
		{"large", largeSize, littleData},
		{"small", smallSize, smallSize / 2},
	} {
		raw, vmdk := b.disk(d.name+".raw"), b.disk(d.name+".vmdk")
		if _, err := os.Stat(vmdk); err == nil {
			continue
		}
		fmt.Printf("making %s: a disk of %d MiB holding %d MiB\n", d.name, d.size/mib, d.data/mib)
		if err := makeDisk(ctx, raw, d.size, d.data); err != nil {
			return err
		}
		tmp := vmdk + ".new"
		if err := command(ctx, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, tmp); err != nil {
			return err
		}
		if err := os.Rename(tmp, vmdk); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) disk(name string) string { return filepath.Join(b.disks, name) }

// makeDisk writes data bytes spread over the first three quarters of a disk, as
// a file system in use does: files of 64 KiB to 8 MiB with gaps between them.
// It is the same every time.
func makeDisk(ctx context.Context, path string, size, data int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	src := rand.NewChaCha8([32]byte{7})
	r := rand.New(src)
	w := filler{src: src, r: r}
	reach := size / 4 * 3 // the last quarter stays empty
	for off, left := int64(0), data; left > 0 && off < size; {
		n := min(left, 64<<10<<r.IntN(8), size-off)
		if _, err := f.WriteAt(w.file(int(n)), off); err != nil {
			return err
		}
		left -= n
		// On average the gaps use up what the data leaves of the reach.
		gap := int64(0)
		if free := reach - off - left; free > 0 && left > 0 {
			gap = int64(r.Float64()*2*float64(n)*float64(free)/float64(left)) &^ 4095
		}
		off += n + gap
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return f.Sync()
}

// filler makes contents of files: text, program-like and packed, as on a disk.
type filler struct {
	src *rand.ChaCha8
	r   *rand.Rand
}

func (w *filler) file(n int) []byte {
	p := make([]byte, n)
	switch kind := w.r.IntN(10); {
	case kind < 3: // packed already: does not compress
		_, _ = w.src.Read(p) // never fails
	case kind < 6: // text: compresses to a quarter or so
		w.text(p)
	default: // a program: records with fields that repeat and some that do not
		w.records(p)
	}
	return p
}

func (w *filler) text(p []byte) {
	var words [512][]byte
	for i := range words {
		word := make([]byte, 2+w.r.IntN(9))
		for j := range word {
			word[j] = "etaoinshrdlucmfw"[w.r.IntN(16)]
		}
		words[i] = append(word, ' ')
	}
	for n := 0; n < len(p); {
		i := w.r.IntN(512) * w.r.IntN(512) / 512 // common words are common
		n += copy(p[n:], words[i])
	}
}

func (w *filler) records(p []byte) {
	var record [48]byte
	_, _ = w.src.Read(record[:])
	for n := 0; n < len(p); {
		_, _ = w.src.Read(record[8:20])
		record[4]++
		if w.r.IntN(16) == 0 {
			n += copy(p[n:], bytes.Repeat([]byte{0}, 64))
		}
		n += copy(p[n:], record[:])
	}
}
