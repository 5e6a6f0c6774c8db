package importtask

import (
	"context"

	"github.com/diskport/diskport/internal/imports/source"
)

// FailureError is a failure that a task would end with.
type FailureError struct{ Failure }

func (e *FailureError) Error() string { return "importtask: " + e.Message + " (" + e.Detail + ")" }

// Check returns how req would fail, and changes nothing. When Import would refuse
// it, the error is Import's; when its task would fail on looking into the image, it
// is a *FailureError.
func (s *Service) Check(ctx context.Context, req Request) error {
	if _, replayed, err := s.replay(ctx, req); replayed || err != nil {
		return err
	}
	if err := s.room(ctx, req.Home()); err != nil {
		return err
	}
	loc, err := s.Sources.Resolve(ctx, req.source(s.Now()))
	if err != nil {
		return err
	}
	if err := s.mayRead(ctx, req, loc); err != nil {
		return err
	}
	if loc.Kind == source.Handover {
		return nil // the token is good for one use, which is Import's
	}
	pin, err := s.Sources.Pin(ctx, s.IDs.Task(), loc)
	if err != nil {
		return sourceError(loc, err)
	}
	defer s.release(ctx, pin)
	err = s.look(ctx, pin, req.Format)
	if err == nil && req.Encrypted {
		err = s.mayEncrypt(ctx, req, pin)
	}
	if err != nil {
		f, _ := FailureOf(err)
		return &FailureError{f}
	}
	return nil
}

// mayEncrypt tries the key as the plan of a task would.
func (s *Service) mayEncrypt(ctx context.Context, req Request, pin source.Pin) error {
	t := Task{Account: req.Account, Region: req.Region, RoleName: req.RoleName, KMSKey: req.KMSKey}
	who, err := keyUser(ctx, s.Roles, t, pin, s.Now())
	if err != nil {
		return err
	}
	return s.Keys.MayWrite(ctx, who, req.KMSKey, s.IDs.Snapshot())
}

// look opens an image as the plan of a task would.
func (s *Service) look(ctx context.Context, pin source.Pin, format string) error {
	d, object, err := s.Images.open(ctx, pin, format)
	if err != nil {
		return err
	}
	defer closeImage(d, object)
	return s.Images.accept(describe(d))
}
