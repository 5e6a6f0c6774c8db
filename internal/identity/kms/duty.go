package kms

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/work"
)

// purgeEvery is the longest that a key may outlive its waiting period, which is a
// week or more, and that a rotation may be late.
const purgeEvery = time.Hour

// Handlers returns the handlers with which a runner processes the units of the KMS.
func (s *Service) Handlers() map[work.Kind]work.Handler {
	return map[work.Kind]work.Handler{work.Purge: {Do: s.purge, Every: purgeEvery}}
}

func (s *Service) purge(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
	n, err := s.Purge(ctx)
	if err == nil && n > 0 {
		h.Log.Info("destroyed KMS keys whose waiting period is over", "keys", n)
	}
	if err != nil {
		return next, false, err
	}
	n, err = s.RotateOverdue(ctx)
	if n > 0 {
		h.Log.Info("rotated KMS keys whose time had come", "keys", n)
	}
	return next, false, err
}
