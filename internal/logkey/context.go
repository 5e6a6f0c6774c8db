package logkey

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
)

// ids are what lines about a request say of it: values by key.
type ids struct {
	mu    sync.Mutex // guards known
	known map[string]string
}

type idsKey struct{}

// Begin returns a context whose lines have the id of a request, and what is noted of it.
func Begin(ctx context.Context, request string) context.Context {
	return context.WithValue(ctx, idsKey{}, &ids{known: map[string]string{Request: request}})
}

// Note notes something that the request of ctx concerns, for the lines that are logged with
// ctx from now on. What is empty, or was noted before, changes nothing; nor does anything
// outside a request.
func Note(ctx context.Context, key, value string) {
	of, ok := ctx.Value(idsKey{}).(*ids)
	if !ok || value == "" {
		return
	}
	of.mu.Lock()
	defer of.mu.Unlock()
	if _, ok := of.known[key]; !ok {
		of.known[key] = value
	}
}

// NoteID is Note for the id of a task or snapshot, by what it looks like. Any other text,
// which a client may have sent, changes nothing.
func NoteID(ctx context.Context, id string) {
	const longest = 64
	switch {
	case len(id) > longest || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-/") != "":
	case strings.HasPrefix(id, "import-"):
		Note(ctx, Task, id)
	case strings.HasPrefix(id, "snap-"):
		Note(ctx, Snapshot, id)
	}
}

// Noted returns what was noted of the request of ctx by a key; empty if nothing was.
func Noted(ctx context.Context, key string) string {
	of, ok := ctx.Value(idsKey{}).(*ids)
	if !ok {
		return ""
	}
	of.mu.Lock()
	defer of.mu.Unlock()
	return of.known[key]
}

// handler adds what was noted.
type handler struct{ slog.Handler }

// Handler returns a handler that adds to each line what was noted of its context's request,
// unless the line says it itself.
func Handler(h slog.Handler) slog.Handler { return handler{h} }

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	of, ok := ctx.Value(idsKey{}).(*ids)
	if !ok {
		return h.Handler.Handle(ctx, r)
	}
	of.mu.Lock()
	add := maps.Clone(of.known)
	of.mu.Unlock()
	r.Attrs(func(a slog.Attr) bool {
		delete(add, a.Key)
		return true
	})
	r = r.Clone()
	for _, key := range slices.Sorted(maps.Keys(add)) {
		r.AddAttrs(slog.String(key, add[key]))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(a []slog.Attr) slog.Handler { return handler{h.Handler.WithAttrs(a)} }

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }
