// Package format_test is a reader of what Diskport stores, written from docs/format.md
// alone: it uses nothing of the program, and reads the files and keys of a data
// directory as somebody else would. So the page is complete, and what lies on disks
// is what it says.
package format_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	_ "modernc.org/sqlite"
)

const (
	unit      = 4096
	blockSize = 512 << 10
)

var (
	little     = binary.LittleEndian
	big        = binary.BigEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// TestTheFormatIsAsDescribed reads every disk of the directory that is kept, and
// compares it with what was imported.
func TestTheFormatIsAsDescribed(t *testing.T) {
	for name, kinds := range map[string][]string{
		"2026-11-2": {"plain as it is", "plain compressed", "encrypted compressed", "encrypted under data key 0 of 0 to 0"},
		"2026-11-3": {
			"plain as it is", "plain compressed", "encrypted compressed", "encrypted as it is",
			"encrypted under data key 0 of 0 to 0", "encrypted under data key 1 of 0 to 1", "encrypted under data key 2 of 1 to 2",
			"pack under a former master key",
		},
	} {
		t.Run(name, func(t *testing.T) { read(t, name, kinds) })
	}
}

// read reads the disks of a directory, all kinds of frames among them.
func read(t *testing.T, name string, kinds []string) {
	data := t.TempDir()
	if err := unpack(filepath.Join("..", "testdata", "data", name+".tar.gz"), data); err != nil {
		t.Fatal(err)
	}
	var expect struct {
		Disks     map[string]string
		Encrypted string
	}
	text, err := os.ReadFile(filepath.Join(data, "expect.json"))
	if err == nil {
		err = json.Unmarshal(text, &expect)
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := open(data)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for id, root := range r.roots {
		disk, err := r.disk(root)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		sum := sha256.Sum256(disk)
		got[id] = hex.EncodeToString(sum[:])
	}
	if !maps.Equal(got, expect.Disks) {
		t.Errorf("the disks are %v, want %v", got, expect.Disks)
	}
	for _, what := range kinds {
		if !r.seen[what] {
			t.Errorf("no frame is %s: the directory does not have all that there is", what)
		}
	}
}

// reader knows a data directory.
type reader struct {
	master  []byte
	former  [][]byte // master keys that there were before
	db      *sql.DB
	pageKey []byte
	roots   map[string]root // by snapshot
	pages   map[string][]byte
	blocks  map[string]place // by block ID
	seen    map[string]bool  // kinds of frames that were read
}

type root struct {
	domain           string
	volume, virtual  uint64
	pageIndexes      []uint64
	pageIDs          []string
	blocksOfThePages []uint32
}

// domain is what a pack's header says of its domain, and the keys that its frames need.
type domain struct {
	name   string
	cipher byte
	id     []byte
	oldest uint32 // number of the first of data
	data   [][]byte
}

type place struct {
	file     []byte
	off, len uint32
	domain   domain
}

func open(data string) (*reader, error) {
	r := &reader{
		roots: map[string]root{}, pages: map[string][]byte{}, blocks: map[string]place{}, seen: map[string]bool{},
	}
	line, err := os.ReadFile(filepath.Join(data, "blocks", "identity"))
	if err != nil || !strings.HasPrefix(string(line), "diskport store 2 ") {
		return nil, fmt.Errorf("identity %q, %v", line, err)
	}
	if r.master, err = os.ReadFile(filepath.Join(data, "master.key")); err != nil {
		return nil, err
	}
	if err := r.openFormer(filepath.Join(data, "master.key.former")); err != nil {
		return nil, err
	}
	if r.db, err = sql.Open("sqlite", filepath.Join(data, "metadata.db")); err != nil {
		return nil, err
	}
	defer r.db.Close()
	var wrapped []byte
	if err := r.db.QueryRow(`SELECT value FROM meta WHERE name = 'page key'`).Scan(&wrapped); err != nil {
		return nil, err
	}
	if r.pageKey, err = unwrap(r.master, wrapped, "", "page key"); err != nil {
		return nil, err
	}
	return r, errors.Join(
		each(filepath.Join(data, "blocks", "root"), r.addRoot),
		each(filepath.Join(data, "blocks", "pages"), r.addPages),
		each(filepath.Join(data, "blocks", "pack"), r.addPack),
	)
}

// openFormer opens the master keys that there were before.
func (r *reader) openFormer(name string) error {
	p, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil || len(p)%61 != 0 {
		return fmt.Errorf("%d bytes of former keys: %w", len(p), err)
	}
	for wrapped := range slices.Chunk(p, 61) {
		key, err := unwrap(r.master, wrapped, "", "former master key")
		if err != nil {
			return err
		}
		r.former = append(r.former, key)
	}
	return nil
}

// each calls fn with the whole files under a folder.
func each(folder string, fn func(number uint64, file []byte) error) error {
	return filepath.WalkDir(folder, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(path, ".open") {
			return err
		}
		var number uint64
		if _, err := fmt.Sscanf(e.Name(), "%016x", &number); err != nil || filepath.Base(filepath.Dir(path)) != e.Name()[14:] {
			return fmt.Errorf("%s is no name: %w", path, err)
		}
		file, err := os.ReadFile(path)
		if err == nil {
			err = fn(number, file)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
}

func (r *reader) mac(p []byte) []byte { return mac(r.pageKey, p) }

func mac(key, p []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(p)
	return h.Sum(nil)
}

func (r *reader) addRoot(_ uint64, p []byte) error {
	if len(p) < 72 || string(p[:8]) != "DPRT\x02\x00\x00\x00" || !hmac.Equal(r.mac(p[:len(p)-32]), p[len(p)-32:]) {
		return errors.New("no root")
	}
	n, s, d := int(little.Uint32(p[32:])), int(little.Uint16(p[36:])), int(little.Uint16(p[38:]))
	if len(p) != 40+s+d+44*n+32 {
		return errors.New("a root of another length")
	}
	x := root{domain: string(p[40+s : 40+s+d]), volume: little.Uint64(p[8:]), virtual: little.Uint64(p[16:])}
	for e := range slices.Chunk(p[40+s+d:len(p)-32], 44) {
		x.pageIndexes = append(x.pageIndexes, little.Uint64(e))
		x.pageIDs = append(x.pageIDs, string(e[8:40]))
		x.blocksOfThePages = append(x.blocksOfThePages, little.Uint32(e[40:]))
	}
	r.roots[string(p[40:40+s])] = x
	return nil
}

func (r *reader) addPages(_ uint64, p []byte) error {
	for len(p) > 0 {
		if len(p) < 136 || string(p[:6]) != "DPPG\x01\x00" {
			return errors.New("no page")
		}
		size := 136 + 32*int(little.Uint16(p[6:]))
		if len(p) < size {
			return errors.New("half a page")
		}
		r.pages[string(r.mac(p[:size]))] = p[:size]
		p = p[size:]
	}
	return nil
}

func (r *reader) addPack(number uint64, p []byte) error {
	end := len(p)
	if end < 2*unit || end%unit != 0 || string(p[:8]) != "DPPK\x02\x00\x00\x00" || little.Uint64(p[8:]) != number || little.Uint32(p[16:]) != unit || !summed(p[:unit]) {
		return errors.New("no pack")
	}
	var fields [4][]byte
	rest := p[24:4092]
	for i := range fields {
		n := 2 + int(little.Uint16(rest))
		fields[i], rest = rest[2:n], rest[n:]
	}
	keys, err := r.openDomain(string(fields[0]), string(fields[2]), fields[3])
	if err != nil {
		return err
	}
	foot := p[end-24:]
	n := int(little.Uint32(foot[16:]))
	size := (40*n + 24 + unit - 1) / unit * unit
	if string(foot[:8]) != "DPPT\x02\x00\x00\x00" || little.Uint64(foot[8:]) != number || size > end-unit || !summed(p[end-size:]) {
		return errors.New("no trailer")
	}
	next := uint32(1)
	for e := range slices.Chunk(p[end-size:end-size+40*n], 40) {
		at := place{p, little.Uint32(e[32:]), little.Uint32(e[36:]), keys}
		if at.off != next {
			return fmt.Errorf("a frame at %d, want %d", at.off, next)
		}
		next = at.off + at.len
		r.blocks[string(e[:32])] = at
	}
	if int(next)*unit != end-size {
		return errors.New("the trailer is not behind the frames")
	}
	return nil
}

// summed reports whether p ends with its checksum.
func summed(p []byte) bool {
	return little.Uint32(p[len(p)-4:]) == crc32.Checksum(p[:len(p)-4], castagnoli)
}

// openDomain opens the keys in the header of a pack.
func (r *reader) openDomain(id, arn string, wrapped []byte) (domain, error) {
	key := r.master
	if arn != "" {
		if wrapped[0] != 2 {
			return domain{}, fmt.Errorf("an envelope of version %d", wrapped[0])
		}
		n := 3 + int(big.Uint16(wrapped[1:]))
		var err error
		if key, err = r.decrypt(arn, wrapped[3:n], "diskport:domain", id); err != nil {
			return domain{}, fmt.Errorf("opening an envelope: %w", err)
		}
		wrapped = wrapped[n:]
	}
	keys, err := unwrap(key, wrapped, "", "diskport:domain-keys:"+id)
	for i := 0; err != nil && arn == "" && i < len(r.former); i++ {
		keys, err = unwrap(r.former[i], wrapped, "", "diskport:domain-keys:"+id)
		r.seen["pack under a former master key"] = true
	}
	if err != nil {
		return domain{}, err
	}
	d := domain{name: id, cipher: keys[1], id: keys[2:34]}
	rest := keys[34:]
	if keys[0] == 2 && d.cipher == 1 {
		d.oldest, rest = little.Uint32(rest), rest[4:]
	}
	if len(rest)%32 != 0 || keys[0] != 1 && keys[0] != 2 {
		return domain{}, fmt.Errorf("keys of %d bytes, version %d", len(keys), keys[0])
	}
	d.data = slices.Collect(slices.Chunk(rest, 32))
	return d, nil
}

// decrypt is what the embedded KMS does.
func (r *reader) decrypt(arn string, blob []byte, name, value string) ([]byte, error) {
	if string(blob[:9]) != "DPKC\x01\x00\x00\x00\x01" {
		return nil, errors.New("not the embedded KMS")
	}
	var ref [3]string // account, region, key
	at := 9
	for i := range ref {
		n := at + 1 + int(blob[at])
		ref[i], at = string(blob[at+1:n]), n
	}
	var wrapped []byte
	if err := r.db.QueryRow(`SELECT wrapped FROM kms_keys WHERE account = $1 AND region = $2 AND id = $3`, ref[0], ref[1], ref[2]).Scan(&wrapped); err != nil {
		return nil, err
	}
	material, err := unwrap(r.master, wrapped, "key material", "diskport:kms-key:"+arn+":1")
	if err != nil {
		return nil, err
	}
	bound := bytes.Clone(blob[:at])
	for _, text := range []string{name, value} {
		bound = append(big.AppendUint32(bound, uint32(len(text))), text...)
	}
	return unwrap(material, blob[at:], "", string(bound))
}

func unwrap(key, wrapped []byte, purpose, bound string) (_ []byte, err error) {
	if wrapped[0] == 2 {
		if key, err = hkdf.Key(sha256.New, key, nil, "diskport:purpose:"+purpose, 32); err != nil {
			return nil, err
		}
	}
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, wrapped[1:13], wrapped[13:], []byte(bound))
}

func gcm(key []byte) (cipher.AEAD, error) {
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(c)
}

// disk returns the imported disk of a root.
func (r *reader) disk(x root) ([]byte, error) {
	if x.virtual > x.volume*blockSize || x.virtual > 1<<30 {
		return nil, fmt.Errorf("a disk of %d bytes", x.virtual)
	}
	disk := make([]byte, (x.virtual+blockSize-1)/blockSize*blockSize)
	for i, index := range x.pageIndexes {
		p, ok := r.pages[x.pageIDs[i]]
		if !ok || uint32(little.Uint16(p[6:])) != x.blocksOfThePages[i] {
			return nil, fmt.Errorf("page %d is missing", index)
		}
		ids := p[136:]
		for bit := range uint64(1024) {
			if p[8+bit/8]>>(bit%8)&1 == 0 {
				continue
			}
			plain, err := r.block(x.domain, ids[:32])
			if err != nil {
				return nil, fmt.Errorf("block %d: %w", index*1024+bit, err)
			}
			copy(disk[(index*1024+bit)*blockSize:], plain)
			ids = ids[32:]
		}
	}
	return disk[:x.virtual], nil
}

// block opens the frame of a block.
func (r *reader) block(name string, id []byte) ([]byte, error) {
	at, ok := r.blocks[string(id)]
	if !ok || at.domain.name != name {
		return nil, errors.New("it is in no pack")
	}
	keys := at.domain
	frame := at.file[at.off*unit : (at.off+at.len)*unit]
	tail := frame[len(frame)-68:]
	n := int(little.Uint32(tail[8:]))
	codec, kind := tail[5], "plain"
	switch {
	case string(tail[:5]) != "DPFR\x02" || tail[6] != keys.cipher || tail[7] != 0 || (n+68+unit-1)/unit != int(at.len) || !bytes.Equal(tail[28:60], id):
		return nil, errors.New("no frame of it")
	case little.Uint32(tail[60:]) != crc32.Checksum(frame[:n], castagnoli) || !summed(frame[n:]):
		return nil, errors.New("a checksum is wrong")
	}
	plain := frame[:n]
	if keys.cipher == 1 {
		kind = "encrypted"
		number, last := little.Uint32(tail[12:]), keys.oldest+uint32(len(keys.data))-1
		if number < keys.oldest || number > last {
			return nil, fmt.Errorf("data key %d is not in the header", number)
		}
		r.seen[fmt.Sprintf("encrypted under data key %d of %d to %d", number, keys.oldest, last)] = true
		aead, err := gcm(keys.data[number-keys.oldest])
		if err != nil {
			return nil, err
		}
		if plain, err = aead.Open(nil, tail[16:28], plain, id); err != nil {
			return nil, err
		}
	}
	if codec == 1 {
		d, err := zstd.NewReader(nil)
		if err != nil {
			return nil, err
		}
		defer d.Close()
		if plain, err = d.DecodeAll(plain, nil); err != nil {
			return nil, err
		}
	}
	r.seen[kind+map[byte]string{0: " as it is", 1: " compressed"}[codec]] = true
	sum := sha256.Sum256(plain)
	if len(plain) != blockSize || !hmac.Equal(mac(keys.id, sum[:]), id) {
		return nil, errors.New("it is another block")
	}
	return plain, nil
}

// unpack unpacks an archive.
func unpack(archive, to string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(to, filepath.FromSlash(h.Name))
		if h.FileInfo().IsDir() {
			err = os.MkdirAll(path, 0o700)
		} else {
			var b []byte
			if b, err = io.ReadAll(t); err == nil {
				err = os.WriteFile(path, b, 0o600)
			}
		}
		if err != nil {
			return err
		}
	}
}
