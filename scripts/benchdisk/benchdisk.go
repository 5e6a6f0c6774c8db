// Package benchdisk makes the disks that benchmarks read: raw, sparse, and filled
// like a file system in use.
package benchdisk

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
)

// Make writes data bytes spread over the first three quarters of a disk, as
// a file system in use does: files of 64 KiB to 8 MiB with gaps between them.
// It is the same every time.
func Make(ctx context.Context, path string, size, data int64) error {
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
		// On average the gaps use up the part of the reach that the data leaves.
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

// filler makes contents of files as they are on a disk: text, program-like and
// compressed.
type filler struct {
	src *rand.ChaCha8
	r   *rand.Rand
}

func (w *filler) file(n int) []byte {
	p := make([]byte, n)
	switch kind := w.r.IntN(10); {
	case kind < 3: // compressed already: does not compress
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
