package ebsapi

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// FuzzParameters: whatever the query says, the answer is 200 or a 4xx.
func FuzzParameters(f *testing.F) {
	f.Add("/snapshots/"+snapA+"/blocks", "maxResults=100&startingBlockIndex=1&pageToken=AAAA")
	f.Add("/snapshots/"+snapA+"/changedblocks", "firstSnapshotId="+snapB)
	f.Add("/snapshots/"+snapA+"/blocks/3", "blockToken=AQAA")
	f.Add("/snapshots//blocks/%2f", "")
	fix := newFixture()
	f.Fuzz(func(t *testing.T, path, query string) {
		target := path + "?" + query
		if u, err := url.Parse(target); err != nil || u.Path == "" {
			return
		}
		if w := fix.do("GET", target); w.Code != 200 && (w.Code < 400 || w.Code > 499) {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
	})
}

// FuzzBlockToken: no token but the one that was handed out reads a block.
func FuzzBlockToken(f *testing.F) {
	fix := newFixture()
	good := fix.tokens.forBlock(snapA, 3, clock.Add(blockLife))
	f.Add(good)
	f.Add("")
	f.Add(good[1:])
	f.Fuzz(func(t *testing.T, token string) {
		if fix.tokens.opensBlock(token, snapA, 3, clock) && token != good {
			t.Errorf("forged %q", token)
		}
	})
}

// FuzzStart: whatever the body of StartSnapshot says, it is accepted or refused with
// 4xx, and what is accepted is within bounds.
func FuzzStart(f *testing.F) {
	for _, c := range writeCases() {
		if c.target == "/snapshots" {
			f.Add(c.body)
		}
	}
	for _, seed := range []string{`null`, `[]`, `{"VolumeSize":1e3}`, `{"VolumeSize":1,"Tags":[null]}`, `{"VolumeSize":1}{}`, "{\"VolumeSize\":1,\"Description\":\"\xff\"}"} {
		f.Add([]byte(seed))
	}
	fix := newFixture()
	f.Fuzz(func(t *testing.T, body []byte) {
		fix.drafts.started = snapshot.StartRequest{}
		w := fix.send("POST", "/snapshots", body)
		got := fix.drafts.started
		switch {
		case w.Code == 201:
			if got.VolumeSize < 1 || got.VolumeSize > 65536 || got.Timeout < 10*time.Minute || got.Timeout > 72*time.Hour || len(got.Tags) > 50 || len(got.Token) > 255 {
				t.Errorf("%q was taken as %+v", body, got)
			}
		case w.Code < 400 || w.Code > 499:
			t.Errorf("%q: got %d %s", body, w.Code, w.Body)
		}
	})
}

// FuzzHeaders: whatever the headers of the writing operations say, the answer is a
// 2xx or a 4xx.
func FuzzHeaders(f *testing.F) {
	f.Add("524288", zeroSum, "SHA256", "100", "1", "LINEAR")
	f.Add("-1", "!", "", "101", "2147483648", "TREE")
	f.Add("0x10", "AAAA", "sha256", " 1", "+1", "")
	fix, body := newFixture(), make([]byte, block.Size)
	f.Fuzz(func(t *testing.T, length, sum, algorithm, progress, count, method string) {
		for _, field := range []string{length, sum, algorithm, progress, count, method} {
			if strings.ContainsAny(field, "\r\n\x00:") {
				return
			}
		}
		headers := []string{
			"x-amz-Data-Length: " + length, "x-amz-Checksum: " + sum, "x-amz-Checksum-Algorithm: " + algorithm, "x-amz-Progress: " + progress,
			"x-amz-ChangedBlocksCount: " + count, "x-amz-Checksum-Aggregation-Method: " + method,
		}
		if w := fix.send("PUT", "/snapshots/"+pendingS+"/blocks/0", body, headers...); w.Code != 201 && w.Code != 400 {
			t.Errorf("put: got %d %s", w.Code, w.Body)
		}
		if w := fix.send("POST", "/snapshots/completion/"+pendingS, nil, headers...); w.Code != 202 && w.Code != 400 {
			t.Errorf("complete: got %d %s", w.Code, w.Body)
		}
	})
}
