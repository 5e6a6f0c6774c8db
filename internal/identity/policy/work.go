package policy

import (
	"context"
	"errors"
	"sync/atomic"
)

// ErrTooCostly reports a request whose policies take too many steps to evaluate.
var ErrTooCostly = errors.New("the policies take too long to evaluate for this request")

const (
	// maxSteps is what one request may cost, of all its documents and
	// resources together: about a tenth of a second. Ten policies of the largest
	// size and a thousand resources take a tenth of it, unless they are made to
	// take more.
	maxSteps = 1 << 26
	// pause is how many steps are done before somebody looks whether the request
	// has ended.
	pause = 1 << 12
)

// Work is one evaluation: what it has cost, and when it must end. It belongs to one
// goroutine and lives as long as a call, which is why it holds a context.
type Work struct {
	ctx   context.Context
	bound *bound
	steps int
	told  int // how many of them the bound knows of
	err   error
}

// bound counts the steps of all evaluations of a request.
type bound struct{ steps atomic.Int64 }

type boundKey struct{}

// WithBound returns a context under which all evaluations together may take as many
// steps as one: that of a request, however often it asks.
func WithBound(ctx context.Context) context.Context {
	return context.WithValue(ctx, boundKey{}, &bound{})
}

// NewWork begins an evaluation that ends with ctx, and shares the bound of its
// request if WithBound gave it one.
func NewWork(ctx context.Context) *Work {
	b, ok := ctx.Value(boundKey{}).(*bound)
	if !ok {
		b = &bound{}
	}
	return &Work{ctx: ctx, bound: b, told: -pause} // look at once
}

// Err returns why the evaluation ended early, or nil. All documents deny then.
func (w *Work) Err() error { return w.err }

// spend notes steps before or after they are done. It reports false when the
// evaluation is to end.
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
