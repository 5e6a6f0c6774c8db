package metadb

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// standby is a server that lets everybody in, and ends the connection of whoever then asks it
// for anything but whether it is a standby. A server says that it is one (says), or has to
// be asked.
type standby struct {
	says bool

	mu    sync.Mutex // guards asked
	asked []string
}

// listen serves at a port, which it returns, until the test ends.
func (s *standby) listen(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				s.serve(conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func (s *standby) serve(conn net.Conn) {
	b := pgproto3.NewBackend(conn, conn)
	for started := false; !started; {
		m, err := b.ReceiveStartupMessage()
		if err != nil {
			return
		}
		if _, started = m.(*pgproto3.StartupMessage); !started { // TLS
			if _, err := conn.Write([]byte("N")); err != nil {
				return
			}
		}
	}
	b.Send(&pgproto3.AuthenticationOk{})
	if s.says {
		b.Send(&pgproto3.ParameterStatus{Name: "in_hot_standby", Value: "on"})
	}
	b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: make([]byte, 4)})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for b.Flush() == nil {
		m, err := b.Receive()
		if err != nil {
			return
		}
		q, ok := m.(*pgproto3.Query)
		if _, ends := m.(*pgproto3.Terminate); ends {
			return
		}
		if !ok || !strings.Contains(q.String, "pg_is_in_recovery") {
			s.mu.Lock()
			s.asked = append(s.asked, fmt.Sprintf("%+v", m))
			s.mu.Unlock()
			return
		}
		b.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("pg_is_in_recovery"), DataTypeOID: 16, DataTypeSize: 1, TypeModifier: -1}}})
		b.Send(&pgproto3.DataRow{Values: [][]byte{[]byte("t")}})
		b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	}
}

// TestAStandbyIsPassedOver: whatever the URL says, no connection of a node is to a server that
// is behind. While the primary restarts it is such a server that answers.
func TestAStandbyIsPassedOver(t *testing.T) {
	dsn := postgres.New(t)
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	for _, says := range []bool{true, false} {
		t.Run(fmt.Sprintf("that says so: %v", says), func(t *testing.T) {
			s := &standby{says: says}
			port := s.listen(t)
			u := mustParse(t, dsn)
			u.Host = ""
			q := u.Query()
			q.Set("host", "127.0.0.1,"+cfg.Host)
			q.Set("port", port+","+strconv.Itoa(int(cfg.Port)))
			u.RawQuery = q.Encode()
			db := open(t, u.String()) // the standby is asked first
			if err := db.Ready(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := db.Garbage().NextPass(t.Context()); err != nil {
				t.Error(err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.asked) > 0 {
				t.Errorf("the standby was asked for %q", s.asked)
			}
		})
	}
	t.Run("alone", func(t *testing.T) {
		port := (&standby{says: true}).listen(t)
		_, err := Open(t.Context(), "postgres://diskport@127.0.0.1:"+port+"/diskport?sslmode=disable", Options{})
		if !errors.Is(err, errStandby) || !strings.Contains(err.Error(), "name the primary") {
			t.Errorf("got %v", err)
		}
	})
}
