package tag

import (
	"cmp"
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
	// List returns at most limit of the account's tags that f leaves, in order of
	// resource id, then key (byte by byte), from behind after.
	List(ctx context.Context, account string, f Filter, after Place, limit int) ([]Tagged, error)
}

// Filter narrows a list of tags. A nil field leaves all of them.
type Filter struct {
	Resources []string // ids
	Tag       *Tag     // this key with this value
}

// Place is where a tag stands in a list. The zero Place is before all.
type Place struct{ Resource, Key string }

// Compare orders places: -1 when p comes before q, +1 when it comes after.
func (p Place) Compare(q Place) int {
	return cmp.Or(cmp.Compare(p.Resource, q.Resource), cmp.Compare(p.Key, q.Key))
}
