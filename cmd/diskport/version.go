package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type versionCmd struct {
	JSON bool
}

func (c *versionCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version.",
		RunE:  func(*cobra.Command, []string) error { return c.run(a) },
	}
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// run prints the version that the build recorded.
func (c *versionCmd) run(a *app) error {
	v := struct {
		Version  string `json:"version"`
		Revision string `json:"revision,omitempty"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
	}{Version: version(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value
			}
		}
	}
	if c.JSON {
		return a.printJSON(v)
	}
	_, err := fmt.Fprintf(a.stdout, "diskport %s %s %s %s\n", v.Version, v.Revision, v.Go, v.Platform)
	return err
}

// version returns the version that the build recorded.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}

// userAgent is how this program names itself to services.
func userAgent() string {
	return "diskport/" + version() + " (" + runtime.GOOS + "/" + runtime.GOARCH + ")"
}
