package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/diskport/diskport/internal/client"
)

// measure measures a snapshot, with progress. What is damaged goes to standard error.
func (a *app) measure(ctx context.Context, in *client.Client, id string) (*client.Sizes, error) {
	p := a.newProgress("measuring " + id)
	m, err := in.Measure(ctx, id, func(done, total int64) {
		p.step("looking for what is shared", done*client.PageBytes, total*client.PageBytes)
	})
	p.end()
	if err != nil {
		return nil, err
	}
	for _, text := range m.Damaged {
		a.note("%s: could not be read, so the sizes may be wrong: %s", id, text)
	}
	return &m, nil
}

// printSizes writes what was measured of a snapshot, if it was.
func (a *app) printSizes(m *client.Sizes) {
	if m == nil {
		return
	}
	about := ""
	if m.MarginBytes > 0 {
		about = " ± " + size(m.MarginBytes)
	}
	unique := fmt.Sprintf("%s%s in %d blocks, which deleting it gives back", size(m.UniqueBytes), about, m.UniqueBlocks)
	if by := keepers(m); by != "" {
		unique = fmt.Sprintf("nothing, since %s it all", by)
	}
	a.printFields(
		"Stored", fmt.Sprintf("%s%s in %d different blocks", size(m.StoredBytes), about, m.Blocks),
		"Shared", size(m.SharedBytes)+about+", which others keep",
		"Unique", unique,
	)
}

// keepers says what keeps all of a snapshot: "2 volumes keep".
func keepers(m *client.Sizes) string {
	var by []string
	for _, k := range []struct {
		n    int64
		what string
	}{{m.Volumes, "volume"}, {m.Drafts, "draft"}} {
		if k.n > 0 {
			by = append(by, count(k.n, k.what))
		}
	}
	switch {
	case len(by) == 0:
		return ""
	case m.Volumes+m.Drafts == 1:
		return by[0] + " keeps"
	}
	return strings.Join(by, " and ") + " keep"
}

// sizeCells are the columns of what was measured of a snapshot.
func sizeCells(m *client.Sizes) []string {
	if m == nil {
		return []string{"", "", ""}
	}
	about := ""
	if m.MarginBytes > 0 {
		about = "~"
	}
	return []string{about + size(m.StoredBytes), about + size(m.SharedBytes), about + size(m.UniqueBytes)}
}
