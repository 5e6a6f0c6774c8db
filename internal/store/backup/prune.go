package backup

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// prune removes moments beyond those that are to stay, and then the files that no moment
// needs; and looks whether the target has what the older ones need.
func (c *copying) prune(ctx context.Context) error {
	names := append(slices.Clone(c.older), c.r.Moment)
	slices.Sort(names)
	needed, kept := map[string]bool{}, map[string]bool{c.r.Moment: true} // this one stays, though a clock may have been ahead when another was made
	proven := 1
	for _, name := range slices.Backward(names) {
		if c.Keep > 0 && proven >= c.Keep && name != c.r.Moment {
			continue
		}
		m, err := readManifest(ctx, c.to, name)
		if errors.Is(err, ErrDamaged) {
			note(&c.r.Lost, "%v", err)
			c.Keep = 0 // what it needs can't be told
			continue
		}
		if err != nil {
			return err
		}
		kept[name] = true
		c.look(m, needed)
		if name == c.r.Moment {
			continue
		}
		if err := m.Prove(c.Proofs); err != nil {
			note(&c.r.Lost, "%v", err) // it stays, and takes the place of none
		} else {
			proven++
		}
	}
	if c.Keep == 0 {
		return nil
	}
	return c.remove(ctx, slices.DeleteFunc(names, func(n string) bool { return kept[n] }), needed)
}

// look adds what a moment needs, and notes what of it the target does not have.
func (c *copying) look(m *Manifest, needed map[string]bool) {
	for _, f := range append(m.Files, m.Database) {
		needed[f.Name] = true
		size, ok := c.there[f.Name]
		if m.Name != c.r.Moment && !f.Missing && (!ok || size != f.Bytes && f.Damage == "") { // a damaged one may have been taken again
			note(&c.r.Lost, "%s, which the backup of %s needs", f.Name, m.Name)
		}
	}
}

// remove removes moments, then files. A manifest goes before what it names.
func (c *copying) remove(ctx context.Context, gone []string, needed map[string]bool) error {
	for _, name := range gone {
		if err := c.to.Remove(ctx, moments+name+manifestSuffix); err != nil {
			return err
		}
		c.r.Gone++
	}
	for name := range c.there {
		if !ours(name) || needed[name] {
			continue
		}
		if err := c.to.Remove(ctx, name); err != nil {
			return err
		}
		c.r.Removed++
	}
	return nil
}

// ours reports whether a name is one that a backup gives: others in the target are somebody
// else's.
func ours(name string) bool {
	tree, rest, _ := strings.Cut(name, "/")
	switch tree + "/" {
	case Blocks + "/":
		_, ok := blockstore.ParseName(rest)
		return ok
	case Objects + "/":
		return pieceName.MatchString(rest)
	case databases:
		moment, ok := strings.CutSuffix(rest, databaseSuffix)
		_, err := time.Parse(momentLayout, moment)
		return ok && err == nil
	}
	return false
}

// pieceName is what files of the embedded S3 are called.
var pieceName = regexp.MustCompile(`^[0-9a-f]{2}/[0-9a-f]{16}$`)
