package tag

import (
	"context"
)

// Resource is a taggable thing.
type Resource struct {
	ID   string
	Type string // "snapshot", "import-snapshot-task"
}

// Tagged is one tag on one resource.
type Tagged struct {
	Resource Resource
	Tag      Tag
}

// Deletion says which tag to delete: Value nil deletes it whatever its value.
type Deletion struct {
	Key   string
	Value *string
}

// NoResourceError reports a resource that the account does not have.
type NoResourceError struct{ ID string }

func (e *NoResourceError) Error() string { return "tag: no resource " + e.ID }

// Store keeps the tags of an account's resources. Every method is one
// transaction: all resources change or none does.
type Store interface {
	// Add adds or overwrites tags on every resource; ErrTooMany, *NoResourceError.
	Add(ctx context.Context, account string, resources []string, tags []Tag) error
	// Remove deletes tags; with no deletions all but reserved ones.
	Remove(ctx context.Context, account string, resources []string, del []Deletion) error
	// List returns all tags of the account ordered by resource id, then key.
	List(ctx context.Context, account string) ([]Tagged, error)
}
