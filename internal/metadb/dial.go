package metadb

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// silence is how long a PostgreSQL may acknowledge nothing before its connections count as
// lost. A node that is cut off would wait for a quarter of an hour otherwise.
const silence = 10 * time.Second

// dialer returns what connects to PostgreSQL.
func dialer() *net.Dialer {
	return &net.Dialer{
		Timeout:         silence,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silence / 2, Interval: silence / 4, Count: 2},
		Control: func(network, _ string, c syscall.RawConn) (err error) {
			if network == "unix" {
				return nil
			}
			controlled := c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds()))
			})
			if controlled != nil {
				return controlled
			}
			return err
		},
	}
}
