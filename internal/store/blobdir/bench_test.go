package blobdir_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blobdir"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/work"

	"golang.org/x/sys/unix"
)

// What one unit of the benchmark stores, and from how many goroutines.
const (
	benchBlocks  = 1024 // 512 MiB
	benchWorkers = 2
)

// BenchmarkUnit stores units of new blocks, durably. Beside the speed it
// reports its ratio to the same bytes hashed and written with plain O_DIRECT
// into preallocated files, which is run in turn with it.
func BenchmarkUnit(b *testing.B) {
	for _, c := range []frame.Cipher{frame.None, frame.AES256GCM} {
		b.Run(fmt.Sprintf("cipher=%d", c), func(b *testing.B) { benchmarkUnit(b, c) })
	}
}

func benchmarkUnit(b *testing.B, c frame.Cipher) {
	slots, err := blockstore.NewSlots(48 * frame.Size)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	d, err := blobdir.New(dir)
	if err != nil {
		b.Fatal(err)
	}
	keys, err := frame.NewKeys(c)
	if err != nil {
		b.Fatal(err)
	}
	store := blockstore.NewStore(blobtest.NewCatalog(), d, slots, blockstore.Options{})
	var stamp atomic.Uint64
	var plain time.Duration
	b.SetBytes(benchBlocks * block.Size)
	b.ReportAllocs()
	for b.Loop() {
		packs := storeUnit(b, store, keys, &stamp)
		b.StopTimer()
		for _, p := range packs {
			if err := d.Remove(b.Context(), p.File.Name()); err != nil {
				b.Fatal(err)
			}
		}
		start := time.Now()
		writePlain(b, dir)
		plain += time.Since(start)
		b.StartTimer()
	}
	b.ReportMetric(plain.Seconds()/b.Elapsed().Seconds(), "ratio")
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	if err := slots.Close(); err != nil {
		b.Fatal(err)
	}
}

func storeUnit(b *testing.B, s *blockstore.Store, k *frame.Keys, stamp *atomic.Uint64) []blockstore.ClosedPack {
	w := s.NewPackWriter(b.Context(), work.Lease{}, blockstore.Domain{ID: "dom-bench"}, k)
	defer w.Abort()
	var wg sync.WaitGroup
	for range benchWorkers {
		wg.Go(func() {
			for range benchBlocks / benchWorkers {
				slot, err := s.Slots.Get(b.Context())
				if err != nil {
					b.Error(err)
					return
				}
				binary.LittleEndian.PutUint64(slot.Payload(), stamp.Add(1))
				if _, err := w.Add(b.Context(), slot); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	packs, stats, err := w.Finish(b.Context())
	if err != nil || stats.Deduplicated != 0 {
		b.Fatal(stats, err)
	}
	return packs
}

// writePlain hashes and writes as many blocks, a file for each worker.
func writePlain(b *testing.B, dir string) {
	var wg sync.WaitGroup
	for i := range benchWorkers {
		wg.Go(func() {
			name := filepath.Join(dir, fmt.Sprint("plain", i))
			if err := writePlainFile(name, blockstore.AlignedBytes(4<<20)); err != nil {
				b.Error(err)
			}
			if err := os.Remove(name); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
}

func writePlainFile(name string, buf []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY|unix.O_DIRECT, 0o600)
	if err != nil {
		return err
	}
	const size = benchBlocks / benchWorkers * block.Size
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
		return err
	}
	for off := 0; off < size; off += len(buf) {
		for at := 0; at < len(buf); at += block.Size {
			sha256.Sum256(buf[at : at+block.Size])
		}
		if _, err := f.WriteAt(buf, int64(off)); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}
