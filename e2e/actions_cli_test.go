package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// shell runs commands of the AWS CLI v2 one after the other in one process, each as
// its launcher does, since starting the CLI takes longer than serving a call.
type shell struct {
	t    *testing.T
	s    *service
	in   io.WriteCloser
	out  *bufio.Reader
	vars map[string]string // values of $name in commands
	keys [2]string         // access key and secret; empty: the root key
}

const driver = `
import contextlib, io, json, os, sys
import awscli.clidriver
drivers = {}
for line in sys.stdin:
    call, said = json.loads(line), io.StringIO()
    os.environ.update(call["env"])
    key = call["env"]["AWS_ACCESS_KEY_ID"]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        if key not in drivers:
            drivers[key] = awscli.clidriver.create_clidriver()
        try:
            code = drivers[key].main(call["args"])
        except SystemExit as e:
            code = e.code
    print(json.dumps({"code": code or 0, "said": said.getvalue()}), flush=True)
`

// shell starts the AWS CLI; it ends with the test.
func (s *service) shell(t *testing.T) *shell {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", "-c", driver) // that of /usr/bin/aws
	cmd.Env = s.env()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // it ends when its input ends
		if err := cmd.Wait(); err != nil {
			t.Errorf("the AWS CLI: %v", err)
		}
	})
	return &shell{t: t, s: s, in: in, out: bufio.NewReader(out), vars: map[string]string{}}
}

// run runs one command and returns what it prints.
func (sh *shell) run(args ...string) (said string, code int) {
	sh.t.Helper()
	keys := sh.keys
	if keys[0] == "" {
		keys = [2]string{keyID, secret}
	}
	line, err := json.Marshal(map[string]any{
		"args": append([]string{"--endpoint-url", sh.s.endpoint, "--output", "text"}, args...),
		"env":  map[string]string{"AWS_ACCESS_KEY_ID": keys[0], "AWS_SECRET_ACCESS_KEY": keys[1]},
	})
	if err != nil {
		sh.t.Fatal(err)
	}
	if _, err := sh.in.Write(append(line, '\n')); err != nil {
		sh.t.Fatal(err)
	}
	answer, err := sh.out.ReadBytes('\n')
	if err != nil {
		sh.t.Fatalf("aws %s: %v", strings.Join(args, " "), err)
	}
	var got struct {
		Code int
		Said string
	}
	if err := json.Unmarshal(answer, &got); err != nil {
		sh.t.Fatalf("aws %s: %v in %s", strings.Join(args, " "), err, answer)
	}
	return strings.TrimSpace(got.Said), got.Code
}

// step is one command. Its words that begin with $ are replaced by variables.
type step struct {
	command string
	query   string // of --query; empty: all
	// want is what must be printed, with variables; empty: anything. "> name" keeps
	// the output in a variable; "! Code" means that the command must fail with an
	// error code.
	want string
}

func (sh *shell) expand(text string) string {
	words := strings.Fields(text)
	for i, word := range words {
		for name, value := range sh.vars {
			if word == "$"+name {
				words[i] = value
			} else if strings.HasSuffix(word, "=$"+name) {
				words[i] = strings.TrimSuffix(word, "$"+name) + value
			}
		}
	}
	return strings.Join(words, "\x00")
}

// do runs steps; the first that goes wrong ends the test.
func (sh *shell) do(steps ...step) {
	sh.t.Helper()
	for _, st := range steps {
		args := strings.Split(sh.expand(st.command), "\x00")
		if st.query != "" {
			args = append(args, "--query", st.query)
		}
		said, code := sh.run(args...)
		wantCode, fails := strings.CutPrefix(st.want, "! ")
		name, kept := strings.CutPrefix(st.want, "> ")
		switch {
		case fails:
			if code == 0 || !strings.Contains(said, "("+wantCode+")") {
				sh.t.Fatalf("aws %s: got %q (%d), want %s", st.command, said, code, wantCode)
			}
		case code != 0:
			sh.t.Fatalf("aws %s: %s", st.command, said)
		case kept:
			if said == "" || said == "None" {
				sh.t.Fatalf("aws %s: nothing to keep as %s", st.command, name)
			}
			sh.vars[name] = said
		case st.want != "" && strings.Join(strings.Fields(said), " ") != strings.ReplaceAll(sh.expand(st.want), "\x00", " "):
			sh.t.Fatalf("aws %s: got %q, want %q", st.command, said, st.want)
		}
	}
}
