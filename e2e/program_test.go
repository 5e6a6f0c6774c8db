package e2e

import (
	"debug/elf"
	"os/exec"
	"strings"
	"testing"
)

// TestTheLinkerDropsMethods that nobody calls. It keeps every exported method of every
// type, which was a fifth of the program, as soon as anything that is reachable calls
// methods by names that are no constants: text/template does. What does so is in
// go build -ldflags=-dumpdep ./cmd/diskport 2>&1 | grep ReflectMethod
func TestTheLinkerDropsMethods(t *testing.T) {
	path, err := exec.LookPath("diskport")
	if err != nil {
		t.Fatal(err)
	}
	program, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	symbols, err := program.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	const client = "github.com/aws/aws-sdk-go-v2/service/s3.(*Client)."
	called := false
	for _, s := range symbols {
		called = called || s.Name == client+"HeadObject"
		if strings.HasPrefix(s.Name, client+"PutBucketWebsite") || strings.HasPrefix(s.Name, "text/template.(*state).") {
			t.Errorf("%s is in the program", s.Name)
		}
	}
	if !called {
		t.Error("no method of the S3 client was found")
	}
}
