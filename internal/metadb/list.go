package metadb

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/listing"
)

// query is a statement that is being built. A list is read by one or more
// statements, each along an index that has its rows in the list's order, and merged
// in Go.
type query struct {
	from  string // SELECT … FROM …
	order string // two columns: when, and the id
	where []string
	args  []any
}

// and adds a condition; each ? in it stands for one of args.
func (s query) and(condition string, args ...any) query {
	var b strings.Builder
	n := len(s.args)
	for _, c := range condition {
		if c != '?' {
			b.WriteRune(c)
			continue
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
	}
	s.where = append(slices.Clone(s.where), b.String())
	s.args = append(slices.Clone(s.args), args...)
	return s
}

// in adds the condition that a column has one of the values, unless they are nil.
func in[V any](s query, column string, values []V) query {
	switch {
	case values == nil:
		return s
	case len(values) == 0:
		return s.and(`1 = 0`)
	}
	return s.and(column+` IN `+marks(len(values)), args(values)...)
}

// marks returns "(?,…,?)".
func marks(n int) string { return "(" + strings.Repeat(",?", n)[1:] + ")" }

// text returns the statement.
func (s query) text() string {
	if len(s.where) == 0 {
		return s.from
	}
	return s.from + ` WHERE ` + strings.Join(s.where, ` AND `)
}

// page reads at most limit rows from behind a place, in order.
func page[T any](ctx context.Context, q querier, scan func(scanner) (T, error), s query, after listing.Place, limit int) ([]T, error) {
	s = s.and(`(`+s.order+`) > (?, ?)`, after.Created, after.ID)
	return all(ctx, q, scan, s.text()+` ORDER BY `+s.order+atMost(limit), s.args...)
}

// atMost returns the LIMIT of a statement, as a literal: without knowing it,
// PostgreSQL makes plans that read and sort too much.
func atMost(limit int) string { return ` LIMIT ` + strconv.Itoa(limit) }

// pages reads a list by several statements: the rows of all of them behind a place,
// in order, each row once, at most limit.
func pages[T any](ctx context.Context, q querier, scan func(scanner) (T, error), ways []query, at func(T) listing.Place, after listing.Place, limit int) ([]T, error) {
	var rows []T
	for _, s := range ways {
		some, err := page(ctx, q, scan, s, after, limit)
		if err != nil {
			return nil, err
		}
		rows = append(rows, some...)
	}
	return cut(rows, at, after, limit), nil
}

// byID reads the rows with the ids that match s, behind a place, in order, at most
// limit.
func byID[T any](ctx context.Context, q querier, scan func(scanner) (T, error), s query, column string, ids []string, at func(T) listing.Place, after listing.Place, limit int) ([]T, error) {
	var rows []T
	err := chunks(slices.Compact(slices.Sorted(slices.Values(ids))), func(c []string) error {
		s := in(s, column, c)
		some, err := all(ctx, q, scan, s.text(), s.args...)
		rows = append(rows, some...)
		return err
	})
	return cut(rows, at, after, limit), err
}

// cut returns the rows behind a place, in order, each once, at most limit.
func cut[T any](rows []T, at func(T) listing.Place, after listing.Place, limit int) []T {
	order := func(a, b T) int { return at(a).Compare(at(b)) }
	slices.SortFunc(rows, order)
	rows = slices.CompactFunc(rows, func(a, b T) bool { return order(a, b) == 0 })
	rows = slices.DeleteFunc(rows, func(r T) bool { return at(r).Compare(after) <= 0 })
	return rows[:min(limit, len(rows))]
}

// count returns the count that a statement selects.
func (db *DB) count(ctx context.Context, what, stmt string, args ...any) (n int, err error) {
	err = db.ask(ctx, what, func(q querier) error {
		n, _, err = one(ctx, q, column[int], stmt, args...)
		return err
	})
	return n, err
}
