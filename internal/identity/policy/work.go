package policy

import (
	"context"
	"errors"
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
	pause = 1 << 14
)

// Work is the evaluation of one request: what it has cost, and when it must end.
// It belongs to one goroutine and lives as long as a call, which is why it holds
// a context.
type Work struct {
	ctx   context.Context
	steps int
	next  int // look at the context when so many are done
	err   error
}

// NewWork begins an evaluation that ends with ctx.
func NewWork(ctx context.Context) *Work { return &Work{ctx: ctx} }

// Err returns why the evaluation ended early, or nil. All documents deny then.
func (w *Work) Err() error { return w.err }

// spend notes steps before or after they are done. It reports false when the
// evaluation is to end.
func (w *Work) spend(steps int) bool {
	w.steps += steps
	if w.steps < w.next || w.err != nil {
		return w.err == nil
	}
	w.next = w.steps + pause
	if w.err = w.ctx.Err(); w.err == nil && w.steps > maxSteps {
		w.err = ErrTooCostly
	}
	return w.err == nil
}
