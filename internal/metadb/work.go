package metadb

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/span"
	"github.com/diskport/diskport/internal/work"
)

// Work is the work.Store of a DB.
type Work struct{ db *DB }

var (
	_ work.Store      = Work{}
	_ work.Starter    = Work{}
	_ work.Queues     = Work{}
	_ work.Resumer    = Work{}
	_ work.Agenda     = Work{}
	_ work.Affinities = Work{}
)

// Work returns the store of units of work.
func (db *DB) Work() Work { return Work{db} }

// freeing are the kinds of units that free room: those are claimed, kept and handed
// back on a full disk too, or it would stay full.
var freeing = []work.Kind{work.Cleanup, work.LetGo, work.GC, work.Expire, work.Retain, work.Purge, work.Outbox, work.Tell}

// changeOf returns how units of a kind are changed.
func (db *DB) changeOf(kind work.Kind) func(ctx context.Context, what string, fn func(querier) error) error {
	if slices.Contains(freeing, kind) {
		return db.unset
	}
	return db.set
}

// Claim implements work.Store.
func (w Work) Claim(ctx context.Context, c work.Claimer, now time.Time) (l work.Lease, ok bool, err error) {
	l, ok, err = w.claim(ctx, w.db.update, c, now)
	if !errors.Is(err, space.ErrFull) {
		return l, ok, err
	}
	c.Kinds = slices.DeleteFunc(slices.Clone(c.Kinds), func(k work.Kind) bool { return !slices.Contains(freeing, k) })
	if len(c.Kinds) == 0 {
		return l, ok, err
	}
	return w.claim(ctx, w.db.free, c, now)
}

func (w Work) claim(ctx context.Context, change func(context.Context, string, func(querier) error) error,
	c work.Claimer, now time.Time) (l work.Lease, ok bool, err error) {
	if len(c.Kinds) == 0 {
		return l, false, nil
	}
	const what = "claim a unit of work"
	found := false
	err = w.db.ask(ctx, what, func(q querier) (err error) {
		_, found, err = one(ctx, q, column[int64], anyDueStmt(c.Kinds), append([]any{micros(now), micros(now.Add(work.MaxPause)), micros(now.Add(work.Skew))}, args(c.Kinds)...)...)
		return err
	})
	if full := errors.Is(err, space.ErrFull); !full && (err != nil || !found) { // on a full disk reading may fail too
		return l, false, err
	}
	err = change(ctx, what, func(q querier) (err error) {
		if err := w.findDue(ctx, q, now); err != nil {
			return err
		}
		l, ok, err = w.claimFirst(ctx, q, c, now)
		return err
	})
	if err != nil { // the claim may have been rolled back: then another has the unit, perhaps by a lease that looks the same
		return work.Lease{}, false, err
	}
	return l, ok, nil
}

// putOffDue are the conditions on a unit u that was put off and is due: $1 is now, and $2 and $3
// are further ahead than a clock that is right would have had it.
var putOffDue = []struct{ column, than string }{{"u.not_before", "<= $1"}, {"u.not_before", "> $2"}, {"u.claimed", "> $3"}}

// anyDueStmt returns a query of a row, if there may be a unit to claim: claimers that find none
// ask for nothing else, and keep no writer waiting.
func anyDueStmt(kinds []work.Kind) string {
	var each []string
	for _, due := range putOffDue {
		each = append(each, fmt.Sprintf("SELECT u.id FROM units u WHERE u.put_off = 1 AND %s %s ORDER BY %[1]s LIMIT 1", due.column, due.than))
	}
	for i := range kinds {
		each = append(each, fmt.Sprintf("SELECT u.id FROM units u WHERE u.put_off = 0 AND u.kind = $%d AND u.lease_until <= $1 LIMIT 1", i+4))
	}
	return union(each) + " LIMIT 1"
}

// mostFound is how many units that were put off one claim finds due. The next finds more.
const mostFound = 100

// findDue finds units that were put off to be due: their time has come, or a clock that ran
// ahead has put them off.
func (w Work) findDue(ctx context.Context, q querier, now time.Time) error {
	_, err := exec(ctx, q, w.findDueStmt(), micros(now), micros(now.Add(work.MaxPause)), micros(now.Add(work.Skew)), mostFound)
	return err
}

func (w Work) findDueStmt() string {
	each := make([]string, 0, 3)
	for _, due := range putOffDue {
		// The order makes PostgreSQL walk along the index of the column.
		each = append(each, fmt.Sprintf("SELECT u.id FROM units u WHERE u.put_off = 1 AND %s %s ORDER BY %[1]s LIMIT $4%[3]s", due.column, due.than, w.db.engine.skipLocked))
	}
	return "UPDATE units SET put_off = 0 WHERE id IN (" + union(each) + ")"
}

// union joins queries that have limits and locks of their own.
func union(queries []string) string {
	parts := make([]string, len(queries))
	for i, text := range queries {
		parts[i] = fmt.Sprintf("SELECT * FROM (%s) part%d", text, i)
	}
	return strings.Join(parts, " UNION ALL ")
}

// claimFirst claims the first unit in the order of work.Store.Claim.
func (w Work) claimFirst(ctx context.Context, q querier, c work.Claimer, now time.Time) (l work.Lease, ok bool, err error) {
	running, err := w.running(ctx, q, c.Kinds, now)
	if err != nil {
		return l, false, err
	}
	var busy []string // in the order of their turns
	err = w.turns(ctx, q, c, func(account string) (done bool, err error) {
		if running[account] > 0 {
			busy = append(busy, account)
			return false, nil
		}
		l, ok, err = w.claimOf(ctx, q, c, account, now)
		return ok, err
	})
	slices.SortStableFunc(busy, func(a, b string) int { return cmp.Compare(running[a], running[b]) })
	for _, account := range busy {
		if ok || err != nil {
			break
		}
		l, ok, err = w.claimOf(ctx, q, c, account, now)
	}
	return l, ok, err
}

// running returns how many units of these kinds are leased, by account: those that have
// some.
func (w Work) running(ctx context.Context, q querier, kinds []work.Kind, now time.Time) (map[string]int, error) {
	type busy struct {
		account string
		units   int
	}
	all, err := all(ctx, q, func(s scanner) (b busy, err error) { return b, s.Scan(&b.account, &b.units) }, runningStmt(kinds), append([]any{micros(now)}, args(kinds)...)...)
	running := map[string]int{}
	for _, b := range all {
		running[b.account] = b.units
	}
	return running, err
}

func runningStmt(kinds []work.Kind) string {
	return "SELECT account, COUNT(*) FROM units WHERE lease_until > 0 AND lease_until > $1 AND kind IN " + placeholders(1, len(kinds)) + " GROUP BY account"
}

// turns calls visit with the accounts that have units of the claimer's kinds which are not
// put off, in the order of their turns, until it is done. It finds one after the other.
func (w Work) turns(ctx context.Context, q querier, c work.Claimer, visit func(account string) (done bool, err error)) error {
	for _, rest := range []bool{false, true} {
		from, values := "account > $1", []any{c.After}
		if rest { // those up to the one that was served last
			from, values = "account >= $1 AND account <= $2", []any{"", c.After}
		}
		for {
			account, _, err := one(ctx, q, column[sql.NullString], nextAccountStmt(c.Kinds, from), append(values, args(c.Kinds)...)...)
			if err != nil {
				return err
			}
			if !account.Valid {
				break
			}
			if done, err := visit(account.String); done || err != nil {
				return err
			}
			from = strings.Replace(from, "account >= $1", "account > $1", 1)
			values[0] = account.String
		}
	}
	return nil
}

// nextAccountStmt returns a query of the first account in a range of them. PostgreSQL may read
// all of them for a MIN.
func nextAccountStmt(kinds []work.Kind, from string) string {
	before := strings.Count(from, "$")
	each := make([]string, len(kinds))
	for i := range kinds {
		each[i] = fmt.Sprintf("SELECT account FROM units WHERE put_off = 0 AND kind = $%d AND %s ORDER BY account LIMIT 1", before+i+1, from)
	}
	return "SELECT MIN(account) FROM (" + union(each) + ") firsts"
}

// claimOf claims the oldest unit of an account that can be. On PostgreSQL the query locks
// the row that it finds and passes over those that other nodes are claiming.
func (w Work) claimOf(ctx context.Context, q querier, c work.Claimer, account string, now time.Time) (work.Lease, bool, error) {
	values := append([]any{c.Owner, micros(now.Add(work.LeaseFor)), micros(now), account}, args(c.Kinds)...)
	return one(ctx, q, scanLease, w.claimStmt(c.Kinds), values...)
}

func (w Work) claimStmt(kinds []work.Kind) string {
	each := make([]string, len(kinds))
	for i := range kinds {
		each[i] = fmt.Sprintf(`
			SELECT u.id, u.created, u.range_index FROM units u
			WHERE u.put_off = 0 AND u.kind = $%d AND u.account = $4 AND u.lease_until <= $3`+notUnpacking+notElsewhere+`
			ORDER BY u.created, u.range_index, u.id LIMIT 1`+w.db.engine.skipLocked, i+5)
	}
	return `
		UPDATE units SET owner = $1, lease_until = $2, attempt = attempt + 1, claims = claims + 1, claimed = $3
		WHERE lease_until <= $3 AND id = (SELECT id FROM (` + union(each) + `) firsts ORDER BY created, range_index, id LIMIT 1)
		RETURNING id, account, kind, task, range_index, done, owner, attempt, lease_until, claims, failures, waits, waited, trace, furthest`
}

// notUnpacking is a condition on a unit u that is to be claimed at $3: its task has
// nothing that must be unpacked before.
const notUnpacking = `
				AND NOT (u.kind IN ('` + string(work.Range) + `', '` + string(work.Unpack) + `') AND EXISTS (
					SELECT 1 FROM units x WHERE x.task = u.task AND x.kind = '` + string(work.Unpack) + `' AND x.id <> u.id
						AND (u.kind = '` + string(work.Range) + `' OR x.lease_until > $3)))`

// notElsewhere is a condition on a unit u that is to be claimed at $3 by $1: no other node
// has unpacked what it needs.
const notElsewhere = `
				AND NOT (u.kind IN ('` + string(work.Range) + `', '` + string(work.Unpack) + `') AND EXISTS (
					SELECT 1 FROM affinities f WHERE f.task = u.task AND f.owner <> $1 AND f.until > $3))`

// Renew implements work.Store.
func (w Work) Renew(ctx context.Context, l work.Lease, now time.Time, p work.Progress) (work.Lease, error) {
	asked := time.Now()
	if w.db.engine.shared { // there may be nobody at the other end, and another node may have the unit by then
		var done context.CancelFunc
		ctx, done = context.WithTimeoutCause(ctx, max(l.Until.Sub(now), work.Heartbeat), work.ErrNoDatabase)
		defer done()
	}
	err := w.db.changeOf(l.Kind)(ctx, "renew "+unitName(l), func(q querier) error {
		// The only writer may have kept this one waiting for long.
		l.Until = fromMicros(micros(now.Add(time.Since(asked).Truncate(time.Second) + work.LeaseFor)))
		n, err := exec(ctx, q, `
			UPDATE units SET lease_until = $1, progress = CASE WHEN $3 >= furthest THEN $2 ELSE progress END,
				claims = CASE WHEN $3 > furthest THEN 0 ELSE claims END,
				furthest = CASE WHEN $3 > furthest THEN $3 ELSE furthest END
			WHERE id = $4 AND owner = $5 AND attempt = $6`,
			micros(l.Until), p.Data, p.Done, l.ID, l.Owner, l.Attempt)
		return lostUnless(n, err)
	})
	if err != nil && errors.Is(context.Cause(ctx), work.ErrNoDatabase) {
		err = fmt.Errorf("%w in time: %w", work.ErrNoDatabase, err)
	}
	return l, err
}

// Release implements work.Store.
func (w Work) Release(ctx context.Context, l work.Lease, kind work.Kind, notBefore time.Time) error {
	return w.db.changeOf(l.Kind)(ctx, "release "+unitName(l), func(q querier) error {
		_, err := exec(ctx, q, `
			UPDATE units SET owner = '', lease_until = 0, not_before = $1, put_off = 1,
				claims = CASE WHEN kind = $2 OR claims = 0 THEN 0 ELSE claims - 1 END,
				failures = CASE WHEN kind = $2 THEN 0 ELSE failures END,
				failing_since = CASE WHEN kind = $2 THEN 0 ELSE failing_since END,
				last_error = CASE WHEN kind = $2 THEN '' ELSE last_error END,
				waits = CASE WHEN kind = $2 THEN 0 ELSE waits END,
				waited = CASE WHEN kind = $2 THEN 0 ELSE waited END,
				waiting_since = CASE WHEN kind = $2 THEN 0 ELSE waiting_since END,
				waits_for = CASE WHEN kind = $2 THEN '' ELSE waits_for END,
				kind = $2
			WHERE id = $3 AND owner = $4 AND attempt = $5`,
			micros(notBefore), kind, l.ID, l.Owner, l.Attempt)
		return err
	})
}

// Retry implements work.Store. Whoever returned an error is alive, as is whoever hands
// a unit back, so the claims are counted anew.
func (w Work) Retry(ctx context.Context, l work.Lease, cause string, notBefore time.Time) error {
	return w.db.changeOf(l.Kind)(ctx, "retry "+unitName(l), func(q querier) error {
		_, err := exec(ctx, q, `
			UPDATE units SET owner = '', lease_until = 0, not_before = $1, put_off = 1, claims = 0, failures = failures + 1,
				failing_since = CASE WHEN failing_since = 0 THEN $2 ELSE failing_since END, last_error = $3,
				waits = 0, waited = 0, waiting_since = 0, waits_for = ''
			WHERE id = $4 AND owner = $5 AND attempt = $6`,
			micros(notBefore), micros(w.db.now()), cause, l.ID, l.Owner, l.Attempt)
		return err
	})
}

// Wait implements work.Store.
func (w Work) Wait(ctx context.Context, l work.Lease, missing string, now time.Time, pause time.Duration) error {
	return w.db.unset(ctx, "put off "+unitName(l), func(q querier) error {
		_, err := exec(ctx, q, `
			UPDATE units SET owner = '', lease_until = 0, not_before = $1, put_off = 1, claims = 0, waits = waits + 1, waited = waited + $7,
				waiting_since = CASE WHEN waiting_since = 0 THEN $2 ELSE waiting_since END, waits_for = $3
			WHERE id = $4 AND owner = $5 AND attempt = $6`,
			micros(now.Add(pause)), micros(w.db.now()), missing, l.ID, l.Owner, l.Attempt, pause.Microseconds())
		return err
	})
}

// Resume implements work.Resumer.
func (w Work) Resume(ctx context.Context, now time.Time) error {
	return w.db.set(ctx, "resume units that wait", func(q querier) error {
		_, err := exec(ctx, q, `
			UPDATE units SET not_before = 0, put_off = 0,
				waited = CASE WHEN not_before <= $1 THEN waited WHEN not_before - $1 > waited THEN 0 ELSE waited - (not_before - $1) END
			WHERE waits > 0 AND owner = ''`, micros(now))
		return err
	})
}

// Next implements work.Agenda.
func (w Work) Next(ctx context.Context, after time.Time, kinds ...work.Kind) (next []work.Appointment, err error) {
	scan := func(s scanner) (a work.Appointment, err error) {
		var at int64
		err = s.Scan(&a.Kind, &at)
		a.At = fromMicros(at)
		return a, err
	}
	err = w.db.ask(ctx, "look for the next unit of work", func(q querier) error {
		next, err = all(ctx, q, scan, listed(`
			SELECT kind, MIN(at) FROM (
				SELECT u.kind, CASE
					WHEN f.until > u.lease_until AND f.until > u.not_before AND f.until > u.created AND u.kind IN ('`+string(work.Range)+`', '`+string(work.Unpack)+`') THEN f.until
					WHEN u.lease_until > u.not_before AND u.lease_until > u.created THEN u.lease_until
					WHEN u.not_before > u.created THEN u.not_before ELSE u.created END AS at
				FROM units u LEFT JOIN affinities f ON f.task = u.task
				WHERE u.lease_until > $1 OR u.not_before > $1 OR u.created > $1 OR f.until > $1) due
			WHERE at > $1 AND kind IN (?) GROUP BY kind ORDER BY kind`, 1, len(kinds)), append([]any{micros(after)}, args(kinds)...)...)
		return err
	})
	return next, err
}

// Keep implements work.Affinities.
func (w Work) Keep(ctx context.Context, owner string, now time.Time, tasks ...string) (kept []string, err error) {
	rows := make([][]any, len(tasks))
	for i, task := range tasks {
		rows[i] = []any{task, owner, micros(now.Add(work.LeaseFor))}
	}
	slices.SortFunc(rows, func(a, b []any) int { return strings.Compare(a[0].(string), b[0].(string)) }) // nodes lock them in one order
	err = w.db.update(ctx, "keep what node "+owner+" has unpacked", func(q querier) error {
		if err := insert(ctx, q, rows, `
			INSERT INTO affinities (task, owner, until) VALUES (?)
			ON CONFLICT (task) DO UPDATE SET owner = excluded.owner, until = excluded.until
			WHERE affinities.owner = excluded.owner OR affinities.until <= excluded.until - `+leaseMicros); err != nil {
			return err
		}
		kept, err = allIn(ctx, q, column[string], args(tasks), `SELECT task FROM affinities WHERE owner = $1 AND task IN (?)`, owner)
		return err
	})
	return kept, err
}

// leaseMicros is work.LeaseFor in microseconds.
var leaseMicros = strconv.FormatInt(work.LeaseFor.Microseconds(), 10)

// Drop implements work.Affinities. It removes what dead nodes have left, too.
func (w Work) Drop(ctx context.Context, owner string, now time.Time, tasks ...string) error {
	return w.db.free(ctx, "let go of what node "+owner+" had unpacked", func(q querier) error {
		if _, err := execIn(ctx, q, args(tasks), `DELETE FROM affinities WHERE owner = $1 AND task IN (?)`, owner); err != nil {
			return err
		}
		_, err := exec(ctx, q, `DELETE FROM affinities WHERE until <= $1`, micros(now.Add(-work.MaxPause)))
		return err
	})
}

// ExpireAll implements work.Starter.
func (w Work) ExpireAll(ctx context.Context) error {
	return w.db.unset(ctx, "expire all leases", func(q querier) error {
		_, err := exec(ctx, q, `UPDATE units SET owner = '', lease_until = 0 WHERE owner <> ''`)
		return err
	})
}

// Ensure implements work.Starter.
func (w Work) Ensure(ctx context.Context, duties ...work.Kind) error {
	units := make([]work.Lease, len(duties))
	for i, kind := range duties {
		units[i] = w.db.unit(work.Unit{Kind: kind})
	}
	return w.db.update(ctx, "ensure the units of periodic duties", func(q querier) error {
		return insert(ctx, q, w.db.unitRows(ctx, units...), insertUnits+` ON CONFLICT (task, kind, range_index) DO NOTHING`)
	})
}

func scanLease(s scanner) (l work.Lease, err error) {
	var until, waited int64
	err = s.Scan(&l.ID, &l.Account, &l.Kind, &l.Task, &l.Range, &l.Done, &l.Owner, &l.Attempt, &until, &l.Claims, &l.Failures, &l.Waits, &waited, &l.Trace, &l.Reached)
	l.Until, l.Waited = fromMicros(until), time.Duration(waited)*time.Microsecond
	return l, err
}

// unit returns the lease of a new unit that is not leased yet.
func (db *DB) unit(u work.Unit) work.Lease {
	u.ID = db.ids.Int63()
	return work.Lease{Unit: u}
}

// leased returns the first lease of a new unit, for the owner of l.
func (db *DB) leased(l work.Lease, kind work.Kind, index int) work.Lease {
	return work.Lease{
		Unit:    work.Unit{ID: db.ids.Int63(), Account: l.Account, Kind: kind, Task: l.Task, Range: index},
		Owner:   l.Owner,
		Attempt: 1,
		Claims:  1,
		Until:   fromMicros(micros(db.now().Add(work.LeaseFor))),
	}
}

// addUnits inserts units with their leases.
func (db *DB) addUnits(ctx context.Context, q querier, leases ...work.Lease) error {
	return insert(ctx, q, db.unitRows(ctx, leases...), insertUnits)
}

const insertUnits = `
	INSERT INTO units (id, account, kind, task, range_index, owner, attempt, lease_until, claims, created, trace) VALUES (?)`

func (db *DB) unitRows(ctx context.Context, leases ...work.Lease) [][]any {
	now, trace := micros(db.now()), span.Parent(ctx)
	rows := make([][]any, len(leases))
	for i, l := range leases {
		rows[i] = []any{l.ID, l.Account, l.Kind, l.Task, l.Range, l.Owner, l.Attempt, micros(l.Until), l.Claims, now, trace}
	}
	return rows
}

// holdUnit is the fence: it fails with work.ErrLost unless the lease is held, and
// keeps it from being lost until the transaction ends.
func holdUnit(ctx context.Context, q querier, l work.Lease) error {
	n, err := exec(ctx, q, `
		UPDATE units SET attempt = attempt WHERE id = $1 AND owner = $2 AND attempt = $3`, l.ID, l.Owner, l.Attempt)
	return lostUnless(n, err)
}

// finishUnit is the fence of an event that ends the unit.
func finishUnit(ctx context.Context, q querier, l work.Lease) error {
	n, err := exec(ctx, q, `DELETE FROM units WHERE id = $1 AND owner = $2 AND attempt = $3`, l.ID, l.Owner, l.Attempt)
	return lostUnless(n, err)
}

// handOn is the fence of an event that does part of a unit: the unit is given back, to
// be gone on with by whoever claims it, as if it were a new one that begins at done.
func handOn(ctx context.Context, q querier, l work.Lease, done int64) error {
	if done <= l.Done {
		return fmt.Errorf("%s: nothing is done between %d and %d", unitName(l), l.Done, done)
	}
	n, err := exec(ctx, q, `
		UPDATE units SET done = $1, owner = '', lease_until = 0, progress = NULL, not_before = 0, put_off = 0, claims = 0, furthest = 0, failures = 0,
			failing_since = 0, last_error = '', waits = 0, waited = 0, waiting_since = 0, waits_for = ''
		WHERE id = $2 AND owner = $3 AND attempt = $4`, done, l.ID, l.Owner, l.Attempt)
	return lostUnless(n, err)
}

// dropUnits takes all units of tasks away from their workers.
func dropUnits(ctx context.Context, q querier, tasks ...string) error {
	_, err := execIn(ctx, q, args(tasks), `DELETE FROM units WHERE task IN (?)`)
	return err
}

func lostUnless(affected int64, err error) error {
	if err == nil && affected == 0 {
		return work.ErrLost
	}
	return err
}

func unitName(l work.Lease) string {
	return fmt.Sprintf("unit %d (%s of %q)", l.ID, l.Kind, l.Task)
}

// Queues implements work.Queues.
func (w Work) Queues(ctx context.Context, now time.Time) (queues []work.Queue, err error) {
	scan := func(s scanner) (q work.Queue, err error) {
		var since int64
		err = s.Scan(&q.Kind, &q.Due, &q.Later, &q.Leased, &since)
		q.Waiting = fromMicros(since)
		return q, err
	}
	err = w.db.ask(ctx, "count the units of work", func(q querier) error {
		queues, err = all(ctx, q, scan, `
			SELECT kind, SUM(due), SUM(1 - due - leased), SUM(leased), COALESCE(MIN(CASE WHEN due = 1 THEN since END), 0) FROM (
				SELECT kind, CASE WHEN lease_until > $1 THEN 1 ELSE 0 END AS leased,
					CASE WHEN lease_until <= $1 AND not_before <= $1 THEN 1 ELSE 0 END AS due,
					CASE WHEN not_before > created THEN not_before ELSE created END AS since
				FROM units) u
			GROUP BY kind ORDER BY kind`, micros(now))
		return err
	})
	return queues, err
}
