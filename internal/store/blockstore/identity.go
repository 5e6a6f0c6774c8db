package blockstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
)

// Identified is a back end that says which store it keeps: it carries a random
// identity, beside the files and never listed among them. Attach compares it with
// the database's at every start. Every Backend is one; the suite is blobtest.
type Identified interface {
	Lister
	// Identity returns the identity that the store carries; empty if it has none.
	Identity(ctx context.Context) (string, error)
	// SetIdentity makes id, of 32 hexadecimal digits, the identity of a store that
	// has none. It returns the identity that the store carries from now on,
	// durably: when several callers give it one at once, all get that of the first.
	SetIdentity(ctx context.Context, id string) (string, error)
}

// Owner is the part of the database that Attach needs to find out whether a store
// is its own. The suite is catalogtest.
type Owner interface {
	// StoreIdentity returns the identity of the store that the database belongs to;
	// empty if it knows none yet.
	StoreIdentity(ctx context.Context) (string, error)
	// SetStoreIdentity is Identified.SetIdentity for the database.
	SetStoreIdentity(ctx context.Context, id string) (string, error)
	// KnownFiles returns those of the files that any row names: their own row, or
	// that of a block, page, root, draft or hold that lies in them.
	KnownFiles(ctx context.Context, ids []FileID) (map[FileID]bool, error)
	// ClosedFiles returns how many closed files the database knows.
	ClosedFiles(ctx context.Context) (int64, error)
}

// ErrNotOurs reports a store and a database that do not belong together. Its text
// says what to do.
var ErrNotOurs = errors.New("blockstore: store and database do not belong together")

// Attach makes sure that a store and a database belong together, before anything is
// written to the store or removed from it. where names the store in error texts.
//
// Both carry one random identity. A new database and a new store get one, the
// database first: so a store never carries an identity that no database has known,
// and a start that was cut off is completed by the next one. A store that has files
// and no identity, because it was made before there were identities, is adopted if
// the files are plausibly those that the database knows (Plausible). Everything
// else is an error that wraps ErrNotOurs: another store or database than at the
// last start, two services with databases of their own on one store, a database
// that was lost or replaced by an empty one, a store that is not mounted.
func Attach(ctx context.Context, where string, o Owner, s Identified) error {
	// The store's is read first, since it is given last: of nodes that start together on a new
	// database, none sees the store's alone.
	theirs, err := s.Identity(ctx)
	if err != nil {
		return fmt.Errorf("reading the identity of %s: %w", where, err)
	}
	ours, err := o.StoreIdentity(ctx)
	switch {
	case err != nil:
		return err
	case theirs != "" && theirs == ours:
		return nil
	case theirs != "" && ours != "":
		return foreign(ctx, where, ours, theirs, o, s)
	case theirs != "":
		return fmt.Errorf("%w: %s carries identity %s, but the database is new or empty: nothing was removed. "+
			"Bring back the database of this store; or, if it is lost, have a new one made from the store with diskport verify --rebuild; or start with an empty store", ErrNotOurs, where, theirs)
	}
	if err := adoptable(ctx, where, o, s); err != nil {
		return err
	}
	return identify(ctx, where, ours, o, s)
}

// Adopt makes a store that of a database which knows none, such as one that takes the place
// of a lost one: Attach accepts the two from then on.
func Adopt(ctx context.Context, o Owner, s Identified) error {
	ours, err := o.StoreIdentity(ctx)
	if err != nil || ours != "" {
		return err
	}
	theirs, err := s.Identity(ctx)
	if err == nil && theirs != "" {
		_, err = o.SetStoreIdentity(ctx, theirs)
	}
	return err
}

// identify gives store and database one identity; ours is the database's, if it
// has one.
func identify(ctx context.Context, where, ours string, o Owner, s Identified) (err error) {
	if ours == "" {
		var id [16]byte
		_, _ = rand.Read(id[:]) // never fails: it ends the process instead
		if ours, err = o.SetStoreIdentity(ctx, hex.EncodeToString(id[:])); err != nil {
			return err
		}
	}
	theirs, err := s.SetIdentity(ctx, ours)
	if err != nil {
		return fmt.Errorf("giving %s its identity: %w", where, err)
	}
	if theirs != ours {
		return fmt.Errorf("%w: another service took %s at this moment. Give each service a store of its own", ErrNotOurs, where)
	}
	return nil
}

// adoptable returns an error unless a store without an identity may be the
// database's.
func adoptable(ctx context.Context, where string, o Owner, s Lister) error {
	known, unknown, err := closedFiles(ctx, o, s)
	if err != nil {
		return fmt.Errorf("looking through %s: %w", where, err)
	}
	rows, err := o.ClosedFiles(ctx)
	switch {
	case err != nil:
		return err
	case known == 0 && unknown == 0 && rows > 0:
		return fmt.Errorf("%w: %s is empty, but the database knows %d files in it. "+
			"Is it mounted? Bring the store back, or start with a new database", ErrNotOurs, where, rows)
	case !Plausible(known, unknown):
		return fmt.Errorf("%w: the database does not know %d of the %d files in %s: nothing was removed. "+
			"Bring back the database of this store, or start with an empty store", ErrNotOurs, unknown, known+unknown, where)
	}
	return nil
}

// foreign refuses a store that carries another identity than the database. One whose files
// are the database's has lost a bit of it.
func foreign(ctx context.Context, where, ours, theirs string, o Owner, s Lister) error {
	known, unknown, err := closedFiles(ctx, o, s)
	if err != nil {
		return fmt.Errorf("looking through %s: %w", where, err)
	}
	advice := "Start with the database that belongs to this store, or give this database its own store"
	if known > 0 && Plausible(known, unknown) {
		advice = fmt.Sprintf("But it knows %d of the %d files there, so if no other service uses them, the identity is damaged: remove what carries it, which is named identity, and start again; then it is written anew", known, known+unknown)
	}
	return fmt.Errorf("%w: %s carries identity %s, the database is of store %s. %s", ErrNotOurs, where, theirs, ours, advice)
}

// few is how many files may be unknown by accident.
const few = 16

// Plausible reports whether a database that knows this many of the closed files in
// a store, and does not know the others, can be the one that the store was written
// with. In the life of a store a closed file never loses its row before it is
// removed, so unknown files mean a damaged or an older database: up to 16 of them,
// if there are more known ones, are taken for damage; otherwise the database is
// taken for another or an older one.
func Plausible(known, unknown int) bool {
	return unknown == 0 || unknown <= few && unknown < known
}

// closedFiles counts the closed files of a store by whether the database knows
// them. What is not named as a file of the store does not count.
func closedFiles(ctx context.Context, o Owner, s Lister) (known, unknown int, err error) {
	err = EachFile(ctx, s, func(batch []FoundFile) error {
		ids := make([]FileID, 0, len(batch))
		for _, f := range batch {
			if f.Closed {
				ids = append(ids, f.ID)
			}
		}
		rows, err := o.KnownFiles(ctx, ids)
		for _, id := range ids {
			if rows[id] {
				known++
			} else {
				unknown++
			}
		}
		return err
	})
	return known, unknown, err
}

// FoundFile is a file that a back end lists and that is named as a file of the
// store.
type FoundFile struct {
	File
	Bytes  int64 // as in Entry
	Closed bool
}

// Lister lists files, as Backend does.
type Lister interface {
	List(ctx context.Context, fn func(Entry) error) error
}

// EachFile calls fn with the files that are named as files of the store, a few
// hundred at a time. Anything else that lies there is passed over.
func EachFile(ctx context.Context, s Lister, fn func([]FoundFile) error) error {
	const batch = 256
	var some []FoundFile
	err := s.List(ctx, func(e Entry) error {
		f, ok := ParseName(e.Name)
		if !ok {
			return nil
		}
		if some = append(some, FoundFile{f, e.Bytes, e.Closed}); len(some) < batch {
			return nil
		}
		full := some
		some = nil
		return fn(full)
	})
	if err != nil || len(some) == 0 {
		return err
	}
	return fn(some)
}
