package ebsapi

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// TestEveryOperationInAnotherRegion: a snapshot or draft can be neither read nor written
// from another region than its own.
func TestEveryOperationInAnotherRegion(t *testing.T) {
	b := newBench(t)
	draft, done := b.start(1, nil), b.start(1, nil)
	blocks := map[int32]string{0: "a"}
	b.write(done, blocks)
	b.complete(b.drafts, done, blocks)
	ask := func(name, method, target, body string, headers ...string) {
		t.Helper()
		w := b.f.send(method, target, []byte(body), headers...)
		kind := w.Header().Get("X-Amzn-Errortype") // writes are answered as at AWS
		if kind != "ResourceNotFoundException" && (kind != "ValidationException" || !strings.Contains(w.Body.String(), "INVALID_SNAPSHOT_ID")) {
			t.Errorf("%s: got %d %s %s", name, w.Code, kind, w.Body)
		}
	}
	token := url.QueryEscape(parse(t, b.f.do("GET", "/snapshots/"+done+"/blocks")).Blocks[0].BlockToken)
	b.f.region = "eu-west-1"
	sum := "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	ask("ListSnapshotBlocks", "GET", "/snapshots/"+done+"/blocks", "")
	ask("ListChangedBlocks", "GET", "/snapshots/"+done+"/changedblocks?firstSnapshotId="+done, "")
	ask("GetSnapshotBlock", "GET", "/snapshots/"+done+"/blocks/0?blockToken="+token, "")
	ask("StartSnapshot", "POST", "/snapshots", `{"VolumeSize":1,"ParentSnapshotId":"`+done+`"}`)
	ask("PutSnapshotBlock", "PUT", "/snapshots/"+draft+"/blocks/0", strings.Repeat("x", 512<<10),
		"x-amz-Data-Length: 524288", "x-amz-Checksum: "+sum, "x-amz-Checksum-Algorithm: SHA256")
	ask("CompleteSnapshot", "POST", "/snapshots/completion/"+draft, "", "x-amz-ChangedBlocksCount: 0")
	if w := b.f.send("POST", "/snapshots", []byte(`{"VolumeSize":1,"ClientToken":"t"}`)); w.Code != http.StatusCreated {
		t.Errorf("StartSnapshot: got %d %s", w.Code, w.Body)
	}
	found, err := b.db.Snapshots().List(t.Context(), awsid.Home{Account: account, Region: "eu-west-1"}, snapshot.Filter{}, listing.Place{}, 9)
	if err != nil || len(found) != 1 {
		t.Errorf("found %d in eu-west-1, %v, want what was started there", len(found), err)
	}
	b.f.region = ""
	if r := b.state(draft); r.State != snapshot.Pending {
		t.Errorf("the draft is %s", r.State)
	}
	if w := b.f.send("POST", "/snapshots", []byte(`{"VolumeSize":1,"ClientToken":"t"}`)); w.Code != http.StatusCreated || strings.Contains(w.Body.String(), found[0].ID) {
		t.Errorf("the token of another region: got %d %s", w.Code, w.Body)
	}
}

// TestEveryOperationByRegion: a Deny of a region holds, whichever way it is written.
func TestEveryOperationByRegion(t *testing.T) {
	const all = `{"Effect":"Allow","Action":"*","Resource":"*"},`
	for _, deny := range []string{
		`{"Effect":"Deny","Action":"*","Resource":"arn:aws:ec2:eu-west-1::snapshot/*"}`,
		`{"Effect":"Deny","NotAction":"s3:*","NotResource":"arn:aws:ec2:us-east-1::*"}`,
	} {
		f := newFixture()
		f.bound(all + deny)
		f.region = "eu-west-1"
		for _, op := range operations {
			target := strings.NewReplacer("{id}", snapA, "{index}", "0").Replace(op.path)
			if op.name == "ListChangedBlocks" {
				target += "?firstSnapshotId=" + snapA
			}
			if w := f.send(op.method, target, []byte(`{"VolumeSize":1}`)); w.Header().Get("X-Amzn-Errortype") != "AccessDeniedException" {
				t.Errorf("%s: got %d %s", op.name, w.Code, w.Body)
			}
		}
	}
}

// TestCopyBetweenRegions: blocks are shared, keys are not.
func TestCopyBetweenRegions(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	there := awsid.Home{Account: account, Region: "eu-west-1"}
	in := func(region string) kms.Caller {
		c := b.caller()
		c.Region = region
		return c
	}
	source := b.start(1, nil)
	blocks := map[int32]string{0: "a", 9: ""}
	b.write(source, blocks)
	b.complete(b.drafts, source, blocks)
	copied := func(r snapshot.CopyRequest) snapshot.Record {
		t.Helper()
		r.Caller = in(r.Home.Region)
		rec, err := b.drafts.Copy(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		if rec.State == snapshot.Pending {
			b.settle(b.drafts)
		}
		got, err := b.db.Snapshots().Get(ctx, r.Home.Region, rec.ID)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	names := len(b.backend.Names())
	first := copied(snapshot.CopyRequest{Home: there, SourceRegion: home.Region, Source: source})
	if got := len(b.backend.Names()) - names; got != 1 || first.State != snapshot.Completed || first.Home() != there || first.Domain != b.state(source).Domain {
		t.Errorf("%d new files, want the root alone: %+v", got, first)
	}
	b.f.region = there.Region
	b.reads(first.ID, "a")
	b.f.region = ""
	if _, err := b.drafts.Copy(ctx, snapshot.CopyRequest{Home: there, SourceRegion: there.Region, Caller: in(there.Region), Source: source}); err == nil {
		t.Error("a source was found where it is not")
	}
	key := b.key(t, "")
	encrypt := &snapshot.Encryption{Key: key.ARN()}
	secret := copied(snapshot.CopyRequest{Home: home, SourceRegion: there.Region, Source: first.ID, Encrypt: encrypt})
	if secret.KMSKey != key.ARN() || secret.State != snapshot.Completed {
		t.Fatalf("under a key of its region: %+v", secret)
	}
	if r := copied(snapshot.CopyRequest{Home: there, SourceRegion: home.Region, Source: source, Encrypt: encrypt}); r.State != snapshot.Failed {
		t.Errorf("under a key of another region: %+v", r)
	}
	back := copied(snapshot.CopyRequest{Home: there, SourceRegion: home.Region, Source: secret.ID})
	if want := "arn:aws:kms:eu-west-1:" + account + ":key/"; back.State != snapshot.Completed || !strings.HasPrefix(back.KMSKey, want) {
		t.Errorf("a copy of an encrypted snapshot is %s under %q, want one of the copy's region", back.State, back.KMSKey)
	}
	b.f.region = there.Region
	b.reads(back.ID, "a")
}

// reads checks what block 0 begins with, in the region of requests.
func (b *bench) reads(id, want string) {
	b.t.Helper()
	list := parse(b.t, b.f.do("GET", "/snapshots/"+id+"/blocks"))
	if len(list.Blocks) == 0 {
		b.t.Fatalf("%s lists nothing in %s", id, b.f.region)
	}
	w := b.f.do("GET", fmt.Sprintf("/snapshots/%s/blocks/0?blockToken=%s", id, url.QueryEscape(list.Blocks[0].BlockToken)))
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Body.String(), want) {
		b.t.Errorf("block 0 of %s: got %d", id, w.Code)
	}
}
