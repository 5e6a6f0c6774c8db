package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskport/diskport/internal/logkey"
)

// Programs of the same user, who may open an image themselves, hand the open file over to a
// service on the same machine, instead of uploading it: over a socket in the data directory,
// one file a connection. They send
//
//	{"name":"disk.vmdk"}        and the file's descriptor beside it
//
// and are answered with a line: {"url":"diskport:…"}, which ImportSnapshot takes once, or
// {"error":"…"}. The file is closed when the connection is, unless an import has it by then.

// handoverName is the socket's name in the data directory.
const handoverName = "handover"

const (
	maxHandovers    = 64               // connections at a time
	handoverWait    = 10 * time.Second // for a program to say what it hands over
	maxHandoverText = 4 << 10          // bytes of what it says
)

// handovers takes files from other programs. run serves it.
type handovers struct {
	app      *App
	listener *net.UnixListener
}

// listenForFiles makes the socket. Where the file system has none, programs upload their
// files: that is noted, and no failure.
func (a *App) listenForFiles() {
	if a.cfg.shared() {
		return // any node may read the image
	}
	l, err := a.data.listen()
	if err != nil {
		a.log.Warn("no socket in the data directory: commands will upload files that they could hand over", logkey.Error, err)
		return
	}
	a.handovers = &handovers{a, l}
	a.closers.add(func() error { return ignore(l.Close(), net.ErrClosed) })
}

// listen makes the socket, for its owner alone. The directory is locked, so one that is there
// is of a service that has died.
func (d *dataDir) listen() (*net.UnixListener, error) {
	if err := os.Remove(d.file(handoverName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	// The address of a socket has 107 bytes, and the path of a directory may be longer.
	at := fmt.Sprintf("/proc/self/fd/%d/%s", d.dir.Fd(), handoverName)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // the number may be another's by then
	if err := os.Chmod(d.file(handoverName), 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// run takes files until ctx ends.
func (h *handovers) run(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { _ = h.listener.Close() })()
	var serving sync.WaitGroup
	defer serving.Wait()
	room := make(chan struct{}, maxHandovers)
	for {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		conn, err := h.listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // there are too many open files, for example
			<-room
			h.app.log.Error("taking a file from a command", logkey.Error, err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			continue
		}
		serving.Go(func() {
			defer func() { <-room }()
			h.serve(ctx, conn)
		})
	}
}

// serve serves one connection.
func (h *handovers) serve(ctx context.Context, conn *net.UnixConn) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }() // whatever was said has been
	var answer struct {
		URL   string `json:"url,omitempty"`
		Error string `json:"error,omitempty"`
	}
	f, name, err := h.receive(conn)
	if err == nil {
		answer.URL, err = h.app.parts.sources.Handovers.Offer(f, name)
	}
	if err != nil {
		answer.Error = err.Error()
	} else {
		defer h.app.parts.sources.Handovers.Withdraw(answer.URL)
	}
	if err := json.NewEncoder(conn).Encode(answer); err != nil {
		return // it is gone
	}
	_ = conn.SetReadDeadline(time.Time{})
	_, _ = io.Copy(io.Discard, conn) // until it goes
}

// receive returns the file that a program sends, and what it calls it.
func (h *handovers) receive(conn *net.UnixConn) (f *os.File, name string, err error) {
	if err := samePerson(conn); err != nil {
		return nil, "", err
	}
	_ = conn.SetReadDeadline(time.Now().Add(handoverWait))
	text, rights := make([]byte, maxHandoverText), make([]byte, unix.CmsgSpace(4*2))
	n, rn, flags, _, err := conn.ReadMsgUnix(text, rights)
	if err != nil {
		return nil, "", err
	}
	files, err := filesIn(rights[:rn])
	if err == nil && (len(files) != 1 || flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC) != 0) {
		err = fmt.Errorf("one open file is handed over at a time, not %d", len(files))
	}
	var said struct{ Name string }
	if err == nil {
		err = json.Unmarshal(text[:n], &said)
	}
	if err != nil {
		for _, f := range files {
			_ = f.Close() // nothing was read
		}
		return nil, "", err
	}
	return files[0], path.Base("/" + strings.ToValidUTF8(said.Name, "?")), nil
}

// samePerson refuses programs of other users than the service's.
func samePerson(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) { peer, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	if asked != nil {
		return os.NewSyscallError("getsockopt", asked)
	}
	if int(peer.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d may not hand over files to a service of user %d", peer.Uid, os.Geteuid())
	}
	return nil
}

// filesIn returns the files whose descriptors came beside a message.
func filesIn(rights []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // it is of another kind
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "handed over"))
		}
	}
	return files, nil
}
