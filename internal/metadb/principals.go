package metadb

import (
	"cmp"
	"context"
	"database/sql"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
)

// bindPrincipals is the migration after which trust policies, key policies and grants
// name users and roles by their unique ids. It is not in SQL because policies are JSON.
func bindPrincipals() *goose.Migration {
	up := func(ctx context.Context, tx *sql.Tx) error {
		if _, err := exec(ctx, tx, `CREATE INDEX iam_roles_by_id ON iam_roles (id)`); err != nil {
			return err
		}
		ids, _, err := entityNames(ctx, tx)
		if err != nil {
			return err
		}
		return renamePrincipals(ctx, tx, func(name string) string { return boundName(ids, name) })
	}
	down := func(ctx context.Context, tx *sql.Tx) error {
		_, arns, err := entityNames(ctx, tx)
		if err != nil {
			return err
		}
		if err := renamePrincipals(ctx, tx, func(id string) string { return cmp.Or(arns[id], id) }); err != nil {
			return err
		}
		_, err = exec(ctx, tx, `DROP INDEX iam_roles_by_id`)
		return err
	}
	return goose.NewGoMigration(19, &goose.GoFunc{RunTx: up}, &goose.GoFunc{RunTx: down})
}

// gonePrincipal is the id of who was not there when policies came to hold ids. No user
// or role can have it: those have no digits below 2.
const gonePrincipal = "AIDA00000000000000000"

// boundName returns the id of a principal; accounts, "*" and ids stay.
func boundName(ids map[string]string, name string) string {
	part := strings.SplitN(name, ":", 6)
	if len(part) != 6 || part[5] == "root" {
		return name
	}
	// Stored policies were good in any partition.
	resource := part[4] + ":" + part[5]
	if session, ok := strings.CutPrefix(part[5], "assumed-role/"); ok {
		role, session, _ := strings.Cut(session, "/")
		if id, ok := ids[part[4]+":assumed-role/"+role]; ok {
			return id + ":" + session
		}
	}
	if id, ok := ids[resource]; ok {
		return id
	}
	return gonePrincipal
}

// entityNames returns the ids of all users and roles by account and resource of their
// ARNs, and the ARNs by their ids.
func entityNames(ctx context.Context, q querier) (ids, arns map[string]string, err error) {
	ids, arns = map[string]string{}, map[string]string{}
	for table, kind := range map[string]string{"iam_users": "user", "iam_roles": "role"} {
		scan := func(s scanner) (struct{}, error) {
			var account, name, path, id string
			err := s.Scan(&account, &name, &path, &id)
			resource := account + ":" + kind + path + name
			ids[resource], arns[id] = id, "arn:aws:iam::"+resource
			if kind == "role" {
				ids[account+":assumed-role/"+name] = id
			}
			return struct{}{}, err
		}
		if _, err := all(ctx, q, scan, `SELECT account, name, path, id FROM `+table); err != nil {
			return nil, nil, err
		}
	}
	return ids, arns, nil
}

// renamePrincipals changes the names of principals wherever they are stored. A policy
// that is damaged stays as it is: it allows nothing.
func renamePrincipals(ctx context.Context, q querier, rename func(string) string) error {
	type document struct{ key, text string }
	scan := func(s scanner) (d document, err error) {
		err = s.Scan(&d.key, &d.text)
		return d, err
	}
	for _, at := range []struct{ table, key, column string }{{"iam_roles", "id", "trust"}, {"kms_keys", "id", "policy"}} {
		list, err := all(ctx, q, scan, `SELECT `+at.key+`, `+at.column+` FROM `+at.table)
		if err != nil {
			return err
		}
		for _, d := range list {
			text, err := policy.MapPrincipals(d.text, func(name string) (string, error) { return rename(name), nil })
			if err != nil || text == d.text {
				continue
			}
			if _, err := exec(ctx, q, `UPDATE `+at.table+` SET `+at.column+` = $1 WHERE `+at.key+` = $2 AND `+at.column+` = $3`, text, d.key, d.text); err != nil {
				return err
			}
		}
	}
	list, err := all(ctx, q, scan, `SELECT id, content FROM kms_grants`)
	if err != nil {
		return err
	}
	for _, d := range list {
		var g kms.Grant
		if err := grantContent.read(d.text, &g); err != nil {
			return err
		}
		g.Grantee, g.Retiring = rename(g.Grantee), rename(g.Retiring)
		content, err := grantContent.text(g)
		if err != nil {
			return err
		}
		if _, err := exec(ctx, q, `UPDATE kms_grants SET content = $1 WHERE id = $2`, content, d.key); err != nil {
			return err
		}
	}
	return nil
}
