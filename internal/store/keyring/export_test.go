package keyring

import (
	"context"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
)

// What the tests look into. They stand outside the package, since the database
// that some run on imports it.
var (
	SplitEnvelope = splitEnvelope
	DomainContext = domainContext
)

const (
	StateAge      = stateAge
	Attempts      = attempts
	MaxCiphertext = maxCiphertext
	EnvelopeHead  = envelopeHead
	SpareKeys     = spareKeys
)

// OpenEnvelope opens the wrapped keys of a row.
func (r *Ring) OpenEnvelope(ctx context.Context, row blockstore.Domain) (*frame.Keys, error) {
	return r.openEnvelope(ctx, row)
}

// Remembered is how many domains' keys are in memory.
func (r *Ring) Remembered() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}
