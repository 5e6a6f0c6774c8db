//go:build profile

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
)

// startProfile profiles this process if $PROFILES names a folder: stop writes there what was
// profiled, in files that are called after the subcommand and the process, COMMAND-PID.cpu and
// COMMAND-PID.allocs. Only a program built with -tags profile does so, which make profile does.
func startProfile() (stop func()) {
	dir := os.Getenv("PROFILES")
	if dir == "" || len(os.Args) < 2 {
		return func() {}
	}
	name := filepath.Join(dir, fmt.Sprintf("%s-%d", os.Args[1], os.Getpid()))
	cpu, err := os.Create(name + ".cpu")
	if err == nil {
		err = pprof.StartCPUProfile(cpu)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "diskport: profiling:", err)
		return func() {}
	}
	return func() {
		pprof.StopCPUProfile()
		err := cpu.Close()
		allocs, aerr := os.Create(name + ".allocs")
		if aerr == nil {
			runtime.GC() // what is not freed yet counts as in use
			aerr = errors.Join(pprof.Lookup("allocs").WriteTo(allocs, 0), allocs.Close())
		}
		if err = errors.Join(err, aerr); err != nil {
			fmt.Fprintln(os.Stderr, "diskport: profiling:", err)
		}
	}
}
