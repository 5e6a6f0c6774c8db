package ebsapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/store/snapshot"
)

const (
	account  = "123456789012"
	snapA    = "snap-0123456789abcdef0"
	snapB    = "snap-0123456789abcdef1"
	pendingS = "snap-0123456789abcdef2"
	foreign  = "snap-0123456789abcdef3"
	damaged  = "snap-0123456789abcdef4"
	unknown  = "snap-00000000000000000"
	shared   = "snap-0123456789abcdef5"
	public   = "snap-0123456789abcdef6"
)

// home is where the snapshots of the tests are.
var home = awsid.Home{Account: account, Region: "us-east-1"}

var clock = time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC)

// volume is a fake snapshot: index to the byte that fills the block.
type volume map[int64]byte

var errPlanted = errors.New("disk on fire")

func (v volume) From(_ context.Context, index int64) iter.Seq2[snapshot.Block, error] {
	return func(yield func(snapshot.Block, error) bool) {
		for _, i := range slices.Sorted(maps.Keys(v)) {
			if i < 0 {
				yield(snapshot.Block{}, errPlanted)
				return
			}
			if i >= index && !yield(snapshot.Block{Index: i}, nil) {
				return
			}
		}
	}
}

func (v volume) Diff(_ context.Context, later Blocks, from int64) iter.Seq2[snapshot.Change, error] {
	all := maps.Clone(v)
	maps.Copy(all, later.(volume))
	return func(yield func(snapshot.Change, error) bool) {
		for _, i := range slices.Sorted(maps.Keys(all)) {
			a, inA := v[i]
			b, inB := later.(volume)[i]
			if i >= from && (a != b || inA != inB) && !yield(snapshot.Change{Index: i, InA: inA, InB: inB}, nil) {
				return
			}
		}
	}
}

func (v volume) Read(_ context.Context, index int64, frame []byte) ([]byte, block.Digest, error) {
	what, ok := v[index]
	if !ok {
		return nil, block.Digest{}, snapshot.ErrAbsent
	}
	payload := frame[:block.Size]
	copy(payload, bytes.Repeat([]byte{what}, block.Size))
	return payload, block.Sum(payload), nil
}

type snapshots map[string]struct {
	snapshot.Record
	volume
}

func (f snapshots) Get(_ context.Context, region, id string) (snapshot.Record, error) {
	s, ok := f[id]
	if !ok || cmp.Or(s.Region, "us-east-1") != region {
		return s.Record, snapshot.ErrNotFound
	}
	return s.Record, nil
}

func (f snapshots) Open(_ context.Context, r snapshot.Record) (Blocks, error) {
	return f[r.ID].volume, nil
}

func (f snapshots) add(id, account string, state snapshot.State, v volume) {
	s := f[id]
	s.Record = snapshot.Record{ID: id, Account: account, State: state, VolumeSize: 3, Lineage: id}
	s.volume = v
	f[id] = s
}

func (f snapshots) share(id, with string) {
	s := f[id]
	s.SharedWith = append(s.SharedWith, with)
	f[id] = s
}

// drafts is the fake of snapshot.Drafts.
type drafts struct {
	err     error
	started snapshot.StartRequest
	put     snapshot.WrittenBlock
	want    snapshot.Expected
}

func (f *drafts) Start(_ context.Context, r snapshot.StartRequest) (snapshot.Record, error) {
	f.started = r
	rec := snapshot.Record{ID: pendingS, Account: r.Home.Account, Region: r.Home.Region, State: snapshot.Pending, StartedAt: clock, VolumeSize: r.VolumeSize, Tags: r.Tags, Parent: r.Parent}
	if r.Encrypt != nil {
		rec.KMSKey = r.Encrypt.Key
	}
	return rec, f.err
}

func (f *drafts) Replay(context.Context, awsid.Home, string, string) (snapshot.Record, bool, error) {
	return snapshot.Record{}, false, nil
}

func (f *drafts) Put(_ context.Context, _ awsid.Home, _ string, b snapshot.WrittenBlock) error {
	f.put = b
	return f.err
}

func (f *drafts) Complete(_ context.Context, _ awsid.Home, _ string, want snapshot.Expected) (snapshot.State, error) {
	f.want = want
	return snapshot.Pending, f.err
}

// defaults is the fake of the store of accounts' defaults.
type defaults struct{ set snapshot.Defaults }

func (f *defaults) Defaults(context.Context, awsid.Home) (snapshot.Defaults, error) {
	return f.set, nil
}

// keyFake is the fake of keyring.Ring; err is what it answers.
type keyFake struct{ err error }

func (f *keyFake) MayRead(context.Context, kms.Caller, string, string) error { return f.err }

type fixture struct {
	*API
	drafts   *drafts
	defaults *defaults
	region   string // of requests; empty: us-east-1
	keys     *keyFake
	log      bytes.Buffer
	who      iam.Principal
}

// newFixture has snapA with blocks 0, 3 and 6143 of 3 GiB, and snapB in which 3
// differs, 0 is gone and 4 is new.
func newFixture() *fixture {
	s := snapshots{}
	s.add(snapA, account, snapshot.Completed, volume{0: 1, 3: 2, 6143: 3})
	s.add(snapB, account, snapshot.Completed, volume{3: 9, 4: 4, 6143: 3})
	s.add(pendingS, account, snapshot.Pending, volume{})
	s.add(foreign, "999999999999", snapshot.Completed, volume{0: 1})
	s.add(damaged, account, snapshot.Completed, volume{-1: 1})
	s.add(shared, "999999999999", snapshot.Completed, volume{0: 1})
	s.share(shared, account)
	s.add(public, "999999999999", snapshot.Completed, volume{0: 1})
	s.share(public, snapshot.Everybody)
	f := &fixture{drafts: &drafts{}, defaults: &defaults{}, keys: &keyFake{}, who: iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":root", Kind: iam.Root}}
	f.API = New(Options{
		Snapshots: s, Drafts: f.drafts, Keys: f.keys, Defaults: f.defaults, Log: slog.New(slog.NewTextHandler(&f.log, nil)), Now: func() time.Time { return clock }, TokenKey: []byte("key"),
	})
	return f
}

// allow makes the caller a user with one permission.
func (f *fixture) allow(action, resource string) {
	f.bound(fmt.Sprintf(`{"Effect":"Allow","Action":%q,"Resource":%q}`, action, resource))
}

// bound makes the caller a user with a policy of the statements.
func (f *fixture) bound(statements string) {
	document, err := policy.Parse(`{"Version":"2012-10-17","Statement":[`+statements+`]}`, policy.Identity)
	if err != nil {
		panic(err)
	}
	f.who = iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":user/ann", Kind: iam.User, Name: "ann"}.WithPolicies(document)
}

func (f *fixture) do(method, target string) *httptest.ResponseRecorder {
	return f.send(method, target, nil)
}

// send sends a request with a body and "Name: value" headers.
func (f *fixture) send(method, target string, body []byte, headers ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	u, err := url.Parse(target)
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest(method, "/", nil)
	r.URL = u
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	f.ServeAWS(w, r, &awshttp.Call{RequestID: "id-1", Region: cmp.Or(f.region, "us-east-1"), Service: awshttp.EBS, Form: u.Query(), Body: body, Principal: f.who})
	return w
}

// reply is the part of any answer that tests look at.
type reply struct {
	Blocks        []blockEntry
	ChangedBlocks []changeEntry
	NextToken     *string
	Message       *string
	Reason        *string
}

func parse(t *testing.T, w *httptest.ResponseRecorder) (r reply) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return r
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return cmp.Or(*s, "(empty)")
}
