// Package metadb keeps everything that the domains' stores promise, in SQL: on
// SQLite for one node, on PostgreSQL for many.
//
// A method of a store is one event: one transaction, its statements beside it.
// Both engines run the same statements, within a subset that both understand:
//
//   - placeholders are $1, $2, …; times are BIGINT microseconds since 1970 UTC, 0
//     for the zero time; truth is BIGINT 0 or 1; bytes are BYTEA;
//   - no now(), arrays, casts by ::, LIKE or generated ids; ids come from awsid;
//   - text is ordered in Go where the order matters: collations differ;
//   - every check before a write is a unique constraint, a guarded UPDATE or made
//     under a lock on the row that it depends on (lockAccount, lockTask), since
//     PostgreSQL runs at READ COMMITTED;
//   - rows of blocks and pages are written in the order of their ids, and a task's
//     row is locked before its units', so that transactions do not deadlock.
//
// The stores are small values made from a DB: db.Work(), db.Catalog() and so on.
// All of them are safe for concurrent use.
package metadb
