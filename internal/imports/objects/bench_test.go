package objects_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/store/blobdir"
	"github.com/diskport/diskport/internal/store/blockstore"
)

const (
	benchPart  = 16 << 20 // bytes
	benchParts = 32       // of one operation
)

// BenchmarkDisk writes what BenchmarkUpload writes, without hashing, rows or numbers: it
// is the yardstick for it.
//
//	go test ./internal/imports/objects -run '^$' -bench 'Disk|Upload' -benchtime 5x
func BenchmarkDisk(b *testing.B) {
	dir, err := blobdir.New(filepath.Join(b.TempDir(), "files"))
	if err != nil {
		b.Fatal(err)
	}
	defer dir.Close()
	content := blockstore.AlignedBytes(1 << 20)
	copy(content, random(1<<20))
	for _, flight := range []int{1, 8} {
		b.Run(fmt.Sprint(flight, "parts"), func(b *testing.B) {
			b.SetBytes(benchPart * benchParts)
			n := 0
			for b.Loop() {
				n++
				parallel(flight, func(i int) {
					name := fmt.Sprintf("%d/%d/%d", flight, n, i)
					if err := writeFile(b.Context(), dir, name, content); err != nil {
						b.Error(err)
					}
				})
				b.StopTimer()
				if err := os.RemoveAll(filepath.Join(dir.String(), fmt.Sprint(flight))); err != nil {
					b.Fatal(err)
				}
				dir, err = blobdir.New(dir.String())
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func writeFile(ctx context.Context, dir *blobdir.Dir, name string, content []byte) error {
	w, err := dir.Create(ctx, name, benchPart)
	if err != nil {
		return err
	}
	for off := int64(0); off < benchPart; off += int64(len(content)) {
		if err := w.WriteAt(ctx, [][]byte{content}, off); err != nil {
			return err
		}
	}
	return w.Close(ctx, benchPart)
}

// parallel runs fn for the parts of one operation, some at a time.
func parallel(flight int, fn func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range flight {
		wg.Go(func() {
			for i := range next {
				fn(i)
			}
		})
	}
	for i := range benchParts {
		next <- i
	}
	close(next)
	wg.Wait()
}

// BenchmarkUpload stores an object in parts of 16 MiB, with MD5 and a checksum, from
// memory: what the edge adds is HTTP. It reports the CPU that a GB costs.
func BenchmarkUpload(b *testing.B) {
	content := random(benchPart)
	for _, flight := range []int{1, 8} {
		b.Run(fmt.Sprint(flight, "parts"), func(b *testing.B) {
			f := newFixture(b, nil)
			b.SetBytes(benchPart * benchParts)
			var spent time.Duration
			for b.Loop() {
				from := cpuTime()
				u, err := f.CreateUpload(b.Context(), objects.Upload{Bucket: "bucket", Key: "k", Algorithm: objects.CRC32, ChecksumType: objects.FullObject})
				if err != nil {
					b.Fatal(err)
				}
				c := objects.Completion{Bucket: "bucket", Key: "k", Upload: u.ID, Size: -1, Parts: make([]objects.CompletedPart, benchParts)}
				parallel(flight, func(i int) {
					part, err := f.benchPart(b.Context(), u, i+1, content)
					if err != nil {
						b.Error(err)
					}
					c.Parts[i] = objects.CompletedPart{Number: i + 1, ETag: part.ETag}
				})
				if _, err := f.CompleteUpload(b.Context(), c); err != nil {
					b.Fatal(err)
				}
				spent += cpuTime() - from
				b.StopTimer()
				if _, err := f.Sweep(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(spent.Seconds()/float64(b.N)*1e9/(benchPart*benchParts), "cpu-s/GB")
		})
	}
}

func (f fixture) benchPart(ctx context.Context, u objects.Upload, number int, content []byte) (objects.Part, error) {
	w, err := f.NewPiece(ctx, objects.PieceOptions{Account: account, Size: int64(len(content)), Checksums: []objects.Algorithm{u.Algorithm}})
	if err != nil {
		return objects.Part{}, err
	}
	defer w.Abort()
	if _, err := w.ReadFrom(struct{ io.Reader }{bytes.NewReader(content)}); err != nil {
		return objects.Part{}, err
	}
	p, err := w.Finish(ctx)
	if err != nil {
		return objects.Part{}, err
	}
	return f.PutPart(ctx, objects.PartPut{Bucket: u.Bucket, Key: u.Key, Upload: u.ID, Number: number, Piece: p, Checksum: p.Checksum(u.Algorithm)})
}

// cpuTime returns what the process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // never fails for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSmallPut stores objects of 4 KiB, several at a time.
func BenchmarkSmallPut(b *testing.B) {
	content := random(4 << 10)
	f := newFixture(b, nil)
	b.SetParallelism(8)
	var next sync.Mutex
	n := 0
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			next.Lock()
			n++
			key := fmt.Sprint("k", n)
			next.Unlock()
			f.put(b, key, content)
		}
	})
}

// TestMemoryOfManyUploads: 32 uploads at once take at most 64 MiB, and more of them do
// not take much more.
func TestMemoryOfManyUploads(t *testing.T) {
	f := newFixture(t, nil)
	content := random(3 << 20)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var writers []*objects.PieceWriter
	for range 32 {
		w, err := f.NewPiece(t.Context(), objects.PieceOptions{Account: account, Size: -1, Checksums: []objects.Algorithm{objects.CRC32}})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Abort()
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		writers = append(writers, w)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(writers)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 48<<20 {
		t.Errorf("32 uploads take %d MiB", grown>>20)
	}
}
