package tag

import (
	"cmp"
	"context"

	"github.com/diskport/diskport/internal/awsid"
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

// Deletion says which tag to delete. When Value is nil, the tag is deleted whatever
// its value is.
type Deletion struct {
	Key   string
	Value *string
}

// NoResourceError reports a resource that the account does not have in the region.
type NoResourceError struct{ ID string }

func (e *NoResourceError) Error() string { return "tag: no resource " + e.ID }

// Store keeps the tags of the resources of accounts and regions, which it knows from the tables of
// tasks, snapshots and images. Edges call it after they have validated tags. Every
// method is one transaction: all resources change or none does. All may be called
// concurrently. The suite is tagtest.
type Store interface {
	// Add adds tags to every resource, and overwrites those with the same key.
	// ErrTooMany when one of them would have more than MaxPerResource,
	// *NoResourceError.
	Add(ctx context.Context, home awsid.Home, resources []string, tags []Tag) error
	// Remove deletes tags from every resource; when del is empty, all but reserved
	// ones. Tags that are not there are no error. *NoResourceError.
	Remove(ctx context.Context, home awsid.Home, resources []string, del []Deletion) error
	// List returns at most limit of the tags of an account and region that match f, in
	// order of resource id, then key (byte by byte), beginning behind after.
	List(ctx context.Context, home awsid.Home, f Filter, after Place, limit int) ([]Tagged, error)
}

// Filter narrows a list of tags. A nil field matches all of them.
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
