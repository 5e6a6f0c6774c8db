package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// TestSequences plays what image pipelines send, request by request, and looks at what
// they read of the answers. testdata/sequences/README.md says how a file is written.
func TestSequences(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/sequences/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sequences: %v", err)
	}
	dir := t.TempDir()
	s := start(t, filepath.Join(dir, "data"), "--regions", region+",eu-north-1")
	if err := s.EnsureRole(t.Context(), "vmimport"); err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(dir, "disk.raw")
	makeRaw(t, disk, 3<<20, 256<<10, 1<<20)
	bodies := map[string]string{
		"raw": disk, "vmdk": convert(t, disk, "disk.vmdk", "-O vmdk -o subformat=streamOptimized"), "vhd": convert(t, disk, "disk.vhd", "-O vpc -o force_size"),
	}
	bodies["ova"] = makeOVA(t, dir, "vm.ova", bodies["vmdk"])
	raw, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	for name, text := range map[string]string{
		"tagging": `<Tagging><TagSet><Tag><Key>release</Key><Value>9.4</Value></Tag></TagSet></Tagging>`,
		"delete":  `<Delete><Object><Key>disk-amd64.raw</Key></Object></Delete>`,
		"securetransport": `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::talos-image-upload-1/*",` +
			`"Condition":{"Bool":{"aws:SecureTransport":"false"}}}}`,
	} {
		bodies[name] = writeFile(t, dir, name, text)
	}
	t.Run("each", func(t *testing.T) {
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
				t.Parallel()
				calls, err := readSequence(file)
				if err != nil {
					t.Fatal(err)
				}
				p := player{service: s, bodies: bodies, vars: map[string]string{"region": region, "raw.sha256": base64.StdEncoding.EncodeToString(sum[:])}}
				for _, c := range calls {
					if err := p.play(t.Context(), c); err != nil {
						t.Fatalf("%s:%d: %v", file, c.line, err)
					}
				}
			})
		}
	})
}

// sequenceCall is one request of a sequence, with what is looked at in the answer.
type sequenceCall struct {
	line    int
	service string
	action  string // of a Query protocol
	method  string // of S3
	path    string // of S3, with its query
	region  string
	body    string      // which of the bodies, or empty
	params  [][2]string // of a Query protocol; of S3, header fields
	fails   string      // code or status of the error that is awaited
	until   *sequenceCheck
	while   *sequenceCheck
	checks  []sequenceCheck
}

// sequenceCheck is about a place in an answer.
type sequenceCheck struct {
	path string
	how  string // "=": every text there is value; "#": there are so many; "!": there is none; "->": keep the text; "": there is a text
	text string
}

// readSequence reads a file of testdata/sequences.
func readSequence(path string) (calls []*sequenceCall, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		verb, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || verb == "#":
			continue
		case verb == ">":
			c, err := readCall(strings.Fields(rest))
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
			}
			c.line = i + 1
			calls = append(calls, c)
			continue
		case len(calls) == 0:
			return nil, fmt.Errorf("%s:%d: %q belongs to no request", path, i+1, line)
		}
		if err := calls[len(calls)-1].add(verb, rest, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
	}
	return calls, nil
}

func readCall(words []string) (*sequenceCall, error) {
	c := &sequenceCall{region: region}
	var plain []string
	for _, w := range words {
		if name, value, ok := strings.Cut(w, ":"); ok && name == "region" {
			c.region = value
		} else if ok && name == "body" {
			c.body = value
		} else {
			plain = append(plain, w)
		}
	}
	switch {
	case len(plain) == 3 && plain[0] == "s3":
		c.service, c.method, c.path = plain[0], plain[1], plain[2]
	case len(plain) == 2 && plain[0] != "s3":
		c.service, c.action = plain[0], plain[1]
	default:
		return nil, fmt.Errorf("no request: %q", words)
	}
	return c, nil
}

// add adds a line to the request that it follows.
func (c *sequenceCall) add(verb, rest, line string) error {
	switch verb {
	case "<":
		c.checks = append(c.checks, readCheck(rest))
	case "!":
		c.fails = rest
	case "until", "while":
		check := readCheck(rest)
		if check.how != "=" {
			return fmt.Errorf("%q compares nothing", line)
		}
		if verb == "until" {
			c.until = &check
		} else {
			c.while = &check
		}
	default:
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return fmt.Errorf("%q is neither a parameter nor a check", line)
		}
		c.params = append(c.params, [2]string{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
	return nil
}

func readCheck(text string) sequenceCheck {
	for _, how := range []string{"->", "=", "#", "!"} {
		if path, value, ok := strings.Cut(text, " "+how); ok {
			return sequenceCheck{strings.TrimSpace(path), how, strings.TrimSpace(value)}
		}
	}
	return sequenceCheck{path: text}
}

// player plays one sequence.
type player struct {
	*service
	bodies map[string]string
	vars   map[string]string // what answers gave
}

// expand puts what was kept in place of ${names}.
func (p player) expand(text string) string {
	return os.Expand(text, func(name string) string { return p.vars[name] })
}

// pollEvery is how long a waiter pauses. That of the clients is many seconds.
const pollEvery = 20 * time.Millisecond

// play sends a request, again and again where a waiter would, and checks the answer.
func (p player) play(ctx context.Context, c *sequenceCall) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for pause := time.NewTicker(pollEvery); ; {
		a, err := p.send(ctx, c)
		if err != nil {
			return err
		}
		if c.until == nil || a.meets(*c.until, p.expand(c.until.text)) {
			pause.Stop()
			return p.check(c, a)
		}
		if c.while != nil && !a.meets(*c.while, p.expand(c.while.text)) {
			return fmt.Errorf("%s is %q, neither %s nor %s", c.until.path, a.find(c.until.path), c.while.text, c.until.text)
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return fmt.Errorf("%s never was %s: %q", c.until.path, c.until.text, a.find(c.until.path))
		}
	}
}

func (p player) check(c *sequenceCall, a *sequenceAnswer) error {
	for _, k := range c.checks {
		text := p.expand(k.text)
		found := a.find(k.path)
		switch {
		case k.how == "->" && len(found) > 0 && found[0] != "":
			p.vars[k.text] = found[0]
		case k.how == "->" || !a.meets(k, text):
			return fmt.Errorf("%s %s %s: it is %q, in\n%s", k.path, k.how, text, found, a.text)
		}
	}
	return nil
}

// send signs and sends a request. An answer that is not as the sequence says is an error.
func (p player) send(ctx context.Context, c *sequenceCall) (*sequenceAnswer, error) {
	req, err := p.request(ctx, c)
	if err != nil {
		return nil, err
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	a := &sequenceAnswer{header: resp.Header, text: string(text)}
	if len(text) > 0 && (c.service != "s3" || strings.Contains(resp.Header.Get("Content-Type"), "xml")) {
		if err := xml.Unmarshal(text, &a.root); err != nil {
			return nil, fmt.Errorf("reading %s: %w", text, err)
		}
	}
	status := strconv.Itoa(resp.StatusCode)
	codes := slices.Concat([]string{status}, a.find("Errors/Error/Code"), a.find("Error/Code"), a.find("Code"))
	if failed := resp.StatusCode >= 300; failed != (c.fails != "") || failed && !slices.Contains(codes, c.fails) {
		return nil, fmt.Errorf("%s %s%s: %s %s", c.service, c.action, c.path, resp.Status, text)
	}
	return a, nil
}

// versions are those that SDKs send.
var versions = map[string]string{"ec2": "2016-11-15", "iam": "2010-05-08", "sts": "2011-06-15"}

func (p player) request(ctx context.Context, c *sequenceCall) (*http.Request, error) {
	method, path, body := c.method, p.expand(c.path), []byte(nil)
	if c.body != "" {
		var err error
		if body, err = os.ReadFile(p.bodies[c.body]); err != nil {
			return nil, err
		}
	}
	if c.service != "s3" {
		form := url.Values{"Action": {c.action}, "Version": {versions[c.service]}}
		for _, kv := range c.params {
			form.Set(kv[0], p.expand(kv[1]))
		}
		method, path, body = http.MethodPost, "/", []byte(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, p.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	if c.service == "s3" {
		req.Header.Set("X-Amz-Content-Sha256", hash)
		for _, kv := range c.params {
			req.Header.Set(kv[0], p.expand(kv[1]))
		}
	} else {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	}
	creds, err := p.creds.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	return req, v4.NewSigner().SignHTTP(ctx, creds, req, hash, c.service, c.region, time.Now())
}

// sequenceAnswer is an answer: a tree of elements.
type sequenceAnswer struct {
	header http.Header
	text   string
	root   element
}

type element struct {
	XMLName  xml.Name
	Text     string    `xml:",chardata"`
	Children []element `xml:",any"`
}

// find returns the texts of the elements at a path below the root, or those of a header
// field, which begins with @.
func (a *sequenceAnswer) find(path string) (texts []string) {
	if name, ok := strings.CutPrefix(path, "@"); ok {
		return a.header.Values(name)
	}
	at := []element{a.root}
	for _, name := range strings.Split(path, "/") {
		var below []element
		for _, e := range at {
			for _, c := range e.Children {
				if c.XMLName.Local == name {
					below = append(below, c)
				}
			}
		}
		at = below
	}
	for _, e := range at {
		texts = append(texts, strings.TrimSpace(e.Text))
	}
	return texts
}

// meets reports whether the answer is as a check says.
func (a *sequenceAnswer) meets(k sequenceCheck, text string) bool {
	found := a.find(k.path)
	switch k.how {
	case "=":
		return len(found) > 0 && !slices.ContainsFunc(found, func(s string) bool { return s != text })
	case "#":
		return strconv.Itoa(len(found)) == text
	case "!":
		return len(found) == 0
	}
	return len(found) > 0 && !slices.Contains(found, "")
}

// TestSequencesAreRead: a line that says nothing is an error, not a check that always
// holds.
func TestSequencesAreRead(t *testing.T) {
	for name, text := range map[string]string{
		"before a request": "< a = b", "no service": "> DescribeImages", "a waiter that awaits nothing": "> ec2 A\nuntil a -> b", "no parameter": "> ec2 A\nhello",
	} {
		if calls, err := readSequence(writeFile(t, t.TempDir(), "s.txt", text)); err == nil {
			t.Errorf("%s: read %+v", name, calls)
		}
	}
	a := &sequenceAnswer{}
	if err := xml.Unmarshal([]byte(`<r><a><b>1</b><b>2</b></a><c/></r>`), &a.root); err != nil {
		t.Fatal(err)
	}
	for check, want := range map[string]bool{
		"a/b": true, "a/b = 1": false, "a/b # 2": true, "a/b # 1": false, "a/d": false, "a/d !": true, "a/b !": false, "c": false, "c # 1": true, "a/d = ": false,
	} {
		k := readCheck(check)
		if got := a.meets(k, k.text); got != want {
			t.Errorf("%q: %t", check, got)
		}
	}
}
