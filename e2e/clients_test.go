package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// recipe is a page of docs/clients that is being followed.
type recipe struct {
	*service
	dir string // where the page's files are, and its commands run
	raw string // the disk that is in disk.raw and disk.vmdk there
}

// recipes has a line for each page of docs/clients: what must be true once it has
// been followed to its end. That no command failed proves little.
var recipes = map[string]func(*testing.T, *recipe){
	"ansible": func(t *testing.T, r *recipe) {
		r.readBack(t, "back.vmdk", "disk.vmdk")
		r.imported(t, 1)
		r.hasImage(t, "web")
	},
	"aws-cli": func(t *testing.T, r *recipe) {
		r.readBack(t, "back.raw", "disk.raw")
		r.imported(t, 0)
	},
	"barman": func(t *testing.T, r *recipe) {
		r.readBack(t, "restored", "000000010000000000000001")
	},
	"boto3": func(t *testing.T, r *recipe) {
		r.readBack(t, "back.raw", "disk.raw")
		r.imported(t, 1)
		r.inParts(t, "disk.vmdk")
	},
	"curl": func(t *testing.T, r *recipe) {
		r.readBack(t, "back.raw", "disk.raw")
		r.readBack(t, "back.vmdk", "disk.vmdk")
		r.imported(t, 1)
	},
	"duplicity": func(t *testing.T, r *recipe) {
		r.readBack(t, "restored/disk.raw", "disk.raw")
		r.readBack(t, "restored/disk.vmdk", "disk.vmdk")
	},
	"go": func(t *testing.T, r *recipe) {
		r.readBack(t, "back.raw", "disk.raw")
		r.imported(t, 1)
	},
	"javascript": func(t *testing.T, r *recipe) {
		r.readBack(t, "back.raw", "disk.raw")
		r.imported(t, 1)
		r.inParts(t, "disk.vmdk")
	},
	"libcloud": func(t *testing.T, r *recipe) {
		r.readBack(t, "back.vmdk", "disk.vmdk")
		r.imported(t, 1)
		r.inParts(t, "disk.vmdk")
	},
	"pgbackrest": func(t *testing.T, r *recipe) {
		if conf := r.written(t, "restored/postgresql.conf"); !strings.HasSuffix(conf, "# later\n") {
			t.Error("what came later was not restored")
		}
		list, err := r.S3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("backups"), Prefix: aws.String("web/backup/web/")})
		if err != nil || len(list.Contents) < 5 {
			t.Errorf("the bucket has %d objects of backups, %v", len(list.Contents), err)
		}
	},
	"rclone": func(t *testing.T, r *recipe) {
		r.readBack(t, "back.vmdk", "disk.vmdk")
		r.imported(t, 1)
		r.inParts(t, "disk.vmdk")
		if left := r.written(t, "left"); left != "disk.vmdk\n" {
			t.Errorf("after the last sync the bucket has %q", left)
		}
	},
	"restic": func(t *testing.T, r *recipe) {
		for _, name := range []string{"disk.raw", "disk.vmdk"} {
			r.readBack(t, filepath.Join("restored", name), name)
		}
		if second := r.written(t, "second"); !strings.Contains(second, `"data_added":0,`) {
			t.Errorf("the second backup says %s", second)
		}
	},
	"s3cmd": func(t *testing.T, r *recipe) {
		r.readBack(t, "back.raw", "disk.raw")
		r.readBack(t, "back.vmdk", "disk.vmdk")
		r.imported(t, 1)
		r.inParts(t, "disk.vmdk")
	},
	"s3fs": func(t *testing.T, r *recipe) {
		r.readBack(t, "back.raw", "disk.raw")
		r.imported(t, 1)
	},
	"terraform": func(t *testing.T, r *recipe) {
		r.readBack(t, "back.raw", "disk.raw")
		r.readBack(t, "encrypted.raw", "disk.raw")
		r.imported(t, 0)
	},
}

// TestClients follows each page of docs/clients to the letter: a block of code that
// names a file is that file, and those in sh are one script.
func TestClients(t *testing.T) {
	pages, err := filepath.Glob("../docs/clients/*.md")
	if err != nil {
		t.Fatal(err)
	}
	tested := 0
	for _, path := range pages {
		name := strings.TrimSuffix(filepath.Base(path), ".md")
		if name == "README" {
			continue
		}
		outcome := recipes[name]
		if outcome == nil {
			t.Errorf("nothing says what must be true at the end of %s", path)
			continue
		}
		tested++
		if binary, _ := findTerraform(); name == "terraform" && binary == "" {
			t.Log("no Terraform with its AWS provider here")
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outcome(t, follow(t, path))
		})
	}
	if tested != len(recipes) {
		t.Errorf("%d pages of %d are there", tested, len(recipes))
	}
}

// TestClientsAreListed: the table of docs/clients/README.md has all pages.
func TestClientsAreListed(t *testing.T) {
	index, err := os.ReadFile("../docs/clients/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range recipes {
		if !strings.Contains(string(index), "("+name+".md)") {
			t.Errorf("docs/clients/README.md does not name %s", name)
		}
	}
}

// fence matches a block of code: its language, the file that it is, and its text.
var fence = regexp.MustCompile("(?ms)^```(\\w+)(?: (\\S+))?\n(.*?)^```$")

// follow does what a page says, against a service of its own.
func follow(t *testing.T, page string) *recipe {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	data, dir := t.TempDir(), t.TempDir()
	cert, _ := makeCertificate(t, dir)
	serve := exec.Command("diskport", serveArgs(data, servedWith(text))...)
	serve.Dir = dir
	r := &recipe{service: startCommand(t, data, serve, nil), dir: dir, raw: filepath.Join(dir, "disk.raw")}
	makeRaw(t, r.raw, 40<<20+512, 700<<10, 1<<20+512) // some 17 MB that can't be compressed: clients upload that in parts
	r.trust(t, cert)
	convert(t, r.raw, "disk.vmdk", "-O vmdk -o subformat=streamOptimized")
	goModule(t, dir)
	javascriptModules(t, dir)

	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	blocks := fence.FindAllStringSubmatch(string(text), -1)
	if fences := strings.Count("\n"+string(text), "\n```"); len(blocks) == 0 || fences != 2*len(blocks) {
		t.Fatalf("%s has %d fences, of which %d blocks are understood", page, fences, len(blocks))
	}
	for _, b := range blocks {
		switch language, name, code := b[1], b[2], b[3]; {
		case name != "":
			writeFile(t, dir, name, code)
		case language == "sh":
			script.WriteString(code)
		default:
			t.Errorf("%s: a block of %s neither has a file's name nor is it run", page, language)
		}
	}
	cmd := exec.Command("bash", "-x", "-c", script.String())
	cmd.Dir, cmd.Env = dir, r.clientEnv(t)
	t.Cleanup(func() { _ = exec.Command("fusermount", "-uqz", filepath.Join(dir, "folder")).Run() }) // what failed may have left it mounted
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("following %s: %v\n%s", page, err, out)
	}
	t.Logf("took %s of CPU", (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Round(time.Millisecond))
	return r
}

// ownService matches the line of a page that starts the service in a way of its own.
var ownService = regexp.MustCompile(`(?m)^    diskport serve (.+) &$`)

// servedWith returns the flags that a page starts the service with.
func servedWith(page []byte) []string {
	if m := ownService.FindSubmatch(page); m != nil {
		return strings.Fields(string(m[1]))
	}
	return nil
}

// clientEnv is the environment of a user who has Debian's programs, nothing set up, and
// the service on his own data directory.
func (r *recipe) clientEnv(t *testing.T) []string {
	t.Helper()
	var first []string // other programs of these names are no substitutes
	for _, program := range []string{"diskport", "go"} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		first = append(first, filepath.Dir(path))
	}
	path := strings.Join(append(first, "/usr/bin", "/bin", os.Getenv("PATH")), ":")
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "AWS_") || strings.HasPrefix(kv, "HOME=") || strings.HasPrefix(kv, "PATH=")
	})
	caches, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	cache := strings.Fields(string(caches))
	env = append(env, "HOME="+t.TempDir(), "PATH="+path, "DISKPORT_DATA="+r.data, "AWS_PAGER=", "GOCACHE="+cache[0], "GOMODCACHE="+cache[1])
	return append(env, terraformEnv(t)...)
}

// terraformEnv makes Terraform take its provider from where findTerraform found it.
func terraformEnv(t *testing.T) []string {
	t.Helper()
	binary, mirror := findTerraform()
	if binary == "" {
		return nil
	}
	rc := writeFile(t, t.TempDir(), "rc", "provider_installation {\n  filesystem_mirror {\n    path = \""+mirror+"\"\n  }\n}\n")
	return []string{"TF_CLI_CONFIG_FILE=" + rc, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1"}
}

// inParts checks that the client uploaded an image in parts.
func (r *recipe) inParts(t *testing.T, key string) {
	t.Helper()
	head, err := r.S3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("images"), Key: &key, PartNumber: aws.Int32(1)})
	if err != nil {
		t.Error(err)
	} else if aws.ToInt32(head.PartsCount) < 2 {
		t.Errorf("%s has %d parts", key, aws.ToInt32(head.PartsCount))
	}
}

// hasImage checks that there is one image, of a name, with the disk.
func (r *recipe) hasImage(t *testing.T, name string) {
	t.Helper()
	out, err := r.EC2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{Owners: []string{"self"}})
	if err != nil || len(out.Images) != 1 || *out.Images[0].Name != name {
		t.Errorf("images %+v, %v", out, err)
		return
	}
	r.sameDisk(t, *out.Images[0].BlockDeviceMappings[0].Ebs.SnapshotId, r.raw)
}

// written returns what the recipe kept in a file.
func (r *recipe) written(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// goModule makes a module in dir that has what this one has, so that no other versions
// are compiled.
func goModule(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile("../" + name)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, name, strings.Replace(string(text), "module github.com/diskport/diskport", "module example.com/import", 1))
	}
}

// imported checks that there are as many snapshots as expected, and that each is the disk.
func (r *recipe) imported(t *testing.T, want int) {
	t.Helper()
	found, err := r.Snapshots(t.Context())
	if err != nil || len(found) != want {
		t.Errorf("%d snapshots %+v, %v, want %d", len(found), found, err, want)
	}
	for _, s := range found {
		r.sameDisk(t, s.ID, r.raw)
	}
}

// readBack compares files that the client read back with what it had written.
func (r *recipe) readBack(t *testing.T, got, want string) {
	t.Helper()
	equalFiles(t, filepath.Join(r.dir, got), filepath.Join(r.dir, want))
}

// javascriptModules puts into dir what scripts/test-setup has installed.
func javascriptModules(t *testing.T, dir string) {
	t.Helper()
	modules, err := filepath.Abs("../.cache/javascript/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
}
