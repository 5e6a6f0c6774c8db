package importtask_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/listing"
)

// Open opens objects whose keys say what is in them.
func (s *sources) Open(_ context.Context, p source.Pin) (source.Object, error) {
	if p.Key == "gone" {
		return nil, source.ErrChanged
	}
	return content{strings.NewReader(strings.Repeat("x", 512))}, nil
}

type content struct{ *strings.Reader }

func (content) Close() error { return nil }

func (content) Check() error { return nil }

// TestCheck: a deep dry run ends as the call or its task would, and leaves nothing.
func TestCheck(t *testing.T) {
	var role *importtask.RoleError
	var object *importtask.ObjectError
	fails := func(reason string) func(error) bool {
		return func(err error) bool {
			var f *importtask.FailureError
			return errors.As(err, &f) && f.Reason == reason && f.Message != ""
		}
	}
	for _, c := range []struct {
		name   string
		change func(*importtask.Request)
		ok     func(error) bool
	}{
		{"good", func(r *importtask.Request) { r.Format = "RAW" }, func(err error) bool { return err == nil }},
		{"role", func(r *importtask.Request) { r.RoleName = "none" }, func(err error) bool { return errors.As(err, &role) }},
		{"object", func(r *importtask.Request) { r.Key = "missing" }, func(err error) bool { return errors.As(err, &object) }},
		{"location", func(r *importtask.Request) { r.Bucket, r.Key, r.URL = "", "", "http://example.com/x/y" }, func(err error) bool { return errors.Is(err, source.ErrLocation) }},
		{"format", func(r *importtask.Request) { r.Format = "VMDK" }, fails("image-not-this-format")},
		{"no disk", func(*importtask.Request) {}, fails("image-not-a-disk")},
		{"changed", func(r *importtask.Request) { r.Key = "gone" }, fails("source-changed")},
	} {
		f := newFixture(t)
		f.Images.Sources = f.sources
		r := request("disk.raw")
		c.change(&r)
		if err := f.Check(t.Context(), r); !c.ok(err) {
			t.Errorf("%s: Check = %v (%T)", c.name, err, err)
		}
		if tasks, err := f.Tasks(t.Context(), home, importtask.Filter{}, listing.Place{}, 9); err != nil || len(tasks) != 0 || len(f.sources.pinned) != 0 {
			t.Errorf("%s: it left %v and %d pins, %v", c.name, tasks, len(f.sources.pinned), err)
		}
	}
}

// TestCheckOfTokensAndLimits: what comes before role and object in a real call.
func TestCheckOfTokensAndLimits(t *testing.T) {
	f := newFixture(t)
	f.Images.Sources = f.sources
	r := request("disk.raw")
	r.Token = "token"
	if _, err := f.Import(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Import(t.Context(), request("disk.raw")); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context(), request("disk.raw")); !errors.Is(err, importtask.ErrTooMany) {
		t.Errorf("one too many: Check = %v", err)
	}
	if err := f.Check(t.Context(), r); err != nil {
		t.Errorf("a replay: Check = %v", err)
	}
	r.Digest = "another request"
	if err := f.Check(t.Context(), r); !errors.Is(err, importtask.ErrTokenReused) {
		t.Errorf("a token reused: Check = %v", err)
	}
}

// TestCheckAddsUpDisks: an image has as many disks as all its containers together.
func TestCheckAddsUpDisks(t *testing.T) {
	f := newFixture(t)
	f.Records, f.Images.Sources = records{}, f.sources
	var all []importtask.Container
	for range importtask.MaxDisks - 1 {
		all = append(all, importtask.Container{Snapshot: "snap-mine"})
	}
	raw := in("a.raw")
	raw.Format = "RAW"
	all = append(all, raw)
	if err := f.CheckImage(t.Context(), imageRequest(all...)); err != nil {
		t.Errorf("as many as there may be: %v", err)
	}
	err := f.CheckImage(t.Context(), imageRequest(append(all, raw)...))
	if failure, ok := errors.AsType[*importtask.FailureError](err); !ok || failure.Reason != "image-limit" {
		t.Errorf("one more: %v (%T)", err, err)
	}
}
