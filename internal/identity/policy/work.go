package policy

import (
	"context"
	"errors"
	"sync/atomic"
)

// ErrTooCostly reports a request whose policies take too many steps to evaluate.
var ErrTooCostly = errors.New("the policies take too long to evaluate for this request")

const (
	// maxSteps is the number of steps that one request may take, over all its
	// documents and resources: about a tenth of a second. Ten policies of the
	// largest size with a thousand resources take a tenth of it, unless they were
	// made to take more.
	maxSteps = 1 << 26
	// pause is the number of steps between checks whether the request has ended.
	pause = 1 << 12
)

// Work tracks the cost of one evaluation, and when it must end. It belongs to one
// goroutine and lives as long as a call, which is why it holds a context.
type Work struct {
	ctx   context.Context
	bound *bound
	steps int
	told  int // how many of the steps have been reported to the bound
	err   error
}

// bound counts the steps of all evaluations of a request.
type bound struct{ steps atomic.Int64 }

type boundKey struct{}

// WithBound returns a context under which all evaluations together may take no more
// steps than a single one. It is for the context of a request.
func WithBound(ctx context.Context) context.Context {
	return context.WithValue(ctx, boundKey{}, &bound{})
}

// NewWork starts an evaluation that ends with ctx. If ctx comes from WithBound, the
// evaluation shares its bound.
func NewWork(ctx context.Context) *Work {
	b, ok := ctx.Value(boundKey{}).(*bound)
	if !ok {
		b = &bound{}
	}
	return &Work{ctx: ctx, bound: b, told: -pause} // check at the first step
}

// Err returns why the evaluation ended early, or nil. If it did, every document's
// decision is Deny.
func (w *Work) Err() error { return w.err }

// spend counts steps, before or after they are done. It returns false if the
// evaluation must end.
func (w *Work) spend(steps int) bool {
	w.steps += steps
	if w.err != nil || w.steps-w.told < pause {
		return w.err == nil
	}
	total := w.bound.steps.Add(int64(w.steps - max(w.told, 0)))
	w.told = w.steps
	if w.err = w.ctx.Err(); w.err == nil && total > maxSteps {
		w.err = ErrTooCostly
	}
	return w.err == nil
}
