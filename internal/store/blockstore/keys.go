package blockstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/frame"
)

// DomainKeys opens the keys of domains anew, for those who have some that are out of
// date. keyring.Ring implements it. An error about a KMS key is its *keyring.Error.
type DomainKeys interface {
	// Renew returns a domain and its keys, of which the newest data key is another than
	// the stale one: it is made unless somebody else has made it.
	Renew(ctx context.Context, domain string, stale uint32) (Domain, *frame.Keys, error)
	// KeysWith returns the keys of a domain as they are stored now, unless those that
	// are in memory have the data key with a number.
	KeysWith(ctx context.Context, domain string, number uint32) (*frame.Keys, error)

	// Unwrap returns the keys that a pack's header has.
	Unwrap(ctx context.Context, header Domain) (*frame.Keys, error)
}

// domainKeys are a domain and its keys, which belong together.
type domainKeys struct {
	domain Domain
	keys   *frame.Keys // nil: nothing is encrypted
	copies bool        // the pack also gets frames of other packs
}

// use says what a pack uses into which at most n blocks are encrypted.
func (s *Store) use(k domainKeys, n int) (u KeyUse) {
	if k.copies {
		u.Oldest = k.domain.Oldest
	} else {
		u.Oldest = k.keys.Newest()
	}
	if k.keys != nil && k.keys.Cipher() != frame.None && n > 0 {
		u.Newest, u.Blocks, u.Limit = k.keys.Newest(), int64(n), s.keyBlocks
	}
	return u
}

// maxRenewals is how often a writer that starts a pack takes newer keys: while it opens
// them, others may have made newer ones.
const maxRenewals = 8

// renewing calls fn with keys, and again with newer ones as long as it fails with
// ErrStaleKey. It returns those that fn has succeeded with.
func (s *Store) renewing(ctx context.Context, k domainKeys, fn func(domainKeys) error) (domainKeys, error) {
	for tries := 0; ; tries++ {
		err := fn(k)
		if !errors.Is(err, ErrStaleKey) || s.Keys == nil || tries == maxRenewals {
			return k, err
		}
		d, keys, err := s.Keys.Renew(ctx, k.domain.ID, k.keys.Newest())
		if err != nil {
			return k, fmt.Errorf("taking a newer data key of domain %s: %w", k.domain.ID, err)
		}
		k.domain, k.keys = d, keys
	}
}

// Open is k.Open for a frame that was read from where it lies. A frame under a data key that
// k lacks is opened with the keys as they are stored now. A key that those lack too has been
// dropped, which the rows of the packs said could be done, or the database is older than the
// pack. Then those in the header of the frame's own pack open it; and also if the frame is as
// it was written and does not decrypt, since an older database has made another key of that
// number.
func (s *Store) Open(ctx context.Context, k *frame.Keys, at Location, framed, plain []byte, id block.ID) (payload []byte, digest block.Digest, err error) {
	err = s.opening(ctx, k, at, framed, id, func(k *frame.Keys) (err error) {
		payload, digest, err = k.Open(framed, plain, id)
		return err
	})
	return payload, digest, err
}

// Reencrypt is to.Reencrypt for a frame that was read from where it lies, which it opens as
// Open does.
func (s *Store) Reencrypt(ctx context.Context, to *frame.Keys, at Location, framed, plain, out []byte, id block.ID, scratch []byte) error {
	return s.opening(ctx, to, at, framed, id, func(k *frame.Keys) error { return to.Reencrypt(k, framed, plain, out, id, scratch) })
}

// opening calls open with k, and with other keys if those are not the frame's.
func (s *Store) opening(ctx context.Context, k *frame.Keys, at Location, framed []byte, id block.ID, open func(*frame.Keys) error) error {
	err := open(k)
	if err == nil || s.Keys == nil || k.Cipher() == frame.None {
		return err
	}
	missing, ok := errors.AsType[*frame.NoKeyError](err)
	if ok {
		k, kerr := s.Keys.KeysWith(ctx, at.File.Domain, missing.Key)
		if kerr != nil {
			return kerr
		}
		if err = open(k); err == nil {
			return nil
		}
		_, ok = errors.AsType[*frame.NoKeyError](err)
	}
	if !ok && !s.asWritten(ctx, at, framed, id) {
		return err
	}
	own, herr := s.headerKeys(ctx, at.File)
	if herr != nil {
		if !ok && (errors.Is(herr, ErrBadPack) || errors.Is(herr, ErrTruncated) || errors.Is(herr, ErrNotExist)) {
			return err // which says that the block is damaged
		}
		return herr
	}
	if oerr := open(own); oerr == nil || ok {
		return oerr
	}
	return err
}

// asWritten reads a frame anew that was not opened, and reports whether its checksums fit.
func (s *Store) asWritten(ctx context.Context, at Location, framed []byte, id block.ID) bool {
	if s.ReadAt(ctx, at.File, framed, int64(at.Off)*Align) != nil {
		return false
	}
	info, err := frame.Inspect(framed)
	return err == nil && info.ID == id
}

// headerKeys returns the keys in the header of a pack.
func (s *Store) headerKeys(ctx context.Context, f File) (*frame.Keys, error) {
	header := AlignedBytes(headerSize)
	if err := s.ReadAt(ctx, f, header, 0); err != nil {
		return nil, err
	}
	x, err := parseHeader(header)
	if err == nil && x.File != f {
		err = fmt.Errorf("%w: header of %s in domain %s, want %s in %s", ErrBadPack, x.File.Name(), x.File.Domain, f.Name(), f.Domain)
	}
	if err != nil {
		return nil, err
	}
	return s.Keys.Unwrap(ctx, x.Domain)
}
