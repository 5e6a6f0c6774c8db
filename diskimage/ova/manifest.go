package ova

import (
	"crypto/sha1" // a weak digest is verified all the same
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// digest is a line of a manifest.
type digest struct {
	algorithm string
	hex       string // lower case
	at        int64  // of the line, in the manifest
}

// manifest is the digests by file name. A file may have one of each algorithm.
type manifest struct {
	part  bounded.Part
	files map[string][]digest
}

func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "SHA1":
		return sha1.New()
	case "SHA256":
		return sha256.New()
	case "SHA512":
		return sha512.New()
	}
	return nil
}

func parseManifest(p bounded.Part) (*manifest, error) {
	m := &manifest{part: p, files: map[string][]digest{}}
	at := int64(0)
	for line := range strings.Lines(string(p.Data)) {
		if err := m.line(strings.TrimSpace(line), at); err != nil {
			return nil, err
		}
		at += int64(len(line))
	}
	return m, nil
}

// line takes "SHA1(name)= hex", with blanks as one likes.
func (m *manifest) line(s string, at int64) error {
	if s == "" {
		return nil
	}
	algorithm, rest, ok := strings.Cut(s, "(")
	end := strings.LastIndex(rest, ")")
	if !ok || end < 0 {
		return m.fault(at, "not of the form SHA256(name)= digest")
	}
	name := rest[:end]
	value, ok := strings.CutPrefix(strings.TrimSpace(rest[end+1:]), "=")
	d := digest{strings.TrimSpace(algorithm), strings.ToLower(strings.TrimSpace(value)), at}
	h := newHash(d.algorithm)
	if !ok || h == nil {
		return m.fault(at, "not of the form SHA256(name)= digest, or SHA1 or SHA512")
	}
	if raw, err := hex.DecodeString(d.hex); err != nil || len(raw) != h.Size() {
		return m.fault(at, "no digest of "+d.algorithm)
	}
	for _, other := range m.files[name] {
		if other.algorithm == d.algorithm && other.hex != d.hex {
			return m.fault(at, "another digest of the same file")
		}
	}
	m.files[name] = append(m.files[name], d)
	return nil
}

func (m *manifest) fault(at int64, reason string) error {
	f := m.part.Fault(diskimage.Malformed, "%s", reason)
	f.Offset += at
	return f
}

// verify reads a member and compares its digests with those listed, if any.
func (m *manifest) verify(a *archive, f member, interrupted func() error) error {
	if m == nil || len(m.files[f.name]) == 0 {
		return nil
	}
	var hashes []hash.Hash
	for _, d := range m.files[f.name] {
		hashes = append(hashes, newHash(d.algorithm))
	}
	buf := make([]byte, min(f.size, 4<<20))
	for off := int64(0); off < f.size; {
		p := buf[:min(int64(len(buf)), f.size-off)]
		if err := a.src.ReadFull("member", p, f.off+off); err != nil {
			return err
		}
		for _, h := range hashes {
			h.Write(p)
		}
		off += int64(len(p))
		if interrupted == nil {
			continue
		}
		if err := interrupted(); err != nil {
			return fmt.Errorf("ova: verifying the digest of a disk: %w", err)
		}
	}
	for i, d := range m.files[f.name] {
		if got := hex.EncodeToString(hashes[i].Sum(nil)); got != d.hex {
			return m.fault(d.at, fmt.Sprintf("the %s of %q is %s", d.algorithm, bounded.Printable(f.name), got))
		}
	}
	return nil
}
