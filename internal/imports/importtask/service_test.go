package importtask_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

const account = "123456789012"

// home is where the tasks of the tests are.
var home = awsid.Home{Account: account, Region: "us-east-1"}

// sources is a bucket in which every key exists but "missing"; it counts pins.
type sources struct {
	mu     sync.Mutex // guards pinned
	pinned map[string]bool
}

func (s *sources) Resolve(_ context.Context, r source.Request) (source.Location, error) {
	return source.ParseLocation(r)
}

func (*sources) MayRead(ctx context.Context, who iam.Principal, l source.Location, with policy.Context) error {
	err := iam.Authorize(ctx, who, "s3:GetObject", with, "arn:aws:s3:::"+l.Bucket+"/"+l.Key)
	if _, refused := errors.AsType[*iam.DeniedError](err); refused {
		return fmt.Errorf("%w: %w", source.ErrNoAccess, err)
	}
	return err
}

// MayDecrypt: only root may, of what is encrypted.
func (*sources) MayDecrypt(_ context.Context, who iam.Principal, l source.Location, _ policy.Context) error {
	if l.Key == "encrypted" && who.Kind != iam.Root {
		return source.ErrNoAccess
	}
	return nil
}

func (s *sources) Pin(_ context.Context, id string, l source.Location) (source.Pin, error) {
	if l.Key == "missing" {
		return source.Pin{}, source.ErrNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pinned[id] = true
	return source.Pin{Kind: source.Embedded, ID: id, Bucket: l.Bucket, Key: l.Key, Size: 4711}, nil
}

func (s *sources) Release(_ context.Context, p source.Pin) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pinned, p.ID)
	return nil
}

var errPlanted = errors.New("database on fire")

// roles has the role vmimport, which may read the bucket "images", and two like it, each of
// which trusts the service with tasks of one kind.
type roles struct{}

func (roles) AssumeServiceRole(_ context.Context, c iam.ServiceCall) (iam.Principal, error) {
	if c.Role == "unreadable" {
		return iam.Principal{}, errPlanted
	}
	kind, special := map[string]string{"for-snapshots": ":import-snapshot-task/", "for-images": ":import-image-task/"}[c.Role]
	switch {
	case special && !strings.Contains(c.SourceARN, kind):
		return iam.Principal{}, &iam.DeniedError{Principal: c.Service, Action: "sts:AssumeRole", Resource: c.Role}
	case !special && c.Role != "vmimport":
		return iam.Principal{}, &iam.EntityError{Kind: iam.KindRole, Name: c.Role, Err: iam.ErrNotFound}
	}
	d, err := policy.Parse(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::images/*"}]}`, policy.Identity)
	return iam.Principal{Account: c.Account, Kind: iam.RoleSession, ARN: "arn:aws:sts::role"}.WithPolicies(d), err
}

func (roles) Root(account string) iam.Principal {
	return iam.Principal{Account: account, Kind: iam.Root, ARN: "arn:aws:iam::" + account + ":root"}
}

type fixture struct {
	*importtask.Service
	sources *sources
	dir     string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	db, err := metadb.Open(t.Context(), filepath.Join(dir, "db"), metadb.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	src := &sources{pinned: map[string]bool{}}
	return &fixture{sources: src, dir: dir, Service: &importtask.Service{
		Store: db.Tasks(), Roles: roles{}, Sources: src, Secrets: master, Live: &importtask.Live{}, Bus: &wake.Bus{},
		Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Limit: 2,
	}}
}

func request(key string) importtask.Request {
	return importtask.Request{
		Account: account, Region: home.Region, RoleName: "vmimport", Bucket: "images", Key: key, Digest: "a digest",
		Caller: iam.Principal{Account: account, Kind: iam.Root, ARN: "arn:aws:iam::" + account + ":root"},
	}
}

func TestImportRefuses(t *testing.T) {
	var role *importtask.RoleError
	var object *importtask.ObjectError
	for _, c := range []struct {
		name   string
		change func(*importtask.Request)
		ok     func(error) bool
	}{
		{"a role that does not exist", func(r *importtask.Request) { r.RoleName = "none" }, func(err error) bool { return errors.As(err, &role) }},
		{"a role that can't be looked up now", func(r *importtask.Request) { r.RoleName = "unreadable" }, func(err error) bool { return errors.Is(err, errPlanted) && !errors.As(err, &role) }},
		{"an object that the role may not read", func(r *importtask.Request) { r.Bucket = "others" }, func(err error) bool { return errors.As(err, &object) }},
		{"an object that the caller may not read", func(r *importtask.Request) { r.Caller.Kind = iam.User }, func(err error) bool { return errors.As(err, &object) }},
		{"an object that the role may not decrypt", func(r *importtask.Request) { r.Key = "encrypted" }, func(err error) bool { return errors.As(err, &role) }},
		{"an object that is not there", func(r *importtask.Request) { r.Key = "missing" }, func(err error) bool { return errors.As(err, &object) }},
		{"another machine's address", func(r *importtask.Request) { r.Bucket, r.Key, r.URL = "", "", "http://169.254.169.254/x/y" }, func(err error) bool { return errors.Is(err, source.ErrLocation) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			r := request("disk.vmdk")
			r.Token = "token"
			c.change(&r)
			if _, err := f.Import(t.Context(), r); !c.ok(err) {
				t.Errorf("Import = %v (%T)", err, err)
			}
			if len(f.sources.pinned) != 0 {
				t.Errorf("it left %d pins", len(f.sources.pinned))
			}
			// A refused request does not use its token up: clients repeat it.
			if _, err := f.Import(t.Context(), request("disk.vmdk")); err != nil {
				t.Errorf("the good request afterwards: %v", err)
			}
		})
	}
}

// TestTLSOfTheSource: a policy that lets nobody read a bucket but over TLS does not stop the
// import of an object of the embedded S3, which leaves no process, though the call came in
// the clear; where it came from is told as it is.
func TestTLSOfTheSource(t *testing.T) {
	for _, c := range []struct {
		condition string
		allowed   bool
	}{
		{`"Bool":{"aws:SecureTransport":"true"}`, true},
		{`"Bool":{"aws:SecureTransport":"true"},"IpAddress":{"aws:SourceIp":"192.0.2.7"}`, true},
		{`"IpAddress":{"aws:SourceIp":"198.51.100.7"}`, false},
	} {
		f := newFixture(t)
		d, err := policy.Parse(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{`+c.condition+`}}}`, policy.Identity)
		if err != nil {
			t.Fatal(err)
		}
		r := request("disk.vmdk")
		r.Origin = iam.Origin{Time: time.Unix(1e9, 0), SourceIP: "192.0.2.7"}
		r.Caller = iam.Principal{Account: account, Kind: iam.User, ARN: "arn:aws:iam::" + account + ":user/u"}.WithPolicies(d)
		_, err = f.Import(t.Context(), r)
		if _, refused := errors.AsType[*importtask.ObjectError](err); refused == c.allowed || c.allowed && err != nil {
			t.Errorf("%s: %v", c.condition, err)
		}
	}
}

func TestOneTokenOneTask(t *testing.T) {
	f := newFixture(t)
	r := request("disk.vmdk")
	r.Token = "token"
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		wg.Go(func() {
			task, err := f.Import(t.Context(), r)
			if err != nil {
				t.Error(err)
			}
			ids[i] = task.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("tasks %v for one token", ids)
			break
		}
	}
	if len(f.sources.pinned) != 1 || !f.sources.pinned[ids[0]] {
		t.Errorf("pins %v, want the task's alone", f.sources.pinned)
	}
	r.RoleName = "none" // a replay is answered before the role is looked at
	if task, err := f.Import(t.Context(), r); err != nil || task.ID != ids[0] {
		t.Errorf("replay: task %s, %v", task.ID, err)
	}
	r.Digest = "another request"
	if _, err := f.Import(t.Context(), r); !errors.Is(err, importtask.ErrTokenReused) {
		t.Errorf("another request with the token: %v, want %v", err, importtask.ErrTokenReused)
	}
}

func TestTooManyImportsLeaveNoPin(t *testing.T) {
	f := newFixture(t)
	for range f.Limit {
		if _, err := f.Import(t.Context(), request("disk.vmdk")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Import(t.Context(), request("disk.vmdk")); !errors.Is(err, importtask.ErrTooMany) {
		t.Errorf("one more: %v, want %v", err, importtask.ErrTooMany)
	}
	r := request("missing")
	r.RoleName = "none" // the limit comes before role and object (contract §3.1)
	if _, err := f.Import(t.Context(), r); !errors.Is(err, importtask.ErrTooMany) {
		t.Errorf("one more with a bad role: %v, want %v", err, importtask.ErrTooMany)
	}
	if len(f.sources.pinned) != f.Limit {
		t.Errorf("%d pins for %d tasks", len(f.sources.pinned), f.Limit)
	}
}

func TestPresignedUrlsAreNotStoredInTheClear(t *testing.T) {
	f := newFixture(t)
	r := request("")
	r.Bucket, r.OwnHosts = "", []string{"127.0.0.1:4580"}
	r.URL = "http://127.0.0.1:4580/images/disk.vmdk?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=5ec4e7"
	task, err := f.Import(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.URL(task); got != r.URL {
		t.Errorf("URL = %q, want it as given", got)
	}
	for _, name := range []string{"db", "db-wal"} {
		b, err := os.ReadFile(filepath.Join(f.dir, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("5ec4e7")) {
			t.Errorf("%s holds the signature", name)
		}
	}
}

func TestWaitReturnsAtTheEnd(t *testing.T) {
	f := newFixture(t)
	task, err := f.Import(t.Context(), request("disk.vmdk"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := f.Wait(ctx, home, task.ID); err != nil || got.State != importtask.Active {
		t.Errorf("Wait with a context that is done: %s, %v", got.State, err)
	}
	if was, err := f.Cancel(t.Context(), home, task.ID, "test"); err != nil || was != importtask.Active {
		t.Errorf("Cancel = %s, %v", was, err)
	}
	if was, err := f.Cancel(t.Context(), home, task.ID, "again"); err != nil || was != importtask.Deleting {
		t.Errorf("a second Cancel = %s, %v; want it to succeed", was, err)
	}
}

// unanswered is a store whose answers to Create are lost, after or before what was asked for was
// done.
type unanswered struct {
	importtask.Store
	done bool
}

func (u unanswered) Create(ctx context.Context, t importtask.Task, limit int) (importtask.Task, bool, error) {
	if u.done {
		if _, _, err := u.Store.Create(ctx, t, limit); err != nil {
			return importtask.Task{}, false, err
		}
	}
	return importtask.Task{}, false, fmt.Errorf("creating: %w", work.ErrNoDatabase)
}

// TestTheAnswerToCreateIsLost: the task that was made all the same keeps its pin and is
// returned; without one, the pin stays until it is swept, since the commit may still come.
func TestTheAnswerToCreateIsLost(t *testing.T) {
	for _, done := range []bool{true, false} {
		f := newFixture(t)
		f.Store = unanswered{f.Store, done}
		task, err := f.Import(t.Context(), request("disk"))
		if done != (err == nil) || done != (task.ID != "") {
			t.Errorf("done %t: %+v, %v", done, task, err)
		}
		if len(f.sources.pinned) != 1 || done && !f.sources.pinned[task.ID] {
			t.Errorf("done %t: pinned %v", done, f.sources.pinned)
		}
	}
}
