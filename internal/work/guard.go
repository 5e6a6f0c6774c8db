package work

import (
	"fmt"
	"runtime/debug"
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
