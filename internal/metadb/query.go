package metadb

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// scanner is a row.
type scanner interface{ Scan(dest ...any) error }

// exec runs a statement and returns how many rows it affected.
func exec(ctx context.Context, q querier, stmt string, args ...any) (int64, error) {
	r, err := q.ExecContext(ctx, stmt, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// all returns every row of a query.
func all[T any](ctx context.Context, q querier, scan func(scanner) (T, error), stmt string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, stmt, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// one returns the only row of a query; ok is false when there is none.
func one[T any](ctx context.Context, q querier, scan func(scanner) (T, error), stmt string, args ...any) (v T, ok bool, err error) {
	rows, err := all(ctx, q, scan, stmt, args...)
	if err != nil || len(rows) == 0 {
		return v, false, err
	}
	return rows[0], true, nil
}

// column scans rows of one column.
func column[T any](s scanner) (v T, err error) {
	err = s.Scan(&v)
	return v, err
}

// maxChunk is the most keys or rows in one statement. SQLite looks placeholders up
// one by one, so long lists cost more than they save. Smaller chunks are a quarter
// of the next larger one, so that a statement exists in four lengths and engines
// can cache them.
const maxChunk = 64

// chunks calls fn with keys in their order, at most maxChunk at a time.
func chunks[K any](keys []K, fn func([]K) error) error {
	for size := maxChunk; len(keys) > 0; {
		for size > len(keys) {
			size /= 4
		}
		if err := fn(keys[:size]); err != nil {
			return err
		}
		keys = keys[size:]
	}
	return nil
}

// allIn is all for a statement with one list of keys: "(?)" stands for the list,
// $1 to $n for args.
func allIn[T any](ctx context.Context, q querier, scan func(scanner) (T, error), keys []any, stmt string, args ...any) ([]T, error) {
	var out []T
	err := chunks(keys, func(c []any) error {
		rows, err := all(ctx, q, scan, listed(stmt, len(args), len(c)), slices.Concat(args, c)...)
		out = append(out, rows...)
		return err
	})
	return out, err
}

// execIn is exec for a statement with one list of keys, as in allIn.
func execIn(ctx context.Context, q querier, keys []any, stmt string, args ...any) (int64, error) {
	var affected int64
	err := chunks(keys, func(c []any) error {
		n, err := exec(ctx, q, listed(stmt, len(args), len(c)), slices.Concat(args, c)...)
		affected += n
		return err
	})
	return affected, err
}

// insert inserts rows of equal width: "(?)" in stmt stands for what follows VALUES.
func insert(ctx context.Context, q querier, rows [][]any, stmt string) error {
	return chunks(rows, func(c [][]any) error {
		groups := make([]string, len(c))
		for i, row := range c {
			groups[i] = placeholders(i*len(row), len(row))
		}
		full := strings.Replace(stmt, "(?)", strings.Join(groups, ","), 1)
		_, err := exec(ctx, q, full, slices.Concat(c...)...)
		return err
	})
}

func listed(stmt string, after, n int) string {
	return strings.Replace(stmt, "(?)", placeholders(after, n), 1)
}

// placeholders returns "($after+1,…,$after+n)".
func placeholders(after, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(",$")
		b.WriteString(strconv.Itoa(after + i + 1))
	}
	return "(" + b.String()[1:] + ")"
}

// args makes a statement's arguments of strings and numbers.
func args[K any](keys []K) []any {
	out := make([]any, len(keys))
	for i, k := range keys {
		out[i] = k
	}
	return out
}

// flag returns a bool as it is stored. A stored one can be scanned into a bool
// directly.
func flag(on bool) int64 {
	if on {
		return 1
	}
	return 0
}

// hashes makes a statement's arguments of 32-byte ids: sorted, each once.
func hashes[H ~[32]byte](ids []H) []any {
	sorted := slices.Clone(ids)
	slices.SortFunc(sorted, compareHashes)
	sorted = slices.Compact(sorted)
	out := make([]any, len(sorted))
	for i := range sorted {
		out[i] = sorted[i][:]
	}
	return out
}

// sortedKeys returns the keys of a map in their order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func compareHashes[H ~[32]byte](a, b H) int { return bytes.Compare(a[:], b[:]) }

// hash reads a column that holds a 32-byte id.
type hash [32]byte

// Scan implements sql.Scanner.
func (h *hash) Scan(v any) error {
	b, ok := v.([]byte)
	if !ok || len(b) != len(h) {
		return fmt.Errorf("an id of %d bytes was expected", len(h))
	}
	copy(h[:], b)
	return nil
}
