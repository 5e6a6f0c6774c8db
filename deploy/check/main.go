// Command check checks the files of deploy: the Compose file against its specification's schema,
// the Kubernetes manifests against the types of its API, strictly, so that a field that does not
// exist is an error. It is a module of its own, so that what it needs is no dependency of
// Diskport's.
//
//	cd deploy/check && go run .
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/cli"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := errors.Join(compose("../compose/compose.yaml"), kubernetes("../kubernetes/*.yaml")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// compose loads the file as Compose does. Files that only a user has are empty here.
func compose(path string) error {
	dir, err := os.MkdirTemp("", "compose-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(filepath.Dir(path))); err != nil {
		return err
	}
	for _, name := range []string{"node.env", "s3.env", "buckets.env", "master.key", "database.password"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			return err
		}
	}
	options, err := cli.NewProjectOptions([]string{filepath.Join(dir, filepath.Base(path))}, cli.WithWorkingDirectory(dir))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if _, err := project.GetServices("database", "s3", "node", "front"); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// kinds are the types of what is in the manifests.
var kinds = map[string]func() any{
	"apps/v1 Deployment":            func() any { return &appsv1.Deployment{} },
	"v1 Service":                    func() any { return &corev1.Service{} },
	"v1 Secret":                     func() any { return &corev1.Secret{} },
	"v1 ConfigMap":                  func() any { return &corev1.ConfigMap{} },
	"policy/v1 PodDisruptionBudget": func() any { return &policyv1.PodDisruptionBudget{} },
}

func kubernetes(pattern string) error {
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		return errors.Join(err, fmt.Errorf("no files match %s", pattern))
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for n, document := range bytes.Split(text, []byte("\n---\n")) {
			if err := manifest(document); err != nil {
				return fmt.Errorf("%s, document %d: %w", path, n+1, err)
			}
		}
	}
	return nil
}

func manifest(document []byte) error {
	var of metav1.TypeMeta
	if err := yaml.Unmarshal(document, &of); err != nil {
		return err
	}
	if of.Kind == "" {
		return nil // comments
	}
	make, ok := kinds[of.APIVersion+" "+of.Kind]
	if !ok {
		return fmt.Errorf("no type for %s %s", of.APIVersion, of.Kind)
	}
	return yaml.UnmarshalStrict(document, make())
}
