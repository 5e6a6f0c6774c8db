package server

import (
	"context"
	"fmt"
	"strings"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/imports/importtask"
)

// owns says what an account has that must be gone before the account: all but
// identities, which go with it. Tasks that have ended are history, and keys that
// AWS manages nobody can delete.
func (a *App) owns(ctx context.Context, account string) (string, error) {
	p := a.parts
	snapshots, err := p.db.Snapshots().List(ctx, account)
	if err != nil {
		return "", err
	}
	images, err := p.db.Images().List(ctx, account)
	if err != nil {
		return "", err
	}
	tasks, err := p.db.Tasks().List(ctx, account)
	if err != nil {
		return "", err
	}
	buckets, err := p.objects.Buckets(ctx, account)
	if err != nil {
		return "", err
	}
	keys, err := p.kms.Keys(ctx, account, a.cfg.Region)
	if err != nil {
		return "", err
	}
	var owned []string
	count := func(n int, what string) {
		if n == 1 {
			owned = append(owned, "1 "+what)
		} else if n > 1 {
			owned = append(owned, fmt.Sprintf("%d %ss", n, what))
		}
	}
	count(len(snapshots), "snapshot")
	count(len(images), "image")
	count(number(tasks, running), "running task")
	count(len(buckets), "bucket")
	count(number(keys, func(k kms.Key) bool { return k.Manager == kms.Customer }), "KMS key")
	return strings.Join(owned, ", "), nil
}

func number[T any](list []T, counts func(T) bool) (n int) {
	for _, v := range list {
		if counts(v) {
			n++
		}
	}
	return n
}

// running reports whether a task may still need its pin.
func running(t importtask.Task) bool {
	return t.State == importtask.Active || t.State == importtask.Deleting
}
