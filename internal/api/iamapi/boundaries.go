package iamapi

import "context"

// boundIn names the policy that becomes a permissions boundary. It is embedded in
// requests.
type boundIn struct{ PermissionsBoundary string }

func (r boundIn) bounds() string { return r.PermissionsBoundary }

// boundaryXML is a permissions boundary as sent to clients.
type boundaryXML struct{ PermissionsBoundaryType, PermissionsBoundaryArn string }

func newBoundaryXML(arn string) *boundaryXML {
	if arn == "" {
		return nil
	}
	return &boundaryXML{"Policy", arn}
}

type (
	userBound struct {
		onUser
		boundIn
	}
	roleBound struct {
		onRole
		boundIn
	}
)

func putBoundary[R interface {
	owned
	bounds() string
}](ctx context.Context, c call, r R) (any, error) {
	return nil, c.opts.Service.PutBoundary(ctx, r.owner(c), r.bounds())
}

func deleteBoundary[R owned](ctx context.Context, c call, r R) (any, error) {
	return nil, c.opts.Service.DeleteBoundary(ctx, r.owner(c))
}
