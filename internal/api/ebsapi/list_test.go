package ebsapi

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/snapshot"
)

var tokenForm = regexp.MustCompile(`^[A-Za-z0-9+/=]{1,256}$`)

func indexes(r reply) (out []int64) {
	for _, b := range r.Blocks {
		out = append(out, b.BlockIndex)
	}
	for _, c := range r.ChangedBlocks {
		out = append(out, c.BlockIndex)
	}
	return out
}

// TestPages: a walk over pages of any size sees every block once.
func TestPages(t *testing.T) {
	f := newFixture()
	many := volume{}
	var want []int64
	for i := range int64(450) {
		many[3*i] = byte(i)
		want = append(want, 3*i)
	}
	f.Snapshots.(snapshots).add(snapA, account, snapshot.Completed, many)
	for _, path := range []string{"/snapshots/" + snapA + "/blocks?x=y", "/snapshots/" + snapB + "/changedblocks?firstSnapshotId=" + snapA} {
		f.Snapshots.(snapshots).add(snapB, account, snapshot.Completed, volume{})
		for _, max := range []int{100, 150, 225, 450, 10000} {
			var got []int64
			for token := ""; ; {
				r := parse(t, f.do("GET", fmt.Sprintf("%s&maxResults=%d&startingBlockIndex=0&pageToken=%s", path, max, url.QueryEscape(token))))
				got = append(got, indexes(r)...)
				if len(indexes(r)) > max {
					t.Fatalf("page of %d, want at most %d", len(indexes(r)), max)
				}
				if r.NextToken == nil {
					break
				}
				if token = *r.NextToken; !tokenForm.MatchString(token) {
					t.Fatalf("got token %q", token)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d: got %d blocks, want %d", max, len(got), len(want))
			}
		}
	}
}

func TestStart(t *testing.T) {
	f := newFixture()
	tests := map[string][]int64{"0": {0, 3, 6143}, "1": {3, 6143}, "3": {3, 6143}, "6143": {6143}, "6144": nil, "2147483647": nil}
	for start, want := range tests {
		w := f.do("GET", "/snapshots/"+snapA+"/blocks?startingBlockIndex="+start)
		if got := indexes(parse(t, w)); !slices.Equal(got, want) || w.Code != 200 {
			t.Errorf("from %s: got %v, want %v", start, got, want)
		}
	}
}

func TestPageTokensAreBound(t *testing.T) {
	f := newFixture()
	many := volume{}
	for i := range int64(200) {
		many[i] = 1
	}
	f.Snapshots.(snapshots).add(snapA, account, snapshot.Completed, many)
	token := "&pageToken=" + url.QueryEscape(*parse(t, f.do("GET", "/snapshots/"+snapA+"/blocks?maxResults=100")).NextToken)
	if w := f.do("GET", "/snapshots/"+snapA+"/blocks?maxResults=100&startingBlockIndex=7"+token); w.Code != 200 || indexes(parse(t, w))[0] != 100 {
		t.Errorf("startingBlockIndex is not ignored with a token: %s", w.Body)
	}
	for _, target := range []string{"/snapshots/" + snapB + "/blocks?x=y", "/snapshots/" + snapA + "/changedblocks?firstSnapshotId=" + snapB} {
		if w := f.do("GET", target+token); text(parse(t, w).Reason) != "INVALID_PAGE_TOKEN" {
			t.Errorf("%s: got %d %s", target, w.Code, w.Body)
		}
	}
	f.Now = func() time.Time { return clock.Add(pageLife + time.Second) }
	if w := f.do("GET", "/snapshots/"+snapA+"/blocks?"+token); text(parse(t, w).Reason) != "INVALID_PAGE_TOKEN" {
		t.Errorf("expired: got %d %s", w.Code, w.Body)
	}
}

// TestTokensRead: the tokens in lists read the blocks, for seven days.
func TestTokensRead(t *testing.T) {
	f := newFixture()
	listed := parse(t, f.do("GET", "/snapshots/"+snapA+"/blocks"))
	changed := parse(t, f.do("GET", "/snapshots/"+snapB+"/changedblocks?firstSnapshotId="+snapA))
	f.Now = func() time.Time { return clock.Add(blockLife - time.Second) }
	read := func(id string, index int64, token string) byte {
		t.Helper()
		w := f.do("GET", "/snapshots/"+id+"/blocks/"+strconv.FormatInt(index, 10)+"?blockToken="+url.QueryEscape(token))
		body := w.Body.Bytes()
		if w.Code != 200 || len(body) != block.Size {
			t.Fatalf("block %d of %s: got %d, %d bytes", index, id, w.Code, len(body))
		}
		want := map[string]string{
			"Content-Type": "application/octet-stream", "Content-Length": "524288", "X-Amz-Data-Length": "524288",
			"X-Amz-Checksum": block.Sum(body).Base64(), "X-Amz-Checksum-Algorithm": "SHA256",
		}
		for name, value := range want {
			if got := w.Header().Get(name); got != value {
				t.Errorf("%s: got %q, want %q", name, got, value)
			}
		}
		return body[7]
	}
	for _, b := range listed.Blocks {
		if got, want := read(snapA, b.BlockIndex, b.BlockToken), f.Snapshots.(snapshots)[snapA].volume[b.BlockIndex]; got != want {
			t.Errorf("block %d: got %d, want %d", b.BlockIndex, got, want)
		}
	}
	if got := indexes(changed); !slices.Equal(got, []int64{0, 3, 4}) {
		t.Fatalf("got changes at %v", got)
	}
	gone, other, added := changed.ChangedBlocks[0], changed.ChangedBlocks[1], changed.ChangedBlocks[2]
	if gone.SecondBlockToken != "" || added.FirstBlockToken != "" {
		t.Errorf("got tokens for blocks that are not there: %+v", changed)
	}
	if read(snapA, 0, gone.FirstBlockToken) != 1 || read(snapA, 3, other.FirstBlockToken) != 2 || read(snapB, 3, other.SecondBlockToken) != 9 || read(snapB, 4, added.SecondBlockToken) != 4 {
		t.Error("a token read another block")
	}
	f.Now = func() time.Time { return clock.Add(blockLife + time.Second) }
	if w := f.do("GET", "/snapshots/"+snapA+"/blocks/0?blockToken="+url.QueryEscape(listed.Blocks[0].BlockToken)); w.Code != 400 {
		t.Errorf("after seven days: got %d", w.Code)
	}
}
