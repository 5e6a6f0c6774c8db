package server

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskport/diskport/diskimage/imagetest"
)

// handing connects to the socket of a service, and hands files over with what is said.
func handing(t *testing.T, s *service, said string, files ...*os.File) (conn *net.UnixConn, url, refused string) {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: filepath.Join(s.data.path, handoverName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	if _, _, err := conn.WriteMsgUnix([]byte(said), unix.UnixRights(fds...), nil); err != nil {
		t.Fatal(err)
	}
	var answer struct{ URL, Error string }
	if err := json.NewDecoder(conn).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return conn, answer.URL, answer.Error
}

// shortData is a folder whose path is short enough for the address of a socket.
func shortData(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestHandover(t *testing.T) {
	s := run(t, config(shortData(t)))
	if info, err := os.Stat(s.data.file(handoverName)); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, imagetest.Mixed(1<<20, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(flags int) *os.File {
		f, err := os.OpenFile(path, flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	image := open(os.O_RDONLY)
	ask := func(from string) (status int, body string) {
		form := url.Values{"Action": {"ImportSnapshot"}, "Version": {"2016-11-15"}, "DiskContainer.Url": {from}, "DiskContainer.Format": {"RAW"}}.Encode()
		return answer(t, s.request(t, "ec2", http.MethodPost, "/", form, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}))
	}

	conn, from, refused := handing(t, s, `{"name":"../../disk.raw"}`, image)
	if refused != "" {
		t.Fatal(refused)
	}
	if status, body := ask(from); status != http.StatusOK {
		t.Errorf("importing it: %d %s", status, body)
	}
	if status, body := ask(from); status != http.StatusBadRequest || !strings.Contains(body, "Invalid S3 source location") {
		t.Errorf("importing it again: %d %s", status, body)
	}
	conn.Close()

	// What is not imported before its program goes is gone.
	conn, from, _ = handing(t, s, `{"name":"disk.raw"}`, image)
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil { // the service hangs up when it has withdrawn the file
		t.Error("the service says more")
	}
	if status, body := ask(from); status != http.StatusBadRequest {
		t.Errorf("importing what was withdrawn: %d %s", status, body)
	}

	for name, hand := range map[string]func() (*net.UnixConn, string, string){
		"nothing":          func() (*net.UnixConn, string, string) { return handing(t, s, `{"name":"x"}`) },
		"two files":        func() (*net.UnixConn, string, string) { return handing(t, s, `{"name":"x"}`, image, image) },
		"open for writing": func() (*net.UnixConn, string, string) { return handing(t, s, `{"name":"x"}`, open(os.O_RDWR)) },
		"no name":          func() (*net.UnixConn, string, string) { return handing(t, s, `x`, image) },
		"too much said":    func() (*net.UnixConn, string, string) { return handing(t, s, fmt.Sprintf("{%8000s}", ""), image) },
	} {
		if _, from, refused := hand(); refused == "" || from != "" {
			t.Errorf("%s: was taken as %q", name, from)
		}
	}
	at := s.data.file(handoverName)
	s.end(t)
	if _, err := os.Lstat(at); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}
