//go:build !linux

package sandboxtest

import "errors"

func enter() error { return errors.New("only Linux has seccomp policies") }
