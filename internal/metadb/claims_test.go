package metadb

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/work"
)

// queueUnits fills a database with units, half of them an account's, the others of a
// thousand: ranges, and one plan to three of them. Of ten of them putOff are put off until a time.
func queueUnits(t testing.TB, db *DB, n, putOff int, until time.Time) {
	t.Helper()
	must(t, db, func(q querier) error {
		_, err := exec(t.Context(), q, `
			INSERT INTO units (id, account, kind, task, range_index, owner, attempt, lease_until, created, not_before, put_off)
			WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < $1)
			SELECT n, CASE WHEN n % 2 = 0 THEN '500' ELSE '' || (n % 2000) END, CASE WHEN n % 4 < 1 THEN 'plan' ELSE 'range' END, 'task ' || n, 0, '', 0, 0, n,
				CASE WHEN n / 7 % 10 < $2 THEN CAST($3 AS BIGINT) ELSE 0 END, CASE WHEN n / 7 % 10 < $2 THEN 1 ELSE 0 END
			FROM i`, n, putOff, micros(until))
		return err
	})
}

// TestClaimsWalkAlongIndexes, however many units there are: in SQLite, and in a PostgreSQL
// that knows nothing yet about a table that has just been filled.
func TestClaimsWalkAlongIndexes(t *testing.T) {
	kinds := []work.Kind{work.Plan, work.Publish, work.Range}
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		now := time.Unix(2e9, 0)
		queueUnits(t, db, 20_000, 3, now.Add(time.Hour))
		w := db.Work()
		asked := args(kinds)
		for name, c := range map[string]struct {
			stmt string
			args []any
		}{
			"the first account":       {nextAccountStmt(kinds, "account >= $1 AND account <= $2"), append([]any{"", "7"}, asked...)},
			"the next account":        {nextAccountStmt(kinds, "account > $1"), append([]any{"7"}, asked...)},
			"the oldest unit":         {w.claimStmt(kinds), append([]any{"x", 1, micros(now), "500"}, asked...)},
			"any unit":                {anyDueStmt(kinds), append([]any{micros(now), micros(now.Add(work.MaxPause)), micros(now)}, asked...)},
			"the leased units":        {runningStmt(kinds), append([]any{micros(now)}, asked...)},
			"units that were put off": {w.findDueStmt(), []any{micros(now), micros(now.Add(work.MaxPause)), micros(now), mostFound}},
		} {
			plan := explain(t, db, c.stmt, c.args...)
			for _, wrong := range []string{"Seq Scan on units", "SCAN u", "SCAN units", "Sort Key: u"} {
				if wrong == "Sort Key: u" && (name == "units that were put off" || name == "any unit") {
					continue // it sorts them until it knows how many there are
				}
				if strings.Contains(plan, wrong) {
					t.Errorf("%s: %s in the plan:\n%s", name, wrong, plan)
				}
			}
			if !strings.Contains(plan, "units_") {
				t.Errorf("%s: no index of units in the plan:\n%s", name, plan)
			}
		}
	})
}

// explain returns the plan of a statement.
func explain(t *testing.T, db *DB, stmt string, values ...any) string {
	t.Helper()
	var lines []string
	must(t, db, func(q querier) (err error) {
		if db.engine.skipLocked != "" {
			lines, err = all(t.Context(), q, column[string], "EXPLAIN "+stmt, values...)
			return err
		}
		lines, err = all(t.Context(), q, func(s scanner) (line string, err error) {
			var id, parent, unused int
			return line, s.Scan(&id, &parent, &unused, &line)
		}, "EXPLAIN QUERY PLAN "+stmt, values...)
		return err
	})
	return strings.Join(lines, "\n")
}

// TestUnitsThatWerePutOffAreFoundInSlices: a claim that finds many of them due finds some,
// and those after it the others.
func TestUnitsThatWerePutOffAreFoundInSlices(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		now := time.Unix(2e9, 0)
		const n = 5 * mostFound
		queueUnits(t, db, n, 10, now.Add(-time.Hour))
		c := work.Claimer{Owner: "one", Kinds: []work.Kind{work.Plan, work.Range}}
		for i := range n {
			l, ok, err := db.Work().Claim(t.Context(), c, now)
			if err != nil || !ok {
				t.Fatalf("claim %d: %v, %v", i, ok, err)
			}
			left, err := db.count(t.Context(), "count", `SELECT COUNT(*) FROM units WHERE put_off = 1`)
			if want := max(0, n-(i+1)*mostFound); err != nil || left != want {
				t.Fatalf("%d units are put off after %d claims, %v; want %d", left, i+1, err, want)
			}
			c.After = l.Account
			if i > 5 {
				return
			}
		}
	})
}

// BenchmarkClaim claims units out of 100,000 of a thousand accounts, half of them one's.
//
//	go test ./internal/metadb -run '^$' -bench Claim
func BenchmarkClaim(b *testing.B) {
	now := time.Unix(2e9, 0)
	for _, engine := range benchEngines {
		for _, c := range []struct {
			name   string
			putOff int
			until  time.Time
		}{{"queued", 0, now}, {"some put off", 3, now.Add(time.Hour)}, {"all put off", 10, now.Add(time.Hour)}, {"all due again", 10, now.Add(-time.Hour)}} {
			b.Run(engine.name+"/"+c.name, func(b *testing.B) {
				db := open(b, engine.open(b))
				queueUnits(b, db, 100_000, c.putOff, c.until)
				if engine.name == "postgres" { // it does so by itself before long
					must(b, db, func(q querier) error { _, err := exec(b.Context(), q, `ANALYZE`); return err })
				}
				claimer := work.Claimer{Owner: "one", Kinds: []work.Kind{work.Plan, work.Publish, work.Range}}
				var slowest time.Duration
				leased := 0
				for b.Loop() {
					began := time.Now()
					l, ok, err := db.Work().Claim(b.Context(), claimer, now)
					slowest = max(slowest, time.Since(began))
					if err != nil || ok == (c.name == "all put off") {
						b.Fatal(ok, err)
					}
					if claimer.After = l.Account; ok {
						leased++
					}
					if leased%20 == 19 { // as many as a few nodes do at a time
						must(b, db, func(q querier) error {
							_, err := exec(b.Context(), q, `DELETE FROM units WHERE owner = 'one'`)
							return err
						})
						leased = 0
					}
				}
				b.ReportMetric(float64(slowest.Microseconds())/1000, "slowest-ms")
			})
		}
	}
}

// TestClaimThatIsNotCommitted claims nothing. A runner that went on with the unit would do so without
// a lease, so gc would not wait for it; and once the node claims the unit again, under one that looks the
// same: what gc has freed meanwhile could be named.
func TestClaimThatIsNotCommitted(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		must(t, db, func(q querier) error {
			return db.addUnits(t.Context(), q, db.unit(work.Unit{Account: "a", Kind: work.Range, Task: "t"}))
		})
		now, who := time.Now(), work.Claimer{Owner: "n", Kinds: []work.Kind{work.Range}}
		failing := *db
		asked := 0
		failing.around = func(_ context.Context, transaction func() error) error {
			err := transaction()
			if asked++; asked == 2 { // the first looks whether there is a unit
				err = errors.Join(err, errFault)
			}
			return err
		}
		if l, ok, err := failing.Work().Claim(t.Context(), who, now); ok || l != (work.Lease{}) || !errors.Is(err, errFault) {
			t.Errorf("a claim without an answer returned %+v, %v, %v", l, ok, err)
		}
		l, ok, err := db.Work().Claim(t.Context(), who, now.Add(work.LeaseFor+time.Second))
		if !ok || err != nil || l.Task != "t" {
			t.Errorf("the unit can't be claimed later: %+v, %v, %v", l, ok, err)
		}
	})
}
