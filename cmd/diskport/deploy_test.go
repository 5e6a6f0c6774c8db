package main

import (
	"os"
	"os/exec"
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

// deployed returns what a pattern finds in a file of deploy: its groups, of each place.
func deployed(t *testing.T, path, pattern string) (found [][]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../deploy", path))
	if err != nil {
		t.Fatal(err)
	}
	if found = regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1); len(found) == 0 {
		t.Fatalf("%s has no %s", path, pattern)
	}
	return found
}

// TestDataIsNoVolumeOfRoots: a pod's volume is root's, and a node, which is not root there, can't
// make it its own.
func TestDataIsNoVolumeOfRoots(t *testing.T) {
	data := deployed(t, "kubernetes/diskport.yaml", `name: DISKPORT_DATA, value: (\S+)}`)[0][1]
	inside := false
	for _, mount := range deployed(t, "kubernetes/diskport.yaml", `mountPath: (\S+?)[,}]`) {
		inside = inside || filepath.Dir(data) == mount[1]
		if data == mount[1] {
			t.Errorf("%s is a volume", data)
		}
	}
	if !inside {
		t.Errorf("%s is in no volume", data)
	}
}

// TestTheFrontAsksEachNode whether it is ready, which Caddy does of those that it is given by name.
func TestTheFrontAsksEachNode(t *testing.T) {
	replicas := deployed(t, "compose/compose.yaml", `replicas: (\d+)`)[0][1]
	nodes := deployed(t, "compose/Caddyfile", `diskport-node-(\d+):4580`)
	if last := nodes[len(nodes)-1][1]; last != replicas {
		t.Errorf("the Caddyfile names %s nodes, and there are %s", last, replicas)
	}
	deployed(t, "compose/Caddyfile", `health_uri /-/ready`)
}

// TestKeysOfCompose: whoever asks the nodes or the S3, in the files and as they say it is done,
// has the keys that these were given.
func TestKeysOfCompose(t *testing.T) {
	dir := t.TempDir()
	script, err := os.ReadFile("../../deploy/compose/secrets")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secrets"), script, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("sh", filepath.Join(dir, "secrets")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	key := func(name, prefix string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name+".env"))
		if err != nil {
			t.Fatal(err)
		}
		id := regexp.MustCompile(`(?m)^` + prefix + `ACCESS_KEY_ID=(\S+)$`).FindSubmatch(text)
		secret := regexp.MustCompile(`(?m)^` + prefix + `SECRET_ACCESS_KEY=(\S+)$`).FindSubmatch(text)
		if id == nil || secret == nil {
			t.Fatalf("%s.env has no key %s", name, prefix)
		}
		return string(id[1]) + " " + string(secret[1])
	}
	nodes, s3 := key("node", "DISKPORT_ROOT_"), key("s3", "DISKPORT_ROOT_")
	if key("client", "AWS_") != nodes || nodes == s3 {
		t.Error("clients have another key than the nodes")
	}
	for _, of := range []string{key("buckets", "AWS_"), key("node", "DISKPORT_STORE_"), key("node", "DISKPORT_SOURCE_")} {
		if of != s3 {
			t.Error("the S3 is asked with another key than it has")
		}
	}
	deployed(t, "compose/compose.yaml", `\. \./buckets\.env; aws --endpoint-url http://localhost:4590 s3 mb`)
}
