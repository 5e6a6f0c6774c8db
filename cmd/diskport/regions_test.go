package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRegionOfACommand: what says which region a command is about, and which is the
// service's own.
func TestRegionOfACommand(t *testing.T) {
	for _, tt := range []struct {
		name, flag, env, older, file string
		about, own                   string
	}{
		{name: "nothing", about: "us-east-1", own: "us-east-1"},
		{name: "the data directory", file: "eu-west-1", about: "eu-west-1", own: "eu-west-1"},
		{name: "the environment", env: "sa-east-1", file: "eu-west-1", about: "sa-east-1", own: "eu-west-1"},
		{name: "the older variable", older: "sa-east-1", file: "eu-west-1", about: "sa-east-1", own: "eu-west-1"},
		{name: "the flag", flag: "local-1", env: "sa-east-1", file: "eu-west-1", about: "local-1", own: "local-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("AWS_REGION", tt.env)
			t.Setenv("AWS_DEFAULT_REGION", tt.older)
			a := &app{globals: globals{Region: tt.flag, Data: t.TempDir()}}
			if tt.file != "" {
				if err := os.WriteFile(filepath.Join(a.Data, "region"), []byte(tt.file+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if about, own := a.clientRegion(), a.ownRegion(); about != tt.about || own != tt.own {
				t.Errorf("about %s and %s, want %s and %s", about, own, tt.about, tt.own)
			}
		})
	}
}

func TestRegionsAreASetting(t *testing.T) {
	c, err := parse(t, "regions: [eu-west-1, eu-west-2]\n")
	if got := strings.Join(c.Regions, " "); err != nil || got != "eu-west-1 eu-west-2" {
		t.Errorf("from the file: %q, %v", got, err)
	}
	c, err = parse(t, "", "--regions=eu-west-1,eu-west-2")
	if got := strings.Join(c.Regions, " "); err != nil || got != "eu-west-1 eu-west-2" {
		t.Errorf("from the line: %q, %v", got, err)
	}
}
