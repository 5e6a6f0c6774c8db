package frame_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/frame"
)

// written is a frame of a block, as long as it is.
type written struct {
	framed []byte
	plain  []byte
	id     block.ID
	key    uint32
}

// write makes a frame of a block that is compressed if that is asked for.
func write(t *testing.T, k *frame.Keys, s string, compressed bool) written {
	t.Helper()
	f := frameOf(s)
	w := written{plain: bytes.Clone(f[:block.Size]), key: k.Newest()}
	w.id = k.BlockID(block.Sum(w.plain))
	if !compressed {
		if err := k.Frame(f, w.id, make([]byte, frame.ScratchSize)); err != nil {
			t.Fatal(err)
		}
		w.framed = f
		return w
	}
	c, err := frame.NewCompressor(1)
	if err == nil {
		w.framed, err = c.Frame(k, f, w.plain, w.id, make([]byte, frame.ScratchSize))
	}
	if err != nil || w.framed == nil {
		t.Fatal(err)
	}
	return w
}

// opens checks that keys open a frame, which stays as it is.
func (w written) opens(t *testing.T, k *frame.Keys) {
	t.Helper()
	got, _, err := k.Open(bytes.Clone(w.framed), make([]byte, block.Size), w.id)
	if err != nil || !bytes.Equal(got, w.plain) {
		t.Errorf("a frame under data key %d: %v", w.key, err)
	}
	if info, err := frame.Inspect(w.framed); err != nil || info.Key != w.key || info.ID != w.id {
		t.Errorf("a frame under data key %d says %+v, %v", w.key, info, err)
	}
}

// lacks checks that keys say that they do not have the data key of a frame.
func (w written) lacks(t *testing.T, k *frame.Keys) {
	t.Helper()
	f := bytes.Clone(w.framed)
	_, _, err := k.Open(f, make([]byte, block.Size), w.id)
	if e, ok := errors.AsType[*frame.NoKeyError](err); !ok || e.Key != w.key || errors.Is(err, frame.ErrCorrupt) || !errors.Is(err, frame.ErrUnknown) {
		t.Errorf("a frame under data key %d: %v, want a NoKeyError", w.key, err)
	}
	if !bytes.Equal(f, w.framed) {
		t.Error("the frame was changed")
	}
}

func must(t *testing.T) func(*frame.Keys, error) *frame.Keys {
	return func(k *frame.Keys, err error) *frame.Keys {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
}

// TestDataKeysComeAndGo: IDs stay, frames under keys that are there open, and others say
// which key they need.
func TestDataKeysComeAndGo(t *testing.T) {
	m := master(t, 3)
	zero := keys(t, frame.AES256GCM)
	one := must(t)(zero.WithNewKey())
	two := must(t)(one.WithNewKey())
	frames := []written{write(t, zero, "a", false), write(t, one, "b", true), write(t, two, "c", false)}
	for _, c := range []struct {
		name           string
		keys           *frame.Keys
		oldest, newest uint32
	}{
		{"zero", zero, 0, 0}, {"one", one, 0, 1}, {"two", two, 0, 2}, {"none dropped", must(t)(two.Without(0)), 0, 2},
		{"one dropped", must(t)(two.Without(1)), 1, 2}, {"two dropped", must(t)(must(t)(two.Without(1)).Without(2)), 2, 2},
		{"dropped and made", must(t)(must(t)(one.Without(1)).WithNewKey()), 1, 2},
	} {
		if c.keys.Oldest() != c.oldest || c.keys.Newest() != c.newest || c.keys.BlockID(block.Digest{1}) != zero.BlockID(block.Digest{1}) {
			t.Errorf("%s: data keys %d to %d, want %d to %d", c.name, c.keys.Oldest(), c.keys.Newest(), c.oldest, c.newest)
		}
		stored := must(t)(frame.Unwrap(m, c.keys.Wrap(m, "d"), "d"))
		if stored.Oldest() != c.oldest || stored.Newest() != c.newest {
			t.Errorf("%s, stored: data keys %d to %d", c.name, stored.Oldest(), stored.Newest())
		}
		if c.name == "dropped and made" {
			frames = frames[:2] // its key 2 is another
		}
		for _, f := range frames {
			if f.key < c.oldest || f.key > c.newest {
				f.lacks(t, stored)
			} else {
				f.opens(t, stored)
			}
		}
	}
}

// TestReencrypt: the frame under the newest key holds the same, compressed or not.
func TestReencrypt(t *testing.T) {
	zero := keys(t, frame.AES256GCM)
	both := must(t)(zero.WithNewKey())
	newest := must(t)(both.Without(1))
	for name, compressed := range map[string]bool{"as it is": false, "compressed": true} {
		w := write(t, zero, "text ", compressed)
		out := bytes.Repeat([]byte{7}, len(w.framed)) // not empty before
		if err := both.Reencrypt(both, bytes.Clone(w.framed), make([]byte, block.Size), out, w.id, make([]byte, frame.ScratchSize)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		(written{out, w.plain, w.id, 1}).opens(t, newest)
		(written{out, w.plain, w.id, 1}).lacks(t, zero)
		for what, damage := range map[string]func(f []byte){
			"payload":       func(f []byte) { f[100]++ },
			"another block": func(f []byte) { copy(f, write(t, zero, "other", compressed).framed) },
		} {
			f := bytes.Clone(w.framed)
			damage(f)
			if err := both.Reencrypt(both, f, make([]byte, block.Size), out, w.id, make([]byte, frame.ScratchSize)); !errors.Is(err, frame.ErrCorrupt) {
				t.Errorf("%s, %s: got %v, want ErrCorrupt", name, what, err)
			}
		}
	}
	w := write(t, zero, "text ", false)
	if err := both.Reencrypt(both, w.framed, nil, make([]byte, frame.Unit), w.id, make([]byte, frame.ScratchSize)); err == nil {
		t.Error("a frame was made in too little room")
	}
}

// TestBoundsOfDataKeys: no more than fit into a header, and never none.
func TestBoundsOfDataKeys(t *testing.T) {
	k := keys(t, frame.AES256GCM)
	for range frame.MaxDataKeys - 1 {
		k = must(t)(k.WithNewKey())
	}
	if _, err := k.WithNewKey(); !errors.Is(err, frame.ErrManyKeys) {
		t.Errorf("one more than %d: %v", frame.MaxDataKeys, err)
	}
	must(t)(frame.Unwrap(master(t, 1), k.Wrap(master(t, 1), "d"), "d"))
	if _, err := k.Without(frame.MaxDataKeys); err == nil {
		t.Error("the key in use was dropped")
	}
	if _, err := keys(t, frame.None).WithNewKey(); err == nil {
		t.Error("keys without a cipher have a data key")
	}
}

// TestWrappedVersions: version 1, which has no first number, is still read.
func TestWrappedVersions(t *testing.T) {
	m, purpose := master(t, 1), []byte("diskport:domain-keys:d")
	secret := bytes.Repeat([]byte{5}, 32)
	for name, c := range map[string]struct {
		plain          []byte
		oldest, newest uint32
	}{
		"1":            {append(append([]byte{1, 1}, secret...), secret...), 0, 0},
		"1, two keys":  {append(append(append([]byte{1, 1}, secret...), secret...), secret...), 0, 1},
		"2":            {append(append(append([]byte{2, 1}, secret...), 9, 0, 0, 0), secret...), 9, 9},
		"1, no cipher": {append([]byte{1, 0}, secret...), 0, 0},
		"2, no cipher": {append([]byte{2, 0}, secret...), 0, 0},
	} {
		k, err := frame.Unwrap(m, m.Wrap(c.plain, purpose), "d")
		if err != nil || k.Oldest() != c.oldest || k.Newest() != c.newest {
			t.Errorf("version %s: %v", name, err)
		}
	}
	many := append([]byte{2, 1, 30: 0}, make([]byte, 7+32*(frame.MaxDataKeys+1))...)
	for name, plain := range map[string][]byte{
		"version 3":            append(append([]byte{3, 1}, secret...), secret...),
		"no number":            append(append([]byte{2, 1}, secret...), secret...),
		"no key":               append(append([]byte{2, 1}, secret...), 0, 0, 0, 0),
		"too many":             many,
		"numbers that run out": append(append(append([]byte{2, 1}, secret...), 255, 255, 255, 255), secret...),
		"keys without cipher":  append(append([]byte{2, 0}, secret...), secret...),
	} {
		if _, err := frame.Unwrap(m, m.Wrap(plain, purpose), "d"); err == nil {
			t.Errorf("%s: keys were taken", name)
		}
	}
}

// TestExtended: only keys of the same domain that go on without a gap are taken.
func TestExtended(t *testing.T) {
	more := func(k *frame.Keys, n int) *frame.Keys {
		t.Helper()
		for range n {
			var err error
			if k, err = k.WithNewKey(); err != nil {
				t.Fatal(err)
			}
		}
		return k
	}
	without := func(k *frame.Keys, below uint32) *frame.Keys {
		t.Helper()
		k, err := k.Without(below)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := keys(t, frame.AES256GCM)
	own := more(first, 1)
	later := more(own, 3)
	for _, c := range []struct {
		name  string
		later *frame.Keys
		want  error
	}{
		{"that go on", later, nil},
		{"of which older ones were dropped", without(later, 1), nil},
		{"that begin behind the newest", without(later, 2), nil},
		{"with a gap", without(later, 3), frame.ErrOtherKeys},
		{"with another key of the same number", more(first, 4), frame.ErrOtherKeys},
		{"of another domain", more(keys(t, frame.AES256GCM), 4), frame.ErrOtherKeys},
		{"without a cipher", keys(t, frame.None), frame.ErrOtherKeys},
		{"that are not later", own, frame.ErrOtherKeys},
		{"that are too many", more(without(more(own, 16), 2), 4), frame.ErrManyKeys},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := own.Extended(c.later)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err == nil && (got.Oldest() != own.Oldest() || got.Newest() != c.later.Newest()) {
				t.Errorf("got data keys %d to %d", got.Oldest(), got.Newest())
			}
			if err != nil {
				return
			}
			write(t, c.later, "later", false).opens(t, got)
		})
	}
	if _, err := keys(t, frame.None).Extended(later); !errors.Is(err, frame.ErrOtherKeys) {
		t.Errorf("keys without a cipher: %v", err)
	}
}
