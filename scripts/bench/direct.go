package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// api is a client of a service that does no more than it must, for it shares the cores with
// the service: it signs requests and sends them. Its methods may be called concurrently.
type api struct {
	endpoint string
	creds    aws.Credentials
	signer   *v4.Signer
	http     *http.Transport
}

func (s *service) api() *api {
	return &api{
		endpoint: s.endpoint, creds: aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secretKey},
		signer: v4.NewSigner(), http: &http.Transport{MaxIdleConnsPerHost: 2 * clients},
	}
}

// presign returns an address from which anyone can fetch an object.
func (s *service) presign(ctx context.Context, bucket, key string) (string, error) {
	a := s.api()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.endpoint+"/"+bucket+"/"+key+"?X-Amz-Expires=86400", nil)
	if err != nil {
		return "", err
	}
	signed, _, err := a.signer.PresignHTTP(ctx, a.creds, req, "UNSIGNED-PAYLOAD", "s3", region, time.Now())
	return signed, err
}

// emptyHash is the SHA-256 of no body.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// send signs a request, whose body has a hash, and sends it. The caller closes the answer,
// which is a success.
func (a *api) send(req *http.Request, service, hash string) (*http.Response, error) {
	req.Header.Set("X-Amz-Content-Sha256", hash)
	if err := a.signer.SignHTTP(req.Context(), a.creds, req, hash, service, region, time.Now()); err != nil {
		return nil, err
	}
	resp, err := a.http.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024)) // only to be shown
		return nil, errors.Join(fmt.Errorf("%s %s: %s: %s", req.Method, req.URL.Path, resp.Status, text), resp.Body.Close())
	}
	return resp, nil
}

// ebs calls EBS direct with a JSON body or none, and returns the answer's.
func (a *api) ebs(ctx context.Context, method, path, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.endpoint+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(body))
	resp, err := a.send(req, "ebs", hex.EncodeToString(hash[:]))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(resp.Body)
	return text, errors.Join(err, resp.Body.Close())
}

// query calls an action of EC2 and returns the XML.
func (a *api) query(ctx context.Context, action string, params url.Values) ([]byte, error) {
	params.Set("Action", action)
	params.Set("Version", "2016-11-15")
	form := []byte(params.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.endpoint+"/", bytes.NewReader(form))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	hash := sha256.Sum256(form)
	resp, err := a.send(req, "ec2", hex.EncodeToString(hash[:]))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(resp.Body)
	return text, errors.Join(err, resp.Body.Close())
}

// blockEntry is a block of a list.
type blockEntry struct {
	BlockIndex int64
	BlockToken string
}

// blockList is an answer to ListSnapshotBlocks or ListChangedBlocks.
type blockList struct {
	Blocks        []blockEntry
	ChangedBlocks []struct{ BlockIndex int64 }
	NextToken     string
}

// allBlocks lists a snapshot.
func (a *api) allBlocks(ctx context.Context, snapshot string) (all []blockEntry, err error) {
	for token := ""; ; {
		text, err := a.ebs(ctx, http.MethodGet, "/snapshots/"+snapshot+"/blocks?maxResults=10000"+token, "")
		if err != nil {
			return nil, err
		}
		var page blockList
		if err := json.Unmarshal(text, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Blocks...)
		if page.NextToken == "" {
			return all, nil
		}
		token = "&pageToken=" + url.QueryEscape(page.NextToken)
	}
}

// get reads a block into buf and compares it with its checksum.
func (a *api) get(ctx context.Context, snapshot string, b blockEntry, buf []byte) error {
	path := fmt.Sprintf("%s/snapshots/%s/blocks/%d?blockToken=%s", a.endpoint, snapshot, b.BlockIndex, url.QueryEscape(b.BlockToken))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	resp, err := a.send(req, "ebs", emptyHash)
	if err != nil {
		return err
	}
	_, err = io.ReadFull(resp.Body, buf)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if sum := sha256.Sum256(buf); base64.StdEncoding.EncodeToString(sum[:]) != resp.Header.Get("X-Amz-Checksum") {
		return fmt.Errorf("block %d of %s is not what its checksum says", b.BlockIndex, snapshot)
	}
	return nil
}

// put writes a block.
func (a *api) put(ctx context.Context, snapshot string, index int64, block []byte, sum [sha256.Size]byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, fmt.Sprintf("%s/snapshots/%s/blocks/%d", a.endpoint, snapshot, index), bytes.NewReader(block))
	if err != nil {
		return err
	}
	req.Header.Set("X-Amz-Data-Length", fmt.Sprint(len(block)))
	req.Header.Set("X-Amz-Checksum", base64.StdEncoding.EncodeToString(sum[:]))
	req.Header.Set("X-Amz-Checksum-Algorithm", "SHA256")
	resp, err := a.send(req, "ebs", "UNSIGNED-PAYLOAD") // as the SDKs do it
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// clients is how many there are at once.
const clients = 8

// each calls fn with the numbers below n from as many goroutines as there are clients, each
// of which has a buffer for a block, and returns what that took.
func (a *api) each(n int, fn func(i int, buf []byte) error) (cost, error) {
	var next atomic.Int64
	begun, own, busy := time.Now(), ownCPU(), busyTime()
	err := together(clients, func(int) error {
		buf := make([]byte, blockSize)
		for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
			if err := fn(int(i), buf); err != nil {
				return err
			}
		}
		return nil
	})
	c := cost{wall: time.Since(begun), cpu: ownCPU() - own}
	c.others = max(0, (busyTime()-busy-c.cpu).Seconds()/c.wall.Seconds())
	return c, err
}

// ownCPU returns the CPU time that this program has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // never fails for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// latencyGets is how many blocks each round reads one after the other.
const latencyGets = 1000

// getBlocks reads the standard disk block by block.
func getBlocks(compressed bool) func(*bench, context.Context) (result, error) {
	return func(b *bench, ctx context.Context) (r result, err error) {
		ours, err := b.stored(ctx, compressed)
		if err != nil {
			return r, err
		}
		s, err := b.serveOn(ctx, ours.data)
		if err != nil {
			return r, errors.Join(err, os.RemoveAll(ours.data))
		}
		defer func() { err = errors.Join(err, s.stop()) }()
		a := s.api()
		defer a.http.CloseIdleConnections()
		all, err := a.allBlocks(ctx, ours.last.SnapshotID)
		if err != nil {
			return r, err
		}
		if err := b.sameBlocks(ctx, a, ours, all); err != nil {
			return r, err
		}
		shuffled := slices.Clone(all)
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		var latencies []float64
		buf := make([]byte, blockSize)
		r, err = b.compare(ctx, side{name: "8 clients", run: func(ctx context.Context) (cost, error) {
			for i := range min(latencyGets, len(shuffled)) {
				begun := time.Now()
				if err := a.get(ctx, ours.last.SnapshotID, shuffled[i], buf); err != nil {
					return cost{}, err
				}
				latencies = append(latencies, time.Since(begun).Seconds()*1e3)
			}
			return s.measure(func() (cost, error) {
				return a.each(len(all), func(i int, buf []byte) error { return a.get(ctx, ours.last.SnapshotID, all[i], buf) })
			})
		}})
		if err != nil {
			return r, err
		}
		slices.Sort(latencies)
		r.set(p50, latencies[len(latencies)/2])
		r.set(p99, latencies[len(latencies)*99/100])
		r.set(clients8, float64(len(all))*blockSize/1e6/r.sides[0].Wall)
		return r, nil
	}
}

// sameBlocks compares all blocks of a snapshot with the disk that it was made of.
func (b *bench) sameBlocks(ctx context.Context, a *api, ours *importing, all []blockEntry) error {
	indices := make([]int64, len(all))
	for i, e := range all {
		indices[i] = e.BlockIndex
	}
	if !slices.Equal(indices, b.blocks) {
		return fmt.Errorf("the snapshot lists %d blocks; the disk has %d, or others", len(all), len(b.blocks))
	}
	f, err := os.Open(ours.want)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = a.each(len(all), func(i int, buf []byte) error {
		if err := a.get(ctx, ours.last.SnapshotID, all[i], buf); err != nil {
			return err
		}
		want := make([]byte, blockSize)
		if _, err := f.ReadAt(want, all[i].BlockIndex*blockSize); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !bytes.Equal(buf, want) {
			return fmt.Errorf("block %d is not that of the disk", all[i].BlockIndex)
		}
		return nil
	})
	return err
}

// putCount is how many blocks each round writes: a GiB.
const putCount = 2048

// putBlocks writes new blocks into a draft, in a new service each round.
func (b *bench) putBlocks(ctx context.Context) (r result, err error) {
	base := make([]byte, blockSize)
	_, _ = rand.NewChaCha8([32]byte{9, b.seed}).Read(base) // never fails
	// One block differs from the next in its first bytes and in bytes of each of its pages.
	fill := func(i int, buf []byte) {
		copy(buf, base)
		for at := 0; at < blockSize; at += 4096 {
			binary.LittleEndian.PutUint64(buf[at:], uint64(i+1))
		}
	}
	var s *service
	var draft string
	sums := make([][sha256.Size]byte, putCount)
	puts := side{name: "8 clients"}
	puts.prepare = func(ctx context.Context) (err error) {
		if s != nil {
			if err := s.stop(); err != nil {
				return err
			}
		}
		if s, err = b.serve(ctx); err != nil {
			return err
		}
		draft, err = s.api().start(ctx, 4)
		return err
	}
	puts.run = func(ctx context.Context) (cost, error) {
		a := s.api()
		defer a.http.CloseIdleConnections()
		return s.measure(func() (cost, error) {
			return a.each(putCount, func(i int, buf []byte) error {
				fill(i, buf)
				sums[i] = sha256.Sum256(buf)
				return a.put(ctx, draft, int64(i), buf, sums[i])
			})
		})
	}
	puts.check = func(ctx context.Context) error { return s.api().readBack(ctx, draft, sums) }
	r, err = b.compare(ctx, puts)
	if s != nil {
		err = errors.Join(err, s.stop())
	}
	if err == nil {
		r.set(clients8, putCount*blockSize/1e6/r.sides[0].Wall)
	}
	return r, err
}

// start begins a snapshot of some GiB.
func (a *api) start(ctx context.Context, size int) (string, error) {
	text, err := a.ebs(ctx, http.MethodPost, "/snapshots", fmt.Sprintf(`{"VolumeSize":%d}`, size))
	if err != nil {
		return "", err
	}
	var made struct{ SnapshotID string }
	if err := json.Unmarshal(text, &made); err != nil {
		return "", err
	}
	if made.SnapshotID == "" {
		return "", fmt.Errorf("no snapshot is named in %s", text)
	}
	return made.SnapshotID, nil
}

// readBack completes a draft, reads its blocks and compares them with what was put.
func (a *api) readBack(ctx context.Context, draft string, sums [][sha256.Size]byte) error {
	defer a.http.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.endpoint+"/snapshots/completion/"+draft, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("X-Amz-ChangedBlocksCount", fmt.Sprint(len(sums)))
	resp, err := a.send(req, "ebs", emptyHash)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	for {
		text, err := a.query(ctx, "DescribeSnapshots", url.Values{"SnapshotId.1": {draft}})
		if err != nil {
			return err
		}
		if bytes.Contains(text, []byte("<status>completed<")) {
			break
		}
		if bytes.Contains(text, []byte("<status>error<")) {
			return fmt.Errorf("completing %s failed: %s", draft, text)
		}
	}
	all, err := a.allBlocks(ctx, draft)
	if err != nil {
		return err
	}
	if len(all) != len(sums) {
		return fmt.Errorf("%s lists %d blocks; %d were put", draft, len(all), len(sums))
	}
	_, err = a.each(len(all), func(i int, buf []byte) error {
		if err := a.get(ctx, draft, all[i], buf); err != nil {
			return err
		}
		if sha256.Sum256(buf) != sums[all[i].BlockIndex] {
			return fmt.Errorf("block %d is not what was put", all[i].BlockIndex)
		}
		return nil
	})
	return err
}
