package ova

import (
	"crypto/sha1" // a weak digest is verified all the same
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"path"
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
	case "SHA384":
		return sha512.New384()
	case "SHA512":
		return sha512.New()
	}
	return nil
}

func parseManifest(p bounded.Part) (*manifest, error) {
	m := &manifest{part: p, files: map[string][]digest{}}
	at := int64(0)
	text, _ := decode(p.Data)
	for line := range strings.Lines(string(text)) {
		if err := m.line(strings.TrimSpace(line), at); err != nil {
			return nil, err
		}
		at += int64(len(line))
	}
	return m, nil
}

// line takes "SHA1(name)= hex", with any blanks, and the form that sha256sum and
// similar tools print, "hex name". Empty lines and comments are passed over.
func (m *manifest) line(s string, at int64) error {
	if s == "" || s[0] == '#' {
		return nil
	}
	name, d, ok := opensslLine(s)
	if !ok {
		name, d, ok = coreutilsLine(s)
	}
	d.at = at
	h := newHash(d.algorithm)
	if !ok || h == nil {
		return m.fault(at, "not of the form SHA256(name)= digest, or SHA1, SHA384 or SHA512")
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

// opensslLine takes "SHA256(name)= hex", as openssl dgst and BSD's tools print it.
func opensslLine(s string) (name string, d digest, ok bool) {
	algorithm, rest, ok := strings.Cut(s, "(")
	end := strings.LastIndex(rest, ")")
	if !ok || end < 0 {
		return "", d, false
	}
	value, ok := strings.CutPrefix(strings.TrimSpace(rest[end+1:]), "=")
	d = digest{algorithm: algorithmOf(algorithm), hex: strings.ToLower(strings.TrimSpace(value))}
	return strings.TrimPrefix(rest[:end], "./"), d, ok
}

// algorithmOf gives an algorithm its usual name: OpenSSL 3.2 and later print
// SHA2-256.
func algorithmOf(s string) string {
	s = strings.ToUpper(strings.TrimSpace(s))
	s = strings.TrimPrefix(s, "HASH-")
	for _, prefix := range []string{"SHA2-", "SHA-"} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			return "SHA" + rest
		}
	}
	return s
}

// coreutilsLine takes "hex name"; the length of the digest tells the algorithm.
func coreutilsLine(s string) (name string, d digest, ok bool) {
	value, name, ok := strings.Cut(s, " ")
	d.hex = strings.ToLower(value)
	d.algorithm = map[int]string{40: "SHA1", 64: "SHA256", 96: "SHA384", 128: "SHA512"}[len(value)]
	return strings.TrimPrefix(strings.TrimLeft(name, " *"), "./"), d, ok
}

func (m *manifest) fault(at int64, reason string) error {
	f := m.part.Fault(diskimage.Malformed, "%s", reason)
	f.Offset += at
	return f
}

// verify reads a member and compares its digests with those listed, if any.
func (m *manifest) verify(name string, f diskimage.File, interrupted func() error) error {
	if m == nil {
		return nil
	}
	listed := m.files[name]
	if len(listed) == 0 {
		listed = m.files[path.Base(name)] // in the archive's folder
	}
	if len(listed) == 0 {
		return nil
	}
	var hashes []hash.Hash
	for _, d := range listed {
		hashes = append(hashes, newHash(d.algorithm))
	}
	buf := make([]byte, min(f.Size, 4<<20))
	for off := int64(0); off < f.Size; {
		p := buf[:min(int64(len(buf)), f.Size-off)]
		if err := bounded.ReadFull(f.R, p, off); err != nil {
			return fmt.Errorf("ova: reading %q to verify its digest: %w", bounded.Printable(name), err)
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
	for i, d := range listed {
		if got := hex.EncodeToString(hashes[i].Sum(nil)); got != d.hex {
			return m.fault(d.at, fmt.Sprintf("the %s of %q is %s", d.algorithm, bounded.Printable(name), got))
		}
	}
	return nil
}
