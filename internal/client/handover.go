package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoHandover reports that no service on the data directory takes open files: it is older,
// of another user, or does not run.
var ErrNoHandover = errors.New("no service takes open files")

// handoverWait is how long a service may take to answer.
const handoverWait = 30 * time.Second

// aLongTimeAgo is a deadline that has passed.
var aLongTimeAgo = time.Unix(1, 0)

// HandOver hands an open file to the service on a data directory of this machine, which reads
// it as it is, so that it is neither uploaded nor stored twice. It must be open for reading
// alone. It returns a Url that ImportSnapshot takes once, and a function to call once that was
// asked for, or is not wanted any more.
func HandOver(ctx context.Context, data string, f *os.File, name string) (url string, done func(), err error) {
	conn, err := dialHandover(ctx, data)
	if err != nil {
		return "", nil, err
	}
	defer func() {
		if err != nil {
			_ = conn.Close() // nothing was handed over
		}
	}()
	_ = conn.SetDeadline(time.Now().Add(handoverWait)) // it answers at once, or not at all
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(aLongTimeAgo) })()
	said, err := json.Marshal(struct {
		Name string `json:"name"`
	}{name})
	if err != nil {
		return "", nil, err
	}
	if _, _, err := conn.WriteMsgUnix(said, unix.UnixRights(int(f.Fd())), nil); err != nil {
		return "", nil, fmt.Errorf("handing %s over to the service: %w", name, err)
	}
	var answer struct{ URL, Error string }
	if err := json.NewDecoder(bufio.NewReader(conn)).Decode(&answer); err != nil {
		return "", nil, fmt.Errorf("handing %s over to the service: %w", name, err)
	}
	if answer.Error != "" {
		return "", nil, fmt.Errorf("handing %s over: the service says: %s", name, answer.Error)
	}
	return answer.URL, func() { _ = conn.Close() }, nil
}

// dialHandover connects to the socket in a data directory, whose path may be longer than an
// address of a socket.
func dialHandover(ctx context.Context, data string) (*net.UnixConn, error) {
	info, err := os.Lstat(filepath.Join(data, "handover"))
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return nil, ErrNoHandover
	}
	dir, err := os.Open(data)
	if err != nil {
		return nil, ErrNoHandover
	}
	defer dir.Close()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/handover", dir.Fd()))
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return nil, ErrNoHandover
	case err != nil:
		return nil, fmt.Errorf("handing a file over to the service on %s: %w", data, err)
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, ErrNoHandover
	}
	return unixConn, nil
}
