package main

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// limits is what the machine can do, in MB/s, measured in the same run as the cases.
type limits struct {
	DiskWrite float64 `json:"diskWrite"` // O_DIRECT, a file for each of two goroutines, synced
	DiskRead  float64 `json:"diskRead"`  // O_DIRECT, the same files
	SHA256    float64 `json:"sha256"`    // one core, blocks of 512 KiB
	Inflate   float64 `json:"inflate"`   // one core, the standard library, grains of 64 KiB
	Copy      float64 `json:"copy"`      // one core, between buffers that no cache holds
	HTTP      float64 `json:"http"`      // loopback, bodies of 512 KiB, 8 clients in the same process
	Cores     int     `json:"cores"`
}

// cores returns among how many cores the work of a case can be spread.
func (l limits) cores() float64 { return float64(l.Cores) }

func (l limits) String() string {
	return fmt.Sprintf("limits, MB/s: disk write %.0f, read %.0f; SHA-256 %.0f, inflate %.0f, copy %.0f a core; HTTP %.0f; %d cores",
		l.DiskWrite, l.DiskRead, l.SHA256, l.Inflate, l.Copy, l.HTTP, l.Cores)
}

const (
	blockSize  = 512 << 10
	limitBytes = 512 * mib // of each file
	directSize = 4 * mib
)

func measureLimits(ctx context.Context, dir string) (limits, error) {
	l := limits{Cores: runtime.NumCPU()}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return l, err
	}
	var err error
	if l.DiskWrite, l.DiskRead, err = diskLimits(dir); err != nil {
		return l, err
	}
	if l.HTTP, err = httpLimit(ctx); err != nil {
		return l, err
	}
	block := make([]byte, blockSize)
	_, _ = rand.NewChaCha8([32]byte{}).Read(block) // never fails
	l.SHA256 = rate(blockSize, func() { sha256.Sum256(block) })
	from, to, at := make([]byte, 64*mib), make([]byte, 64*mib), 0
	l.Copy = rate(mib, func() {
		copy(to[at:at+mib], from[at:at+mib])
		at = (at + mib) % len(from)
	})
	l.Inflate, err = inflateLimit()
	return l, err
}

// rate returns how many MB/s fn gets through on a core of its own, n bytes each time: it
// goes by the CPU time of this thread, for a core may be shared.
func rate(n int, fn func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begun, times := threadTime(), 0
	for threadTime()-begun < time.Second/4 {
		fn()
		times++
	}
	return float64(n*times) / (threadTime() - begun).Seconds() / 1e6
}

func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // never fails for oneself
	return time.Duration(t.Nano())
}

// diskLimits writes and reads two files at once, past the page cache.
func diskLimits(dir string) (write, read float64, err error) {
	name := func(i int) string { return filepath.Join(dir, fmt.Sprint("limit", i)) }
	defer func() { err = errors.Join(err, os.Remove(name(0)), os.Remove(name(1))) }()
	measure := func(fn func(*os.File, []byte) error, flags int) (float64, error) {
		begun := time.Now()
		err := together(2, func(i int) error {
			f, err := os.OpenFile(name(i), flags|unix.O_DIRECT, 0o600)
			if errors.Is(err, unix.EINVAL) { // a tmpfs
				f, err = os.OpenFile(name(i), flags, 0o600)
			}
			if err != nil {
				return err
			}
			return errors.Join(fn(f, directBuffer()), f.Close())
		})
		return 2 * limitBytes / time.Since(begun).Seconds() / 1e6, err
	}
	write, err = measure(func(f *os.File, buf []byte) error {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, limitBytes); err != nil {
			return err
		}
		for off := int64(0); off < limitBytes; off += directSize {
			if _, err := f.WriteAt(buf, off); err != nil {
				return err
			}
		}
		return f.Sync()
	}, os.O_CREATE|os.O_TRUNC|os.O_WRONLY)
	if err != nil {
		return 0, 0, err
	}
	read, err = measure(func(f *os.File, buf []byte) error {
		for off := int64(0); off < limitBytes; off += directSize {
			if _, err := f.ReadAt(buf, off); err != nil {
				return err
			}
		}
		return nil
	}, os.O_RDONLY)
	return write, read, err
}

// directBuffer returns memory that O_DIRECT takes.
func directBuffer() []byte {
	const align = 4096
	b := make([]byte, directSize+align)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (align - 1)
	return b[skip : skip+directSize]
}

// inflateLimit expands grains of text, which compresses to a third or so.
func inflateLimit() (float64, error) {
	r := rand.New(rand.NewPCG(1, 2))
	var words [256]string
	for i := range words {
		for range 2 + r.IntN(8) {
			words[i] += string("etaoinshrdlucmfw"[r.IntN(16)])
		}
	}
	var plain []byte
	for len(plain) < 64<<10 {
		plain = append(append(plain, words[r.IntN(256)*r.IntN(256)/256]...), ' ')
	}
	plain = plain[:64<<10]
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	_, err := w.Write(plain)
	if err = errors.Join(err, w.Close()); err != nil {
		return 0, err
	}
	in := bytes.NewReader(packed.Bytes())
	z, err := zlib.NewReader(in)
	if err != nil {
		return 0, err
	}
	got := make([]byte, len(plain))
	mbs := rate(len(plain), func() {
		in.Reset(packed.Bytes())
		if resetter, ok := z.(zlib.Resetter); ok {
			err = errors.Join(err, resetter.Reset(in, nil))
		}
		_, rerr := io.ReadFull(z, got)
		err = errors.Join(err, rerr)
	})
	if !bytes.Equal(got, plain) {
		err = errors.Join(err, errors.New("inflating yielded something else"))
	}
	return mbs, err
}

// httpLimit gets bodies as long as blocks from a server in this process.
func httpLimit(ctx context.Context) (float64, error) {
	const clients, gets = 8, 128
	block := make([]byte, blockSize)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(block)))
		_, _ = w.Write(block) // the client notices
	})}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	defer func() { <-ended }() //nolint:errcheck // it was closed
	defer func() { _ = server.Close() }()
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	begun := time.Now()
	err = together(clients, func(int) error {
		buf := make([]byte, blockSize)
		for range gets {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String(), nil)
			if err != nil {
				return err
			}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				return err
			}
			_, err = io.ReadFull(resp.Body, buf)
			if err = errors.Join(err, resp.Body.Close()); err != nil {
				return err
			}
		}
		return nil
	})
	return clients * gets * blockSize / time.Since(begun).Seconds() / 1e6, err
}
