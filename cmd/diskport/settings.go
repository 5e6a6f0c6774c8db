package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A flag has its value from the command line, else from its environment variable,
// else from the configuration file, else it is the default. A variable that is empty
// counts as not set. Whoever names a data directory on the command line means the service
// on it: an endpoint that is not named there too does not count.

// envPrefix begins the name of every environment variable that is Diskport's own.
const envPrefix = "DISKPORT_"

// setEnv names the environment variables of a flag, the first of which that is set
// counts. A flag with none is one for a single call: it has no variable, and no key in
// the configuration file. Without setEnv a flag has DISKPORT_ and its name.
func setEnv(fs *pflag.FlagSet, flag string, names ...string) {
	annotate(fs.Lookup(flag), envAnnotation, names...)
}

// envNames returns the environment variables of a flag.
func envNames(f *pflag.Flag) []string {
	if names, ok := f.Annotations[envAnnotation]; ok {
		return names
	}
	if f.Name == "help" {
		return nil
	}
	return []string{envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))}
}

// keyVariables are the environment variables that are read without being a flag's,
// since other users can see command lines.
func keyVariables() []string {
	return []string{
		envRootKeyID, envRootSecret,
		envSource + "ACCESS_KEY_ID", envSource + "SECRET_ACCESS_KEY", envSource + "SESSION_TOKEN",
		envKMS + "ACCESS_KEY_ID", envKMS + "SECRET_ACCESS_KEY", envKMS + "SESSION_TOKEN",
		envAudit + "ACCESS_KEY_ID", envAudit + "SECRET_ACCESS_KEY", envAudit + "SESSION_TOKEN",
		envStore + "ACCESS_KEY_ID", envStore + "SECRET_ACCESS_KEY", envStore + "SESSION_TOKEN",
		envBackup + "ACCESS_KEY_ID", envBackup + "SECRET_ACCESS_KEY", envBackup + "SESSION_TOKEN",
	}
}

// notForUs reports whether a variable that begins as Diskport's do is for the
// project's tests, or one of those that Kubernetes sets in every container beside a
// service called diskport.
func notForUs(variable string) bool {
	switch name := strings.TrimPrefix(variable, envPrefix); name {
	case "CORPUS", "SERVICE_HOST", "SERVICE_PORT", "PORT":
		return true
	default:
		return strings.HasPrefix(name, "TEST_") || strings.HasPrefix(name, "SERVICE_PORT_") || strings.HasPrefix(name, "PORT_")
	}
}

// settle gives the flags of cmd that are not on the command line their values.
func (a *app) settle(cmd *cobra.Command) error {
	if err := checkVariables(os.Environ(), variables(cmd.Root())); err != nil {
		return err
	}
	onData := isGiven(cmd, "data") && !isGiven(cmd, "endpoint")
	if err := fromEnvironment(cmd.Flags()); err != nil {
		return err
	}
	if a.Config != "" {
		var err error
		if a.file, err = readConfig(a.Config); err != nil {
			return err
		}
	}
	err := a.file.apply(cmd.Flags())
	if onData {
		a.Endpoint = ""
	}
	return err
}

// isGiven reports whether a flag has a value: before the environment is read, one from the
// command line.
func isGiven(cmd *cobra.Command, flag string) bool {
	f := cmd.Flags().Lookup(flag)
	return f != nil && f.Changed
}

// fromEnvironment gives flags that have no value yet those of their environment
// variables.
func fromEnvironment(fs *pflag.FlagSet) error {
	var failed []error
	fs.VisitAll(func(f *pflag.Flag) {
		for _, name := range envNames(f) {
			if value := os.Getenv(name); value != "" && !f.Changed {
				if err := fs.Set(f.Name, value); err != nil {
					failed = append(failed, fmt.Errorf("%s: %w", name, err))
				}
			}
		}
	})
	return errors.Join(failed...)
}

// variables returns the environment variables that are read: keys, and those of all
// flags of cmd and of the commands below it.
func variables(cmd *cobra.Command) []string {
	known := keyVariables()
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		add := func(f *pflag.Flag) { known = append(known, envNames(f)...) }
		cmd.PersistentFlags().VisitAll(add)
		cmd.Flags().VisitAll(add)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(cmd)
	return known
}

// checkVariables refuses variables of an environment that begin as Diskport's do and
// are not known: a name that is misspelt would be ignored in silence.
func checkVariables(environ, known []string) error {
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if value == "" || !strings.HasPrefix(name, envPrefix) || slices.Contains(known, name) || notForUs(name) {
			continue
		}
		return fmt.Errorf("unknown environment variable %s%s", name, didYouMean(name, known))
	}
	return nil
}
