package main

import (
	"reflect"
	"strings"
	"testing"
)

// TestEveryFlagOfServeHasAnEnvironmentVariable, as the README says: one that has none
// would be ignored in silence.
func TestEveryFlagOfServeHasAnEnvironmentVariable(t *testing.T) {
	once := map[string]bool{"AcceptOlderDatabase": true} // of a single start, never of all
	flags := reflect.TypeFor[serviceFlags]()
	for i := range flags.NumField() {
		f := flags.Field(i)
		_, hidden := f.Tag.Lookup("hidden")
		if env := f.Tag.Get("env"); !hidden && !once[f.Name] && !strings.HasPrefix(env, "DISKPORT_") {
			t.Errorf("%s has the environment variable %q", f.Name, env)
		}
	}
}
