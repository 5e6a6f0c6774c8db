// Package pgtest gives tests PostgreSQL databases of their own: on the server that
// DISKPORT_TEST_POSTGRES names, else on a temporary one that it starts from the
// distribution's binaries, once for each test process.
package pgtest

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Server is a running PostgreSQL. It is safe for concurrent use.
type Server struct {
	url    string
	dir    string // of a server of our own; else empty
	bin    string
	server *exec.Cmd
	logged sync.WaitGroup // reads its log

	mu   sync.Mutex
	made []string // names of databases
	idle []string // those that are not in use
}

// Main runs a package's tests beside a server; TestMain calls it with its *testing.M, or
// with what runs that. A missing PostgreSQL fails the run.
func Main(m interface{ Run() int }, use func(*Server)) {
	runtime.LockOSThread() // see command
	s, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		os.Exit(1)
	}
	use(s)
	code := m.Run()
	s.stop()
	os.Exit(code)
}

// New returns the URL of a database that is the test's own until it ends. It is
// new or, since making one takes half a second, used before: then the tables are
// there and empty.
func (s *Server) New(t testing.TB) string {
	t.Helper()
	name, used := s.take()
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal("pgtest:", err)
	}
	u.Path = "/" + name
	if used {
		err = run(u.String(), empty)
	} else {
		err = run(s.url, "CREATE DATABASE "+name)
	}
	if err != nil {
		t.Fatal("pgtest:", err)
	}
	t.Cleanup(func() { s.giveBack(name) })
	return u.String()
}

// empty empties every table but the migrations' own, regardless of foreign keys.
const empty = `
	SET session_replication_role = replica;
	DO $$ DECLARE name text; BEGIN
		FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'goose_db_version' LOOP
			EXECUTE 'DELETE FROM ' || quote_ident(name);
		END LOOP;
	END $$`

func (s *Server) take() (name string, used bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.idle); n > 0 {
		name, s.idle = s.idle[n-1], s.idle[:n-1]
		return name, true
	}
	name = "test_" + strings.ToLower(rand.Text())
	s.made = append(s.made, name)
	return name, false
}

func (s *Server) giveBack(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, name)
}

func run(url, stmt string) error {
	ctx := context.Background()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, stmt)
	return err
}

func start() (*Server, error) {
	if u := os.Getenv("DISKPORT_TEST_POSTGRES"); u != "" {
		return &Server{url: u}, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("no PostgreSQL server under /usr/lib/postgresql: %w", os.ErrNotExist)
	}
	// A unix socket's path may have 108 bytes: /tmp, whatever TMPDIR says.
	dir, err := os.MkdirTemp("/tmp", "diskport-pg")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: filepath.Dir(slices.Max(found)), url: "postgres://diskport@/postgres?host=" + dir}
	if err := s.launch(); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) launch() error {
	who, err := unprivileged()
	if err != nil {
		return err
	}
	if who != nil {
		if err := os.Chown(s.dir, int(who.Uid), int(who.Gid)); err != nil {
			return err
		}
	}
	data := s.dir + "/data"
	if out, err := s.command(who, "initdb", "-D", data, "-U", "diskport", "-A", "trust", "-E", "UTF8", "--locale=C", "-N").CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	s.server = s.command(who, "postgres", "-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories="+s.dir,
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "max_connections=200")
	log, err := s.server.StderrPipe()
	if err != nil {
		return err
	}
	if err := s.server.Start(); err != nil {
		return err
	}
	return s.await(log)
}

// await returns when the server logs that it is ready. What it logs after that is
// read and dropped until it ends.
func (s *Server) await(log io.Reader) error {
	lines, said := bufio.NewScanner(log), ""
	for lines.Scan() {
		if strings.HasSuffix(lines.Text(), "database system is ready to accept connections") {
			s.logged.Go(func() { _, _ = io.Copy(io.Discard, log) })
			return nil
		}
		said += lines.Text() + "\n"
	}
	return fmt.Errorf("the server ended: %w\n%s", errors.Join(lines.Err(), s.server.Wait()), said)
}

func (s *Server) stop() {
	if s.dir == "" {
		for _, name := range s.made {
			_ = run(s.url, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		}
		return
	}
	if s.server != nil && s.server.Process != nil {
		_ = s.server.Process.Signal(syscall.SIGQUIT) // at once: nothing is worth keeping
		s.logged.Wait()
		_ = s.server.Wait()
	}
	_ = os.RemoveAll(s.dir)
}

// command is one of the server's programs, which refuse to run as root. It ends
// with the test process, whose main goroutine Main keeps on its thread for that.
func (s *Server) command(who *syscall.Credential, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Pdeathsig: syscall.SIGQUIT}
	return cmd
}

// unprivileged returns the user to run the server as; nil means the present one.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}
