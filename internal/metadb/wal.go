package metadb

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// SQLite's write-ahead log: a header, then frames, each a page of the database. What
// follows the first frame that does not prove itself is ignored by SQLite, without a
// word, however much it is: the remains of the log's last use, which is as it should
// be, or transactions that were committed before a bit flipped or a disk lost a
// write. (https://www.sqlite.org/fileformat2.html#walformat; integers big-endian.)
//
//	header  0  4  magic, 0x377f0682 or 0x377f0683
//	header  4  4  version
//	header  8  4  bytes of a page
//	header 16  8  salts, new at every use of the log
//	header 24  8  checksum of the header before it
//
//	frame   0  4  number of the page
//	frame   4  4  pages of the database after a commit; 0: no commit
//	frame   8  8  salts, the header's
//	frame  16  8  checksum, going on from the one before, of 0 to 8 and of the page
//	frame  24     the page
const (
	walHeader      = 32
	walFrameHeader = 24
	walMagic       = 0x377f0682 // with the lowest bit set: checksums of big-endian words
)

// walEnd is how a write-ahead log ends.
type walEnd struct {
	Frames int64 // that prove themselves
	At     int64 // byte behind them
	Bad    bool  // a frame of the log's last use follows that does not
}

func (e walEnd) String() string {
	return fmt.Sprintf("its write-ahead log has a bad frame at byte %d, behind %d good ones", e.At, e.Frames)
}

// readWAL looks where the log at path ends. One that is not there has no frames.
func readWAL(path string) (end walEnd, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return end, nil
	}
	if err != nil {
		return end, err
	}
	defer f.Close()
	return scanWAL(bufio.NewReaderSize(f, 1<<20))
}

// scanWAL is readWAL for a log that r reads.
func scanWAL(r io.Reader) (end walEnd, err error) {
	head := make([]byte, walHeader)
	if _, err := io.ReadFull(r, head); err != nil {
		return end, nil // nothing was ever committed in it
	}
	sum := walSum{order: binary.LittleEndian}
	if binary.BigEndian.Uint32(head)&1 != 0 {
		sum.order = binary.BigEndian
	}
	sum.add(head[:24])
	page := int64(binary.BigEndian.Uint32(head[8:]))
	end.At = walHeader
	if binary.BigEndian.Uint32(head)&^1 != walMagic || page < 512 || page > 65536 || !sum.is(head[24:]) {
		end.Bad, end.At = true, 0
		return end, nil
	}
	frame := make([]byte, walFrameHeader+page)
	for {
		n, err := io.ReadFull(r, frame)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return end, err
		}
		ours := n >= 16 && string(frame[8:16]) == string(head[16:24])
		if n == len(frame) && ours {
			sum.add(frame[:8])
			sum.add(frame[walFrameHeader:])
		}
		if n < len(frame) || !ours || !sum.is(frame[16:]) {
			end.Bad = ours
			return end, nil
		}
		end.Frames, end.At = end.Frames+1, end.At+int64(len(frame))
	}
}

// walSum is the log's checksum: two sums over pairs of words.
type walSum struct {
	order  binary.ByteOrder
	s0, s1 uint32
}

func (s *walSum) add(p []byte) {
	for ; len(p) >= 8; p = p[8:] {
		s.s0 += s.order.Uint32(p) + s.s1
		s.s1 += s.order.Uint32(p[4:]) + s.s0
	}
}

func (s *walSum) is(p []byte) bool {
	return s.s0 == binary.BigEndian.Uint32(p) && s.s1 == binary.BigEndian.Uint32(p[4:])
}
