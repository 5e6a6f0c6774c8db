package secret

import (
	"context"
	"fmt"
)

// Kept is a secret at rest.
type Kept struct {
	Owner   []string // what names its row, and from which its associated data is made
	Wrapped []byte
}

// Shelf keeps secrets of one sort, each wrapped under the same key. Its methods are one
// transaction each, and may be called concurrently with whatever changes them.
type Shelf interface {
	// Kept returns at most limit secrets behind the one with an owner, in the order of
	// their owners; nil is before the first.
	Kept(ctx context.Context, after []string, limit int) ([]Kept, error)
	// Replace replaces what a secret is wrapped to, unless it has changed or is gone.
	Replace(ctx context.Context, k Kept, wrapped []byte) error
}

// rewrapped is how many secrets are read at a time.
const rewrapped = 256

// Each calls fn with all secrets of a shelf, and returns how many it has taken without an
// error.
func Each(ctx context.Context, s Shelf, fn func(Kept) error) (total int, err error) {
	for after := []string(nil); ; {
		some, err := s.Kept(ctx, after, rewrapped)
		if err != nil {
			return total, err
		}
		for _, k := range some {
			if err := fn(k); err != nil {
				return total, err
			}
			total++
		}
		if len(some) < rewrapped {
			return total, nil
		}
		after = some[len(some)-1].Owner
	}
}

// Rewrap wraps all secrets of a shelf anew, under the key that w wraps with now, and
// returns how many there were. associated returns the associated data of an owner's. It
// may stop anywhere and be run again.
func Rewrap(ctx context.Context, s Shelf, w Wrapper, associated func(owner []string) []byte) (total int, err error) {
	return Each(ctx, s, func(k Kept) error {
		bound := associated(k.Owner)
		plain, err := w.Unwrap(k.Wrapped, bound)
		if err != nil {
			return fmt.Errorf("secret: wrapping that of %q anew: %w", k.Owner, err)
		}
		defer clear(plain)
		return s.Replace(ctx, k, w.Wrap(plain, bound))
	})
}
