package importtask

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// Service accepts, shows and cancels imports. Its methods may be called
// concurrently; its fields are set before the first call.
type Service struct {
	Store   Store
	Roles   Roles
	Sources Sources
	Records Records
	Images  Images         // opened by Check; zero where no dry run is deep
	Keys    Keys           // asked by Check; nil where no dry run is deep
	Secrets secret.Wrapper // of Urls
	Live    *Live          // what this node is doing
	Bus     *wake.Bus      // wakes claimers and jobs, and is woken when tasks end
	IDs     awsid.Source
	Now     func() time.Time
	Log     *slog.Logger
	Limit   int           // Active tasks an account may have
	Poll    time.Duration // how long a task that is waited for is not looked at without a wake; 0: a second
	// Growth returns nil if more may be stored, else an error that wraps
	// space.ErrFull. Nil: it always may.
	Growth func() error

	mu    sync.Mutex                     // guards shown
	shown *simplelru.LRU[string, Counts] // the most that was shown of Active tasks, so that progress never falls
}

// maxShown is for how many tasks it is remembered what was shown: more than are
// watched at a time.
const maxShown = 4096

// Records reads the records of snapshots. snapshot.Records implements it.
type Records interface {
	Get(ctx context.Context, region, snapshot string) (snapshot.Record, error)
}

// Sources finds and pins what is to be imported. source.Opener implements it.
type Sources interface {
	// Resolve returns where the image lies. It does not look whether it is there.
	Resolve(ctx context.Context, req source.Request) (source.Location, error)
	// MayRead fails with source.ErrNoAccess unless policies let who read the object.
	MayRead(ctx context.Context, who iam.Principal, loc source.Location, with policy.Context) error
	// MayDecrypt fails with source.ErrNoAccess unless who may use the key under which the
	// object is encrypted, if it is.
	MayDecrypt(ctx context.Context, who iam.Principal, loc source.Location, with policy.Context) error
	// Pin keeps the object as it is, or at least recognisable, until Release.
	Pin(ctx context.Context, id string, loc source.Location) (source.Pin, error)
	Releaser
}

// Import checks that the source may and can be read, pins it and creates the task
// (contract §3.1, steps 6–10). A replay of a client token returns the task that it
// made, before anything else is checked.
func (s *Service) Import(ctx context.Context, req Request) (Task, error) {
	if t, ok, err := s.replay(ctx, req); ok || err != nil {
		return t, err
	}
	if err := s.room(ctx, req.Home()); err != nil {
		return Task{}, err
	}
	loc, err := s.Sources.Resolve(ctx, req.source(s.Now()))
	if err != nil {
		return Task{}, err
	}
	if err := s.mayRead(ctx, req, loc); err != nil {
		return Task{}, err
	}
	if err := s.growth(); err != nil {
		return Task{}, err
	}
	t, err := s.newTask(s.IDs.Task(), req, loc)
	if err != nil {
		return Task{}, err
	}
	pin, err := s.pin(ctx, &t, loc)
	if err != nil {
		return Task{}, err
	}
	stored, created, err := s.Store.Create(ctx, t, s.Limit)
	if errors.Is(err, work.ErrNoDatabase) { // perhaps the answer alone was lost
		return s.made(ctx, t)
	}
	if err != nil || !created {
		s.release(ctx, pin)
	}
	if err != nil {
		return Task{}, err
	}
	if !created {
		return sameRequest(stored, req)
	}
	s.Bus.Wake(work.Due(work.Plan))
	return stored, nil
}

// made returns a task whose creation may have succeeded. If that can't be known, its pin
// stays: without a task it is swept.
func (s *Service) made(ctx context.Context, t Task) (Task, error) {
	stored, err := s.Store.Get(context.WithoutCancel(ctx), t.Home(), t.ID)
	if err != nil {
		return Task{}, fmt.Errorf("%w: whether the task was made is not known: %w", work.ErrNoDatabase, err)
	}
	s.Bus.Wake(work.Due(work.Plan))
	return stored, nil
}

// newTask returns the task that req asks for, whose source is not pinned yet.
func (s *Service) newTask(id string, req Request, loc source.Location) (t Task, err error) {
	t = Task{
		ID: id, Account: req.Account, Region: req.Region, State: Active, Phase: Waiting, CreatedAt: s.Now(),
		Token: req.Token, RequestDigest: req.Digest, Description: req.Description, DiskDescription: req.DiskDescription,
		Format: req.Format, RoleName: req.RoleName, Bucket: loc.Bucket, Key: loc.Key,
		Encrypted: req.Encrypted, KMSKey: req.KMSKey,
	}
	if t.Tags, err = t.Tags.Merge(req.Tags); err != nil {
		return Task{}, err
	}
	if t.SnapshotTags, err = t.SnapshotTags.Merge(req.SnapshotTags); err != nil {
		return Task{}, err
	}
	if req.URL != "" {
		t.WrappedURL = s.Secrets.Wrap([]byte(req.URL), []byte(t.ID))
	}
	return t, nil
}

// pin pins the source of a task.
func (s *Service) pin(ctx context.Context, t *Task, loc source.Location) (source.Pin, error) {
	pin, err := s.Sources.Pin(ctx, t.ID, loc)
	if errors.Is(err, work.ErrNoDatabase) && loc.Kind == source.Embedded { // perhaps it is pinned
		s.release(ctx, source.Pin{Kind: loc.Kind, ID: t.ID})
	}
	if err != nil {
		return pin, sourceError(loc, err)
	}
	t.SourceBytes, t.SourceName, t.Pin = pin.Size, nameOf(pin), pin.String()
	return pin, nil
}

func (s *Service) growth() error {
	if s.Growth == nil {
		return nil
	}
	return s.Growth()
}

// room refuses an import of either kind that would be one too many, before anything else is
// checked; Create decides.
func (s *Service) room(ctx context.Context, home awsid.Home) error {
	n, err := s.Store.Active(ctx, home)
	if err == nil && n >= s.Limit {
		err = ErrTooMany
	}
	return err
}

// replay returns the task that req's client token made before.
func (s *Service) replay(ctx context.Context, req Request) (t Task, ok bool, err error) {
	if req.Token == "" {
		return t, false, nil
	}
	t, err = s.Store.ByToken(ctx, req.Home(), req.Token)
	if errors.Is(err, ErrNotFound) {
		return t, false, nil
	}
	if err != nil {
		return t, false, err
	}
	t, err = sameRequest(t, req)
	return t, true, err
}

func sameRequest(t Task, req Request) (Task, error) {
	if t.RequestDigest != req.Digest {
		return Task{}, ErrTokenReused
	}
	return t, nil
}

func sourceError(loc source.Location, err error) error {
	if errors.Is(err, source.ErrNotFound) || errors.Is(err, source.ErrNoAccess) {
		return &ObjectError{loc.Bucket, loc.Key, err}
	}
	if errors.Is(err, source.ErrRole) {
		return &RoleError{loc.Role, err}
	}
	return fmt.Errorf("pinning the source: %w", err)
}

func (s *Service) release(ctx context.Context, p source.Pin) {
	if err := s.Sources.Release(context.WithoutCancel(ctx), p); err != nil {
		s.Log.Warn("releasing a pin; the sweep at the next start will", "pin", p.ID, logkey.Error, err)
	}
}

// Task returns one task with its live counts.
func (s *Service) Task(ctx context.Context, home awsid.Home, id string) (Task, error) {
	t, err := s.Store.Get(ctx, home, id)
	if err != nil {
		return t, err
	}
	s.overlay(&t)
	return t, nil
}

// Tasks returns a page of the tasks of an account and region with their live counts;
// see Lists.List.
func (s *Service) Tasks(ctx context.Context, home awsid.Home, f Filter, after listing.Place, limit int) ([]Task, error) {
	ts, err := s.Store.List(ctx, home, f, after, limit)
	for i := range ts {
		s.overlay(&ts[i])
	}
	return ts, err
}

// URL returns the Url that the task was asked for with, or "".
func (s *Service) URL(t Task) string {
	if len(t.WrappedURL) == 0 {
		return ""
	}
	url, err := s.Secrets.Unwrap(t.WrappedURL, []byte(URLOwner(t.ID)))
	if err != nil {
		s.Log.Error("unwrapping a task's url", logkey.Task, t.ID, logkey.Error, err)
	}
	return string(url)
}

// Cancel ends an active task, of either kind, without a snapshot and returns the state
// that it was in.
func (s *Service) Cancel(ctx context.Context, home awsid.Home, id, reason string) (State, error) {
	was, err := s.Store.Cancel(ctx, home, id, Cancelled(reason))
	if err != nil {
		return was, err
	}
	topics := []wake.Topic{wake.Task(id), work.Due(work.Cleanup), wake.Units(id)}
	if awsid.IsImageTask(id) {
		t, err := s.Store.GetImage(ctx, home, id)
		if err != nil { // its jobs end with the next heartbeats
			s.Log.Warn("looking up the disks of a cancelled image", logkey.Task, id, logkey.Error, err)
		}
		for _, d := range t.Disks {
			topics = append(topics, wake.Units(d.ID))
		}
	}
	s.Bus.Wake(topics...)
	return was, nil
}

// Wait returns the task when it has ended, or as it is when ctx ends.
func (s *Service) Wait(ctx context.Context, home awsid.Home, id string) (Task, error) {
	return wait(ctx, s, id, func(ctx context.Context) (Task, State, error) {
		t, err := s.Task(ctx, home, id)
		return t, t.State, err
	})
}

// wait returns what get returns when the task of the id has ended, or as it is when ctx
// ends.
func wait[T any](ctx context.Context, s *Service, id string, get func(context.Context) (T, State, error)) (T, error) {
	for {
		woken, stop := s.Bus.Wait(wake.Task(id))
		t, state, err := get(context.WithoutCancel(ctx))
		over := err != nil || state == Completed || state == Deleted || !s.pause(ctx, woken)
		stop()
		if over {
			return t, err
		}
	}
}

// pause returns when it is time to look at a task again: when it is woken, by whatever
// node, or after a while, since a wake may be lost. It returns false when ctx has ended.
func (s *Service) pause(ctx context.Context, woken <-chan struct{}) bool {
	poll := time.NewTimer(cmp.Or(s.Poll, time.Second))
	defer poll.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-woken:
	case <-poll.C:
	}
	return true
}

// overlay adds what this node did since its last heartbeats. The counts shown of an
// active task never fall, although the store and this node are read at different
// moments.
func (s *Service) overlay(t *Task) {
	if t.State != Active {
		return
	}
	t.Counts.Add(s.Live.Unheard(t.ID))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown == nil {
		s.shown, _ = simplelru.NewLRU[string, Counts](maxShown, nil) // fails for a size below 1 alone
	}
	if was, ok := s.shown.Get(t.ID); ok && was.Done > t.Counts.Done {
		t.Counts = was
	}
	s.shown.Add(t.ID, t.Counts)
}
