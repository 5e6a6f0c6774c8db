package objects

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/verify"
)

// PieceRow is what a row says of a piece that contents name.
type PieceRow struct {
	ID    PieceID
	Size  int64  // bytes; -1: there is no row any more
	Proof string // what its bytes are recognised by; empty: encrypted, or older than proofs

	// How it is encrypted, and whose content it was first.
	Account    string
	Encryption Encryption
}

// PieceUse is a place at which a piece, or a part of it, is in use.
type PieceUse struct {
	Bucket, Key string // of an object or an upload; empty: of neither
	Version     string // of the object
	Upload      string // unfinished
	Pin         string // of what an import reads
	Off         int64  // where it lies in that object, part or pin, in bytes
}

// PieceProofs reads what pieces are compared with.
type PieceProofs interface {
	// NamedPieces returns at most limit pieces that contents name, with ids above after,
	// ascending, also those whose own row is gone.
	NamedPieces(ctx context.Context, after PieceID, limit int) ([]PieceRow, error)
	// PieceUses returns at most limit places.
	PieceUses(ctx context.Context, id PieceID, limit int) ([]PieceUse, error)
	// PieceBytes returns how many bytes pieces have that contents name.
	PieceBytes(ctx context.Context) (int64, error)
}

// md5Proof stands in proofs for the MD5, which every piece has, in place of an Algorithm.
const md5Proof = "MD5"

// Proof returns what the bytes of the piece are recognised by: a checksum that it has
// anyway. Those of an encrypted piece prove themselves, and a checksum of its plaintext would
// tell which objects are equal.
func (p Piece) Proof() string {
	if p.ID == 0 || len(p.dataKey) > 0 {
		return ""
	}
	name, digest := md5Proof, p.MD5[:]
	if d, ok := p.Digest[CRC64NVME]; ok {
		name, digest = string(CRC64NVME), d
	}
	return name + " " + base64.StdEncoding.EncodeToString(digest)
}

// proofHash returns the hash of a proof, and what it must come to.
func proofHash(proof string) (h hash.Hash, want []byte, err error) {
	name, value, _ := strings.Cut(proof, " ")
	if h = Algorithm(name).newHash(); name == md5Proof {
		h = md5.New()
	}
	want, err = base64.StdEncoding.DecodeString(value)
	if h == nil || err != nil || len(want) != h.Size() {
		return nil, nil, fmt.Errorf("its row has %q as proof of its bytes", proof)
	}
	return h, want, nil
}

// Proves fails with ErrDamaged if a piece, which all of the object was read into, is not what was
// stored. It knows by a checksum of the whole object, if the piece has that one too.
func (o Object) Proves(p Piece) error {
	if sum := p.Checksum(o.Checksum.Algorithm); o.Checksum.Type == FullObject && sum.Value != "" && sum != o.Checksum {
		return fmt.Errorf("%s/%s has not the checksum that it was stored with: %w", o.Bucket, o.Key, ErrDamaged)
	}
	return nil
}

const (
	provenAtOnce = 64      // pieces whose rows are read in one transaction
	proofBuffer  = 1 << 20 // bytes
	maxUses      = 100     // of a damaged piece that are named
)

// Service implements verify.Objects.
var _ verify.Objects = (*Service)(nil)

// ObjectBytes returns how many bytes VerifyObjects reads, from the beginning.
func (s *Service) ObjectBytes(ctx context.Context) (int64, error) { return s.store.PieceBytes(ctx) }

// VerifyObjects reads the files that objects, parts and pins lie in, with numbers above after,
// and compares them with what was written: by their proofs, or, if they are encrypted, by
// the tags of their chunks.
func (s *Service) VerifyObjects(ctx context.Context, after int64, w verify.ObjectWatch) error {
	p := &prover{s: s, ctx: ctx, watch: w, buf: make([]byte, proofBuffer)}
	for {
		n, err := p.some(PieceID(after), &after)
		if err != nil {
			return err
		}
		if n < provenAtOnce {
			return nil
		}
	}
}

// prover reads pieces for one VerifyObjects.
type prover struct {
	s     *Service
	ctx   context.Context // of the run
	watch verify.ObjectWatch
	buf   []byte
}

// some deals with the next pieces, which stay until it has returned, and counts them.
func (p *prover) some(after PieceID, reached *int64) (int, error) {
	p.s.opening.RLock()
	rows, err := p.s.store.NamedPieces(p.ctx, after, provenAtOnce)
	held := Content{Extents: make([]Extent, len(rows))}
	for i, row := range rows {
		held.Extents[i].Piece = row.ID
	}
	p.s.held.take(held)
	p.s.opening.RUnlock()
	defer func() {
		if p.s.held.release(held) {
			p.s.wake()
		}
	}()
	for i := 0; i < len(rows) && err == nil; i++ {
		if err = p.piece(rows[i]); err == nil {
			*reached = int64(rows[i].ID)
			err = p.watch.Done(*reached)
		}
	}
	return len(rows), err
}

// piece deals with one piece.
func (p *prover) piece(row PieceRow) error {
	// It is opened anew: what an earlier reader has opened is there even if its name is gone.
	at, err := int64(-1), error(nil)
	f, damage := p.s.opts.Files.Open(p.ctx, fileName(row.ID))
	switch {
	case row.Size < 0:
		damage = errors.New("the database has lost the row of the file")
	case damage != nil:
		damage = unreadable(damage)
	case row.Encryption.Encrypted():
		at, damage, err = p.encrypted(row)
	default:
		at, damage, err = p.plain(row, f)
	}
	if f != nil {
		_ = f.Close() // it was only read
	}
	if err == nil {
		err = p.ctx.Err()
	}
	if err != nil || damage == nil {
		return err
	}
	return p.tell(row.ID, at, damage)
}

// plain compares a piece with its proof. at is the offset of the damage in the file, or -1.
func (p *prover) plain(row PieceRow, f *os.File) (at int64, damage, err error) {
	var h hash.Hash
	var want []byte
	if row.Proof == "" {
		p.watch.Note("files of objects that an earlier version stored have no checksum of their own: only whether they can be read was looked at")
	} else if h, want, damage = proofHash(row.Proof); damage != nil {
		return -1, damage, nil
	}
	for off := int64(0); off < row.Size; {
		part := p.buf[:min(int64(len(p.buf)), row.Size-off)]
		n, err := f.ReadAt(part, off)
		if n < len(part) {
			return off + int64(max(n, 0)), unreadable(err), p.ctx.Err()
		}
		if h != nil {
			_, _ = h.Write(part)
		}
		off += int64(n)
		if err := p.watch.Read(int64(n)); err != nil {
			return -1, nil, err
		}
	}
	if h != nil && !bytes.Equal(h.Sum(nil), want) {
		name, _, _ := strings.Cut(row.Proof, " ")
		return -1, fmt.Errorf("its %s is not that of what was written", name), nil
	}
	return -1, nil, nil
}

// encrypted opens every chunk of a piece.
func (p *prover) encrypted(row PieceRow) (at int64, damage, err error) {
	aead, err := p.s.cipherOf(p.ctx, row.Account, row.Encryption)
	if err != nil {
		if p.ctx.Err() == nil {
			p.watch.Note(fmt.Sprintf("objects under %s, whose key can't be used: %v", row.Encryption.Key, err))
		}
		return -1, nil, p.ctx.Err()
	}
	r := &Reader{s: p.s, ctx: p.ctx, aead: aead}
	var refused error
	err = r.decrypt(Extent{Piece: row.ID, Len: row.Size}, 0, row.Size, func(b []byte) error {
		at += int64(len(b))
		refused = p.watch.Read(int64(len(b)))
		return refused
	})
	if refused != nil || err == nil {
		return -1, nil, refused
	}
	return at / chunkData * chunkSize, err, p.ctx.Err()
}

// unreadable returns why not all of a piece was read.
func unreadable(err error) error {
	switch {
	case errors.Is(err, blockstore.ErrNotExist):
		return errors.New("the file is gone")
	case err == nil || isEnd(err):
		return fmt.Errorf("the file ends early: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// tell says what is damaged: every place at which the piece is in use.
func (p *prover) tell(id PieceID, at int64, damage error) error {
	uses, err := p.s.store.PieceUses(p.ctx, id, maxUses)
	if err != nil {
		return err
	}
	for _, use := range uses {
		if err := p.watch.Found(verify.ObjectDamage{Object: use.String(), File: fileName(id), Offset: at, Err: damage}); err != nil {
			return err
		}
	}
	return nil
}

// String returns the address of what the piece is in use for, and where in it.
func (u PieceUse) String() string {
	if u.Key == "" {
		return "what pin " + u.Pin + " keeps for an import, from byte " + strconv.FormatInt(u.Off, 10)
	}
	address := "s3://" + u.Bucket + "/" + u.Key
	switch {
	case u.Upload != "":
		return address + "?uploadId=" + url.QueryEscape(u.Upload)
	case u.Version != NullVersion && u.Version != "":
		address += "?versionId=" + url.QueryEscape(u.Version)
	}
	return address + ", from byte " + strconv.FormatInt(u.Off, 10)
}
