package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
)

// configFile is a configuration file: flag names with their values.
type configFile map[string]any

var _ kong.Resolver = configFile(nil)

func readConfig(r io.Reader) (kong.Resolver, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c := configFile{}
	if err := yaml.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return c, nil
}

// Validate refuses keys that are not settings of the service.
func (c configFile) Validate(grammar *kong.Application) error {
	known := configKeys(grammar.Node)
	for key := range c {
		if !slices.Contains(known, key) {
			return fmt.Errorf("unknown key %q in the configuration; known are %s", key, strings.Join(known, ", "))
		}
	}
	return nil
}

// configKeys returns the flags of the service: those of serve, and of every
// subcommand.
func configKeys(root *kong.Node) []string {
	flags := root.Flags
	for _, cmd := range root.Children {
		if cmd.Name == "serve" {
			flags = append(slices.Clone(flags), cmd.Flags...)
		}
	}
	var keys []string
	for _, f := range flags {
		if f.Name != "help" && f.Name != "config" {
			keys = append(keys, f.Name)
		}
	}
	slices.Sort(keys)
	return keys
}

// Resolve returns the file's value for a flag, unless the environment has one.
func (c configFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return nil, nil //nolint:nilnil // tells kong that the file has no value
		}
	}
	return c[flag.Name], nil
}
