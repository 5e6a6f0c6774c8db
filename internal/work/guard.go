package work

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// PanicError is a panic that was caught, so that it fails a unit and not the
// process.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Guard calls fn and returns its error, or its panic as a *PanicError. Every
// goroutine that looks into an image runs under a guard.
func Guard(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{p, debug.Stack()}
		}
	}()
	return fn()
}

// leaveAfter is how long a step that looks into an image may go on once it was told to
// stop. One that reads is told by its next read.
const leaveAfter = 30 * time.Second

// StuckError reports a step that neither returned nor read anything when it was told to
// stop. Its goroutine is left behind, since Go can't end it.
type StuckError struct{ Step string }

func (e *StuckError) Error() string {
	return e.Step + " did not return after it was told to stop"
}

// Within is Guard for a step that looks into an image and may never return, whatever
// ctx says: it is left behind some time after ctx ended, and a *StuckError is returned. So
// fn must not write to what its caller goes on with; what it makes, it returns. The caller
// bounds ctx. While there are too many strays fn is not called, which is a *StraysError.
func Within[T any](ctx context.Context, strays *Strays, step string, fn func() (T, error)) (T, error) {
	var none T
	if err := strays.Full(); err != nil {
		return none, err
	}
	type result struct {
		value T
		err   error
	}
	ended := make(chan result, 1)
	go func() {
		var r result
		r.err = Guard(func() (err error) {
			r.value, err = fn()
			return err
		})
		ended <- r
	}()
	select {
	case r := <-ended:
		return r.value, r.err
	case <-ctx.Done():
	}
	late := time.NewTimer(leaveAfter)
	defer late.Stop()
	select {
	case r := <-ended:
		return r.value, r.err
	case <-late.C:
		strays.add(1)
		go func() { // ends with the step
			<-ended
			strays.add(-1)
		}()
		return none, &StuckError{step}
	}
}
