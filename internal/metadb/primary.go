package metadb

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// errStandby reports a server that replays what another one does. What it shows is behind that.
var errStandby = errors.New("the server is a standby, which can only be read")

// onPrimary returns a check of each new connection that refuses those to a standby, after
// which then, if it is not nil, is asked. The first connection of a node says nothing of the
// later ones: while the primary restarts, a URL of several hosts, a proxy or a service's name
// lead to a standby that answers. Such a connection would stay in the pool for as long as
// the node runs. Every write by it fails, and what it reads is old: a revoked key still
// signs, and gc finds that nothing names what has been registered since.
func onPrimary(then pgconn.ValidateConnectFunc) pgconn.ValidateConnectFunc {
	return func(ctx context.Context, c *pgconn.PgConn) error {
		standby, err := isStandby(ctx, c)
		switch {
		case err != nil:
			return fmt.Errorf("asking whether the server is a standby: %w", err)
		case standby:
			return errStandby
		case then != nil:
			return then(ctx, c)
		}
		return nil
	}
}

// isStandby takes a server's word for what it is. Those that are too old for a node do not say
// it by themselves, and some poolers do not hand it on, so these are asked.
func isStandby(ctx context.Context, c *pgconn.PgConn) (bool, error) {
	if said := c.ParameterStatus("in_hot_standby"); said != "" {
		return said == "on", nil
	}
	results, err := c.Exec(ctx, `SELECT pg_is_in_recovery()`).ReadAll()
	if err != nil {
		return false, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 1 {
		return false, errors.New("its answer has not one row of one column")
	}
	return string(results[0].Rows[0][0]) == "t", nil
}
