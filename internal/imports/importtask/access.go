package importtask

import (
	"context"
	"errors"
	"fmt"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/imports/source"
)

// Roles lets the service act in a role. iam.Service implements it.
type Roles interface {
	AssumeServiceRole(ctx context.Context, call iam.ServiceCall) (iam.Principal, error)
	// Root returns an account's root principal.
	Root(account string) iam.Principal
}

// taskKind is what a trust policy knows tasks of snapshots from those of images by.
type taskKind string

const (
	ofSnapshot taskKind = "import-snapshot-task"
	ofImage    taskKind = "import-image-task"
)

// kind returns that of what t ends together with.
func (t Task) kind() taskKind { return Request{image: t.ImageTask != ""}.kind() }

// kind returns that of the task that r asks for.
func (r Request) kind() taskKind {
	if r.image {
		return ofImage
	}
	return ofSnapshot
}

// serviceRole returns a role as the principal of an import in a region, or a *RoleError
// if it does not exist or does not let the service assume it for such a task.
func serviceRole(ctx context.Context, roles Roles, home awsid.Home, name string, kind taskKind) (iam.Principal, error) {
	role, err := roles.AssumeServiceRole(ctx, iam.ServiceCall{
		Account: home.Account, Role: name, Service: iam.ImportService, ExternalID: iam.ImportExternalID,
		SourceARN: "arn:" + awsid.Partition(home.Region) + ":vmie:" + home.Region + ":" + home.Account + ":" + string(kind) + "/*",
	})
	var missing *iam.EntityError
	var denied *iam.DeniedError
	if errors.As(err, &missing) || errors.As(err, &denied) {
		return role, &RoleError{name, err}
	}
	if err != nil {
		return role, fmt.Errorf("assuming role %s: %w", name, err)
	}
	return role, nil
}

// mayRead checks that the service role can be assumed, and that it and the caller
// may read the object, and the role decrypt it: *RoleError, *ObjectError. Nothing is remembered between
// calls: clients create the role seconds before, and repeat the call until it
// works. A file that was handed over inside the process, or an object that a
// presigned Url opens, needs neither.
func (s *Service) mayRead(ctx context.Context, req Request, loc source.Location) error {
	if loc.Kind == source.Handover || loc.Presigned {
		return nil
	}
	role, err := serviceRole(ctx, s.Roles, req.Home(), req.RoleName, req.kind())
	if err != nil {
		return err
	}
	origin := req.Origin
	if loc.Kind == source.Embedded {
		// It is read inside the process: a policy that wants TLS, as pipelines give their
		// buckets, has nothing against it, whatever way the call came.
		origin.Secure = true
	}
	for _, p := range []iam.Principal{role, req.Caller} {
		err := s.Sources.MayRead(ctx, p, loc, origin.Context())
		if errors.Is(err, source.ErrNoAccess) {
			return &ObjectError{loc.Bucket, loc.Key, err}
		}
		if err != nil {
			return err
		}
	}
	err = s.Sources.MayDecrypt(ctx, role, loc, req.Origin.Context())
	if errors.Is(err, source.ErrNoAccess) {
		return &RoleError{req.RoleName, err} // as at AWS
	}
	return err
}
