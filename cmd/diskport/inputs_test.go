package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/client"
)

// TestInputs: what is named on the command line becomes the disks in it.
func TestInputs(t *testing.T) {
	files, _ := split()
	disk := imagetest.VMDK{Size: 1 << 20}.Build().Bytes
	machine := imagetest.Tar(imagetest.Member{Name: "x.ovf", Data: imagetest.OVF("a.vmdk", "b.vmdk")},
		imagetest.Member{Name: "a.vmdk", Data: disk}, imagetest.Member{Name: "b.vmdk", Data: disk})
	all := map[string][]byte{
		"two.ova": machine, "one.ova": imagetest.Tar(imagetest.Member{Name: "a.vmdk", Data: disk}),
		"exported/vm.ovf": imagetest.OVF("sys.vmdk", "data.vmdk"), "exported/sys.vmdk": disk, "exported/data.vmdk": disk, "exported/old.vmdk": disk,
		"away/vm.ovf": imagetest.OVF("../two.ova"), "gone/vm.ovf": imagetest.OVF("sys.vmdk"), "bare/vm.ovf": imagetest.OVF(),
		"many/a.ovf": imagetest.OVF("a.vmdk"), "many/b.ovf": imagetest.OVF("b.vmdk"),
		"loose/b.qcow2": disk, "loose/a.img": disk, "loose/notes.txt": nil, "empty/notes.txt": nil,
	}
	for name, data := range files {
		all["split/"+name] = data
	}
	l := newLocal(t, all)
	for name, tt := range map[string]struct {
		named []string
		flags imageFlags
		want  []string // labels without the folder, or
		err   string
	}{
		"files":                {named: []string{"one.ova", "loose/a.img"}, want: []string{"one.ova", "loose/a.img"}},
		"a pattern":            {named: []string{"loose/*.*2"}, want: []string{"loose/b.qcow2"}},
		"no match":             {named: []string{"loose/*.vhd"}, err: "no such file"},
		"two disks":            {named: []string{"two.ova"}, want: []string{"two.ova a.vmdk", "two.ova b.vmdk"}},
		"one of two":           {named: []string{"two.ova"}, flags: imageFlags{Disk: "b.vmdk"}, want: []string{"two.ova"}},
		"exported":             {named: []string{"exported"}, want: []string{"exported sys.vmdk", "exported data.vmdk"}},
		"its OVF":              {named: []string{"exported/vm.ovf"}, want: []string{"exported/vm.ovf sys.vmdk", "exported/vm.ovf data.vmdk"}},
		"a split disk":         {named: []string{"split/disk.vmdk"}, want: []string{"split/disk.vmdk"}},
		"its folder":           {named: []string{"split"}, want: []string{"split/disk.vmdk"}},
		"loose images":         {named: []string{"loose"}, want: []string{"loose/a.img", "loose/b.qcow2"}},
		"no images":            {named: []string{"empty"}, err: "holds no OVF, and no file that is called as disk images are"},
		"several OVFs":         {named: []string{"many"}, err: "holds 2 OVFs"},
		"an OVF without disks": {named: []string{"bare"}, err: "no disks with contents"},
		"a disk elsewhere":     {named: []string{"away"}, err: "another folder"},
		"a disk that is gone":  {named: []string{"gone"}, err: "sys.vmdk: no such file"},
		"a typo":               {named: []string{"one.ovs"}, err: "did you mean one.ova?"},
		"--disk and a folder":  {named: []string{"exported"}, flags: imageFlags{Disk: "x"}, err: "about one image"},
		"--disk and two":       {named: []string{"one.ova", "two.ova"}, flags: imageFlags{Disk: "x"}, err: "about one image"},
		"a character device":   {named: []string{os.DevNull}, err: "neither a file nor a block device"},
		"standard input twice": {named: []string{"-", "-"}, err: "named twice"},
		"Urls":                 {named: []string{"s3://b/k?x", "https://x.test/a?token=secret"}, want: []string{"s3://b/k?x", "https://x.test/a"}},
	} {
		t.Run(name, func(t *testing.T) {
			named := slices.Clone(tt.named)
			for i, n := range named {
				if n != "-" && !strings.Contains(n, "://") && !filepath.IsAbs(n) {
					named[i] = l.path(n)
				}
			}
			got, err := tt.flags.inputs(named)
			var labels []string
			for _, in := range got {
				labels = append(labels, strings.TrimPrefix(in.label, l.dir+"/"))
			}
			if !slices.Equal(labels, tt.want) || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %q, %v; want %q, %q", labels, err, tt.want, tt.err)
			}
		})
	}
}

// importing runs commands on a data directory of their own.
type importing struct {
	local
	stdin io.Reader
}

// run runs a command that must succeed, and returns what it printed.
func (i importing) run(t *testing.T, args ...string) string {
	t.Helper()
	for n, a := range args {
		if before, name, ok := strings.Cut(a, "@"); ok {
			args[n] = before + i.path(name)
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), append(args, "--data", i.path("data")), &app{stdin: i.stdin, stdout: &out, stderr: &errs}); code != exitOK {
		t.Fatalf("%v: exit code %d\n%s", args, code, &errs)
	}
	return out.String()
}

// TestWhichSnapshotIsWhichFile: snapshots and tasks say which file they are of, and have the
// tags that were given, wherever the image comes from.
func TestWhichSnapshotIsWhichFile(t *testing.T) {
	t.Setenv("DISKPORT_RESERVE", "0")
	t.Setenv("AWS_ENDPOINT_URL", "")
	content := imagetest.Mixed(1<<20, 1)
	files, _ := split()
	disk := imagetest.VMDK{Size: 1 << 20}.Build().Bytes
	files["web.raw"], files["vm/vm.ovf"], files["vm/sys.vmdk"] = content, imagetest.OVF("sys.vmdk"), disk
	i := importing{newLocal(t, files), nil}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(content))
	}))
	defer srv.Close()

	i.run(t, "import", "--format", "raw", "--name", "web-17", "--tag", "team=web", "@web.raw")
	i.run(t, "import", "--format", "raw", srv.URL+"/images/debian.raw?token=secret")
	i.stdin = bytes.NewReader(content)
	i.run(t, "import", "--format", "raw", "-")
	i.run(t, "import", "@disk.vmdk", "@vm")

	var snapshots []client.Snapshot
	if err := json.Unmarshal([]byte(i.run(t, "snapshots", "--json")), &snapshots); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range snapshots {
		names = append(names, s.SourceName)
		if task := i.run(t, "task", s.ImportTaskID); !strings.Contains(task, s.SourceName) {
			t.Errorf("the task of %s says\n%s", s.SourceName, task)
		}
	}
	if want := []string{"web.raw", "debian.raw", "standard input", "disk.vmdk", "sys.vmdk"}; !slices.Equal(names, want) {
		t.Errorf("snapshots of %q, want %q", names, want)
	}
	if tags := snapshots[0].Tags; len(tags) != 2 || tags["Name"] != "web-17" || tags["team"] != "web" {
		t.Errorf("tags %v", tags)
	}
	for _, n := range []int{1, 2} {
		if snapshots[n].DataBytes != snapshots[0].DataBytes {
			t.Errorf("%s has %d bytes of data, want %d", names[n], snapshots[n].DataBytes, snapshots[0].DataBytes)
		}
	}
	if list := i.run(t, "snapshots"); !strings.Contains(list, "web.raw") || !strings.Contains(list, "Name=web-17 team=web") || strings.Contains(list, "AWS-VMImport") {
		t.Errorf("the list:\n%s", list)
	}
	if list := i.run(t, "tasks"); !strings.Contains(list, "debian.raw") {
		t.Errorf("the list of tasks:\n%s", list)
	}
}

func TestNameIsForOneSnapshot(t *testing.T) {
	for name, c := range map[string]importCmd{"two images": {Name: "x"}, "and a tag": {Name: "x", Tag: map[string]string{"Name": "y"}}} {
		images := 1
		if name == "two images" {
			images = 2
		}
		if err := c.nameIt(images); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// signalling is where a command says something; it tells when that begins with a text.
type signalling struct {
	text string
	said chan struct{}
	all  bytes.Buffer
}

func (s *signalling) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte(s.text)) {
		close(s.said)
	}
	return s.all.Write(p)
}

// TestImportsQueue: of two imports on a data directory without a service the second waits for
// the first, whose service would end under it. What only looks does not wait.
func TestImportsQueue(t *testing.T) {
	t.Setenv("DISKPORT_RESERVE", "0")
	t.Setenv("AWS_ENDPOINT_URL", "")
	i := importing{newLocal(t, map[string][]byte{"second.raw": imagetest.Mixed(1<<20, 2)}), nil}
	stdin, feed := io.Pipe()
	var outs [2]bytes.Buffer
	said := &signalling{text: "waiting for another diskport on ", said: make(chan struct{})}
	codes := make(chan int, 2)
	start := func(n int, a *app, image string) {
		a.stdout = &outs[n]
		go func() {
			codes <- run(t.Context(), []string{"import", "--json", "--format", "raw", "--data", i.path("data"), image}, a)
		}()
	}
	start(0, &app{stdin: stdin, stderr: io.Discard}, "-")
	if _, err := feed.Write(make([]byte, 1)); err != nil { // it reads, so its service runs
		t.Fatal(err)
	}
	start(1, &app{stderr: said}, i.path("second.raw"))
	<-said.said
	if list := i.run(t, "tasks", "--json"); strings.TrimSpace(list) != "[]" {
		t.Errorf("while both wait there are tasks: %s", list)
	}
	if _, err := feed.Write(imagetest.Mixed(1<<20, 1)); err != nil {
		t.Fatal(err)
	}
	feed.Close()
	for range 2 {
		if code := <-codes; code != exitOK {
			t.Errorf("exit code %d", code)
		}
	}
	for n := range outs {
		if out := outs[n].String(); !strings.Contains(out, `"status":"completed"`) {
			t.Errorf("import %d: %s\n%s", n, out, said.all.String())
		}
	}
}

// TestAKeyIsLookedAtFirst: before a file is read, sent or imported.
func TestAKeyIsLookedAtFirst(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "")
	i := importing{newLocal(t, map[string][]byte{"disk.raw": imagetest.Mixed(1<<20, 2)}), nil}
	code, _, stderr := i.local.run(t.Context(), "import", "--kms-key", "alias/none", "--data", i.path("data"), "@disk.raw")
	if code != exitNotFound || !strings.Contains(stderr, "there is no KMS key alias/none") {
		t.Errorf("%d, %q", code, stderr)
	}
	if list := i.run(t, "tasks", "--json"); strings.TrimSpace(list) != "[]" {
		t.Errorf("there is a task: %s", list)
	}
}

// TestDiff: where two snapshots differ, whatever they are of.
func TestDiff(t *testing.T) {
	t.Setenv("DISKPORT_RESERVE", "0")
	t.Setenv("AWS_ENDPOINT_URL", "")
	const block = client.BlockSize
	var first []byte
	for n := range byte(8) {
		first = append(first, bytes.Repeat([]byte{n + 1}, block)...)
	}
	second := bytes.Clone(first)
	copy(second[2*block:4*block], bytes.Repeat([]byte{99}, 2*block))
	clear(second[6*block : 7*block])
	i := importing{newLocal(t, map[string][]byte{"a.raw": first, "b.raw": second}), nil}
	ids := strings.Fields(i.run(t, "import", "--format", "raw", "@a.raw", "@b.raw"))
	var d differing
	if err := json.Unmarshal([]byte(i.run(t, "diff", "--json", ids[0], ids[1])), &d); err != nil {
		t.Fatal(err)
	}
	want := []client.BlockDiff{{Offset: 2 * block, Bytes: 2 * block, Kind: "changed"}, {Offset: 6 * block, Bytes: block, Kind: "gone"}}
	if !slices.Equal(d.Changes, want) || d.Blocks != 3 {
		t.Errorf("got %+v, want %+v", d, want)
	}
	if out := i.run(t, "diff", ids[1], ids[0]); !strings.Contains(out, "0x300000  0x80000") || !strings.Contains(out, "added") {
		t.Errorf("the other way round:\n%s", out)
	}
	if out := i.run(t, "diff", ids[0], ids[0]); out != "no block differs\n" {
		t.Errorf("with itself:\n%s", out)
	}
}

// TestDoctor: what is well is said to be, and what is not, with what to do.
func TestDoctor(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "")
	t.Setenv("DISKPORT_LISTEN", "127.0.0.1:0")
	t.Setenv("DISKPORT_RESERVE", "0")
	i := importing{newLocal(t, map[string][]byte{"file": nil}), nil}
	doctor := func(want int, args ...string) map[string]finding {
		t.Helper()
		code, stdout, stderr := i.local.run(t.Context(), append([]string{"doctor", "--json"}, args...)...)
		if code != want {
			t.Errorf("%v: exit code %d, want %d: %s%s", args, code, want, stdout, stderr)
		}
		var list []finding
		if err := json.Unmarshal([]byte(stdout), &list); err != nil {
			t.Fatal(err)
		}
		found := map[string]finding{}
		for _, f := range list {
			found[f.Check] = f
		}
		return found
	}
	none := doctor(exitOK, "--data=@data")
	if _, err := os.Stat(i.path("data")); !os.IsNotExist(err) || none["data"].Status != fine || none["S3"].Status != "" {
		t.Errorf("nothing was imported yet: %+v, %v", none, err)
	}
	i.run(t, "tasks") // makes the directory
	if err := os.Chmod(i.path("data"), 0o750); err != nil {
		t.Fatal(err)
	}
	found := doctor(exitOK, "--data=@data")
	for check, status := range map[string]string{"data": warning, "service": fine, "port": fine, "database": fine, "store": fine, "S3": fine, "KMS": fine, "role": warning} {
		if found[check].Status != status {
			t.Errorf("%s: %+v, want %s", check, found[check], status)
		}
	}
	if out := i.run(t, "role"); out != "vmimport\n" {
		t.Errorf("role: %q", out)
	}
	if found := doctor(exitOK, "--data=@data"); found["role"].Status != fine {
		t.Errorf("with the role: %+v", found["role"])
	}
	if found := doctor(exitFailed, "--data=@file"); found["data"].Status != failed || found["data"].Mend == "" {
		t.Errorf("a file: %+v", found["data"])
	}
	t.Setenv("DISKPORT_RESERVE", "1000TiB")
	if found := doctor(exitFailed, "--data=@data"); found["disk"].Status != failed || !strings.Contains(found["disk"].Found, "1000.0 TiB") {
		t.Errorf("a full disk: %+v", found["disk"])
	}
	t.Setenv("DISKPORT_DATABASE_URL", "postgres://127.0.0.1:1/nowhere")
	t.Setenv("DISKPORT_QUOTA_SCRATCH", "7GiB")
	node := doctor(exitFailed, "--data=@data")["disk"] // since the settings are not all there
	if node.Status != warning || !strings.Contains(node.Found, "unpacked") || !strings.Contains(node.Found, "7.0 GiB") || !strings.Contains(node.Mend, "--data") {
		t.Errorf("a full disk of one of many nodes: %+v", node)
	}
	t.Setenv("DISKPORT_RESERVE", "0")
	if node := doctor(exitFailed, "--data=@data")["disk"]; node.Status != fine || !strings.Contains(node.Found, "two at a time") {
		t.Errorf("the disk of one of many nodes: %+v", node)
	}
}

// TestAFileIsHandedOverOnceMore to a service that has restarted, which has forgotten it.
func TestAFileIsHandedOverOnceMore(t *testing.T) {
	for name, tt := range map[string]struct {
		restarts int
		handed   int
		status   string
	}{
		"once": {1, 2, "completed"}, "too often": {handovers, handovers, "deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "d") // short: an address of a socket has 107 bytes
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			l, err := net.Listen("unix", filepath.Join(dir, "handover"))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			handed := 0
			var taking sync.WaitGroup
			taking.Go(func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					handed++
					_, _ = fmt.Fprintf(conn, "{\"url\":\"diskport:%d\"}\n", handed)
					defer conn.Close()
				}
			})
			asked := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case !strings.HasPrefix(r.URL.Path, "/-/"):
					asked++
					_, _ = fmt.Fprintf(w, "<R><importTaskId>import-snap-%d</importTaskId></R>", asked)
				case asked <= tt.restarts:
					_, _ = io.WriteString(w, "event: task\ndata: {\"status\":\"deleted\",\"failure\":{\"reason\":\"handover-gone\"}}\n\n")
				default:
					_, _ = io.WriteString(w, "event: task\ndata: {\"status\":\"completed\",\"snapshotId\":\"snap-1\"}\n\n")
				}
			}))
			defer srv.Close()
			file := filepath.Join(dir, "disk.raw")
			if err := os.WriteFile(file, []byte("disk"), 0o600); err != nil {
				t.Fatal(err)
			}
			s := &session{data: dir, Client: client.New(client.Config{Endpoint: srv.URL, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", "")})}
			c := importCmd{Role: "importer", Wait: true}
			task, err := c.importOne(t.Context(), &app{stdout: io.Discard, stderr: io.Discard}, s, input{label: file, path: file, local: true})
			l.Close()
			taking.Wait()
			if err != nil || task.Status != tt.status || handed != tt.handed {
				t.Errorf("%+v, %v; handed over %d times, want %s after %d", task, err, handed, tt.status, tt.handed)
			}
		})
	}
}
