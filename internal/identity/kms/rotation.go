package kms

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/diskport/diskport/internal/identity/secret"
)

// AWS's limits on rotations.
const (
	minPeriod     = 90 // days
	maxPeriod     = 2560
	usualPeriod   = 365 // also that of AWS managed keys
	maxOnDemand   = 25  // of one key
	rotationBatch = 64
)

// MaterialID returns the id of a version of k's material, or "" if there is none.
func (k Key) MaterialID(version int) string {
	if k.wrapped(version) == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(k.ARN() + ":" + strconv.Itoa(version)))
	return hex.EncodeToString(sum[:])
}

// rotatable returns nil if keys such as k can be rotated.
func (k Key) rotatable() error {
	if err := k.symmetric(); err != nil {
		return err
	}
	if k.Origin != FromKMS {
		return failed(ErrUnsupported, "%s origin is %s which is not valid for this operation.", k.ARN(), k.Origin)
	}
	return nil
}

func (k Key) symmetric() error {
	if k.Spec != Symmetric {
		return failed(ErrUnsupported, "You cannot perform this operation on an asymmetric or HMAC key.")
	}
	return nil
}

// Rotates reports whether k is rotated automatically: as at AWS, not while its deletion
// is pending. It fails for keys that are not symmetric.
func (k Key) Rotates() (bool, error) {
	return k.RotationPeriod > 0 && k.State != PendingDeletion, k.symmetric()
}

// rotateEvery makes k be rotated automatically, days after a time and every days then.
func (k *Key) rotateEvery(days int, from time.Time) {
	k.RotationPeriod, k.NextRotation = days, from.Add(time.Duration(days)*24*time.Hour)
}

// changeRotation changes how a key that is enabled is rotated.
func (s *Service) changeRotation(ctx context.Context, r Ref, change func(*Key) error) error {
	return s.change(ctx, r, func(k *Key) error {
		if err := k.rotatable(); err != nil {
			return err
		}
		if err := k.stateError(); err != nil {
			return err
		}
		return change(k)
	})
}

// EnableRotation makes a key be rotated automatically every so many days; 0 means a
// year. Where that is so already, the next rotation stays.
func (s *Service) EnableRotation(ctx context.Context, r Ref, days int) error {
	if days == 0 {
		days = usualPeriod
	}
	if err := between("rotationPeriodInDays", days, minPeriod, maxPeriod); err != nil {
		return err
	}
	return s.changeRotation(ctx, r, func(k *Key) error {
		if k.RotationPeriod != days {
			k.rotateEvery(days, s.now())
		}
		return nil
	})
}

// DisableRotation ends the automatic rotations of a key.
func (s *Service) DisableRotation(ctx context.Context, r Ref) error {
	return s.changeRotation(ctx, r, func(k *Key) error {
		k.RotationPeriod, k.NextRotation = 0, time.Time{}
		return nil
	})
}

// RotateNow gives a key new material. Automatic rotations come when they would have
// come anyway.
func (s *Service) RotateNow(ctx context.Context, r Ref) error {
	return s.changeRotation(ctx, r, func(k *Key) error {
		before := 0
		for _, each := range k.Rotations {
			if each.Type == OnDemand {
				before++
			}
		}
		if before >= maxOnDemand {
			return failed(ErrLimit, "A key can be rotated on demand no more than %d times", maxOnDemand)
		}
		s.rotate(k, OnDemand)
		return nil
	})
}

// rotate adds a version of k's material.
func (s *Service) rotate(k *Key, t RotationType) {
	version := k.Version() + 1
	k.Rotations = append(k.Rotations[:len(k.Rotations):len(k.Rotations)], Rotation{At: s.now(), Type: t, Wrapped: s.newMaterial(k.Ref, version)})
}

// newMaterial makes a version of a key's material, wrapped.
func (s *Service) newMaterial(r Ref, version int) []byte {
	material := s.random(secret.KeySize)
	defer clear(material)
	return s.opts.Wrapper.Wrap(material, r.purpose(version))
}

// RotateOverdue rotates the keys whose time has come, and returns how many there were.
// It runs periodically.
func (s *Service) RotateOverdue(ctx context.Context) (n int, err error) {
	for {
		due, err := s.opts.Store.Overdue(ctx, s.aged(), rotationBatch)
		if err != nil {
			return n, fmt.Errorf("kms: looking for keys to rotate: %w", err)
		}
		before := n
		for _, r := range due {
			rotated, err := s.rotateIfDue(ctx, r)
			if err != nil {
				return n, fmt.Errorf("kms: rotating %s: %w", r.ARN(), err)
			}
			if rotated {
				n++
			}
		}
		if len(due) < rotationBatch || n == before {
			return n, nil
		}
	}
}

// rotateIfDue rotates a key, unless it was rotated or changed meanwhile.
func (s *Service) rotateIfDue(ctx context.Context, r Ref) (rotated bool, err error) {
	err = s.opts.Store.ChangeKey(ctx, r, func(k *Key) error {
		rotated = k.State == Enabled && k.RotationPeriod > 0 && !k.NextRotation.After(s.aged())
		if rotated {
			s.rotate(k, Automatic)
			k.rotateEvery(k.RotationPeriod, s.now())
		}
		return nil
	})
	return rotated, err
}
