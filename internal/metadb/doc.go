// Package metadb implements the stores of all domains in SQL: on SQLite for one
// node, on PostgreSQL for many.
//
// A method of a store is one event and one transaction, with its statements in its
// own body. Both engines run the same statements, in a subset of SQL that both
// understand:
//
//   - placeholders are $1, $2, …; times are BIGINT microseconds since 1970 UTC, 0
//     for the zero time; truth is BIGINT 0 or 1; bytes are BYTEA;
//   - no now(), arrays, casts by ::, LIKE or generated ids; ids come from awsid;
//   - text is ordered in Go where the order matters, since collations differ; ids
//     are alike in all of them: one prefix, then lower-case letters and digits;
//   - a list is read along an index that has it in its order, behind a place, with a
//     limit; what belongs to a page (tags, live counts) is read for the page at once;
//   - every check before a write is a unique constraint, a guarded UPDATE or made
//     under a lock on the row that it depends on (lockAccount, lockTask), since
//     PostgreSQL runs at READ COMMITTED;
//   - rows of blocks and pages are written in the order of their ids, and a task's
//     row is locked before its units', so that transactions do not deadlock.
//
// # Columns that hold JSON
//
// Some columns hold a value as JSON (jsonColumn lists them; json_test.go has the
// golden encoding of each). Every such column has a version. Version 1 is the bare
// value; a later one is {"version":2,"value":…}. A program that meets a version that
// it does not know refuses the row and names column and version (VersionError). What
// may change:
//
//   - a field says its name in a tag; renaming it in Go changes nothing stored;
//   - a field may be added to a version if its absence means what rows without it
//     mean, and if an older program may lose it when it writes the row back: unknown
//     fields are ignored;
//   - whatever else changes makes the next version: a name, a type, a meaning, a
//     field that goes, and one that restricts (in a grant), since a program that ignores it
//     would allow too much. The older form stays readable beside the new one;
//   - one release reads a version before another writes it, since nodes of both work
//     on one database while they are replaced one by one.
//
// The pin of a task (source.Pin) has its own version, and the same rule.
//
// # Other nodes
//
// On PostgreSQL a DB carries wakes to other nodes and from them (Wakes). It waits for a
// server that restarts wherever nothing can have been changed, gives connections up that
// nothing acknowledges, and has the server end transactions that a stopped node leaves.
//
// The stores are small values made from a DB: db.Work(), db.Catalog() and so on.
// All of them are safe for concurrent use.
package metadb
