package metadb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/identity/secret"
)

// Kept is a secret.Shelf of a DB: one column of one table.
type Kept struct {
	db            *DB
	table, column string
	owner         []string // columns that name a row
	where         string
}

var _ secret.Shelf = Kept{}

// KeptKeys returns the secrets of access keys; an owner is an account and the key's id.
func (db *DB) KeptKeys() Kept {
	return Kept{db, "iam_keys", "wrapped", []string{"account", "id"}, ""}
}

// KeptMaterial returns the material of KMS keys; an owner is an account, a region and the
// key's id.
func (db *DB) KeptMaterial() Kept {
	return Kept{db, "kms_keys", "wrapped", []string{"account", "region", "id"}, " AND wrapped IS NOT NULL"}
}

// KeptURLs returns the Urls of import tasks; an owner is a task.
func (db *DB) KeptURLs() Kept {
	return Kept{db, "tasks", "wrapped_url", []string{"id"}, " AND wrapped_url IS NOT NULL"}
}

// KeptSecrets returns those of the service as a whole (DB.Secret) that have these names,
// which are their owners.
func (db *DB) KeptSecrets(names ...string) Kept {
	return Kept{db, "meta", "value", []string{"name"}, " AND name IN ('" + strings.Join(names, "','") + "')"}
}

// Kept implements secret.Shelf.
func (k Kept) Kept(ctx context.Context, after []string, limit int) (list []secret.Kept, err error) {
	scan := func(s scanner) (x secret.Kept, err error) {
		x.Owner = make([]string, len(k.owner))
		dest := []any{&x.Wrapped}
		for i := range x.Owner {
			dest = append(dest, &x.Owner[i])
		}
		return x, s.Scan(dest...)
	}
	if after == nil {
		after = make([]string, len(k.owner))
	}
	columns := strings.Join(k.owner, ", ")
	stmt := fmt.Sprintf(`SELECT %s, %s FROM %s WHERE (%s) > %s%s ORDER BY %s LIMIT $%d`,
		k.column, columns, k.table, columns, placeholders(0, len(k.owner)), k.where, columns, len(k.owner)+1)
	err = k.db.ask(ctx, "list secrets of "+k.table, func(q querier) error {
		list, err = all(ctx, q, scan, stmt, append(args(after), limit)...)
		return err
	})
	return list, err
}

// Replace implements secret.Shelf.
func (k Kept) Replace(ctx context.Context, was secret.Kept, wrapped []byte) error {
	stmt := fmt.Sprintf(`UPDATE %s SET %s = $1 WHERE %s = $2 AND (%s) = %s`,
		k.table, k.column, k.column, strings.Join(k.owner, ", "), placeholders(2, len(k.owner)))
	return k.db.set(ctx, "wrap a secret of "+k.table+" anew", func(q querier) error {
		_, err := exec(ctx, q, stmt, slices.Concat([]any{wrapped, was.Wrapped}, args(was.Owner))...)
		return err
	})
}
