package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestDeployNamesWhatThereIs: every variable in the files for containers is one that the
// program reads.
func TestDeployNamesWhatThereIs(t *testing.T) {
	known := variables(newRoot(&app{}, subcommands()...))
	name := regexp.MustCompile(`\bDISKPORT_[A-Z_]+`)
	found := 0
	for _, pattern := range []string{"compose/compose.yaml", "compose/secrets", "kubernetes/*.yaml", "container/*"} {
		paths, err := filepath.Glob(filepath.Join("../../deploy", pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, variable := range name.FindAllString(string(text), -1) {
				found++
				if !slices.Contains(known, variable) {
					t.Errorf("%s: there is no variable %s", path, variable)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("%d variables were found", found)
	}
}
