package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/spf13/pflag"
)

// configFile is a configuration file: names of flags with their values.
type configFile map[string]configValues

// configValues is one value, or those of a list, as they are written: an account's id
// keeps its zeros.
type configValues []string

// readConfig reads a configuration file, and refuses keys that are not settings of the
// service.
func readConfig(file string) (configFile, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c := configFile{}
	if err := yaml.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("reading the configuration %s: %w", file, err)
	}
	known := configKeys()
	for _, key := range slices.Sorted(maps.Keys(c)) {
		if slices.Contains(known, key) {
			continue
		}
		hint := didYouMean(key, known)
		if hint == "" {
			hint = "; known are " + list(known)
		}
		return nil, fmt.Errorf("unknown key %q in the configuration %s%s", key, file, hint)
	}
	return c, nil
}

// configKeys returns the flags that are settings of the service: those of serve, and
// of every subcommand.
func configKeys() []string {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	(&globals{}).declare(fs)
	(&serviceFlags{}).declare(fs)
	var keys []string
	fs.VisitAll(func(f *pflag.Flag) {
		if inFile(f) {
			keys = append(keys, f.Name)
		}
	})
	return keys
}

// mayBeInFile says that the configuration file may have the flags in fs. A flag of
// another command that happens to have the name of one of them has nothing from there.
func mayBeInFile(fs *pflag.FlagSet) {
	fs.VisitAll(func(f *pflag.Flag) { annotate(f, fileAnnotation, "true") })
}

func inFile(f *pflag.Flag) bool {
	return len(f.Annotations[fileAnnotation]) > 0 && len(envNames(f)) > 0 && f.Name != "config"
}

// apply gives flags that have no value yet those of the file.
func (c configFile) apply(fs *pflag.FlagSet) error {
	for _, key := range slices.Sorted(maps.Keys(c)) {
		f := fs.Lookup(key)
		if f == nil || f.Changed || !inFile(f) {
			continue
		}
		for _, value := range c[key] {
			if err := fs.Set(key, value); err != nil {
				return fmt.Errorf("the configuration: %w", err)
			}
		}
	}
	return nil
}

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (v *configValues) UnmarshalYAML(node ast.Node) error {
	nodes := []ast.Node{node}
	if list, ok := node.(*ast.SequenceNode); ok {
		nodes = list.Values
	}
	for _, n := range nodes {
		switch n := n.(type) {
		case *ast.NullNode: // as if the key were not there
		case *ast.LiteralNode:
			*v = append(*v, n.Value.Value)
		case ast.ScalarNode:
			*v = append(*v, n.GetToken().Value)
		default:
			return errors.New(n.GetPath() + " is neither a value nor a list of values")
		}
	}
	return nil
}
