package detect

import (
	"bytes"
	"encoding/binary"
	"io"
	"strconv"
	"strings"

	"github.com/diskport/diskport/diskimage/dmg"
	"github.com/diskport/diskport/diskimage/internal/bounded"
	"github.com/diskport/diskport/diskimage/vhd"
)

// headSize is how much of the start is looked at: as far as the first label of
// ZFS, which is farther than any other magic.
const headSize = 256 << 10

// descriptorSize is how much of it may be comment lines before a descriptor's
// first word.
const descriptorSize = 64 << 10

// tailSize is how much of the end is looked at.
const tailSize = max(vhd.TailSize, dmg.TailSize)

// probe is the part of an object that recognisers see.
type probe struct {
	head []byte // up to headSize bytes from the start
	tail []byte // up to tailSize bytes at the end
	size int64
}

// recognise returns every format that the object looks like, and its probe.
func recognise(r io.ReaderAt, size int64) ([]*format, probe, error) {
	src := bounded.Source{Format: "image", R: r, Size: size}
	if err := src.NotEmpty(); err != nil {
		return nil, probe{}, err
	}
	head, err := src.Part("start of the object", 0, min(size, headSize))
	if err != nil {
		return nil, probe{}, err
	}
	n := min(size, tailSize)
	tail, err := src.Part("end of the object", size-n, n)
	if err != nil {
		return nil, probe{}, err
	}
	p := probe{head.Data, tail.Data, size}
	var found []*format
	for i := range formats {
		if formats[i].match(p) {
			found = append(found, &formats[i])
		}
	}
	return found, p, nil
}

// holds recognises a magic at an offset.
func holds(off int, magic string) func(probe) bool {
	return func(p probe) bool { return len(p.head) >= off && bytes.HasPrefix(p.head[off:], []byte(magic)) }
}

// starts recognises any of several magics at the start.
func starts(magics ...string) func(probe) bool {
	return func(p probe) bool {
		for _, m := range magics {
			if bytes.HasPrefix(p.head, []byte(m)) {
				return true
			}
		}
		return false
	}
}

// isVHD finds the footer, or its copy at the start. The footer at the end of a tar
// archive belongs to a member, unless it is that of a fixed VHD and says that
// everything before it is the disk.
func isVHD(p probe) bool {
	off, ok := vhd.FindFooter(p.tail, p.size)
	if !ok || !isTar(p) {
		return ok || starts("conectix")(p)
	}
	const currentSize = 48
	at := off - (p.size - int64(len(p.tail))) + currentSize
	return binary.BigEndian.Uint64(p.tail[at:]) == uint64(off)
}

func isQcow2(p probe) bool {
	return starts("QFI\xfb")(p) && !starts("QFI\xfb\x00\x00\x00\x01")(p)
}

// isDMG finds the trailer, or an encrypted image. The trailer at the end of an
// archive or a compressed object may belong to its contents.
func isDMG(p probe) bool {
	off, ok := dmg.FindTrailer(p.tail, p.size)
	packed := isTar(p) || starts("\x1f\x8b\x08", xzMagic, "\x28\xb5\x2f\xfd", "BZh")(p)
	return ok && (!packed || dmg.EndsList(p.tail, p.size, off)) || dmg.Encrypted(p.head, p.tail)
}

const xzMagic = "\xfd7zXZ\x00"

// isXz and isBzip2 find a stream that is not the first chunk of a DMG.
func isXz(p probe) bool { return starts(xzMagic)(p) && !isDMG(p) }

func isZstd(p probe) bool {
	skippable := len(p.head) >= 4 && p.head[0]&0xf0 == 0x50 && bytes.Equal(p.head[1:4], []byte{0x2a, 0x4d, 0x18})
	return skippable || starts("\x28\xb5\x2f\xfd")(p)
}

// isBzip2 finds the magic, the level and a block or the end of the stream.
func isBzip2(p probe) bool {
	return starts("BZh")(p) && !isDMG(p) && len(p.head) >= 4 && p.head[3] >= '1' && p.head[3] <= '9' &&
		(len(p.head) < 10 || holds(4, "1AY&SY")(p) || holds(4, "\x17\x72\x45\x38\x50\x90")(p))
}

// isTar finds a valid checksum of the first member's header, and the magic or, in
// old archives without it, a name and a type that make sense.
func isTar(p probe) bool {
	if len(p.head) < 512 {
		return false
	}
	field := strings.Trim(string(p.head[148:156]), " \x00")
	want, err := strconv.ParseUint(field, 8, 32)
	sum := uint64(8 * ' ') // the field itself counts as blanks
	for i, b := range p.head[:512] {
		if i < 148 || i >= 156 {
			sum += uint64(b)
		}
	}
	kind := p.head[156]
	old := p.head[0] > ' ' && p.head[0] < 0x7f && (kind == 0 || kind == '0' || kind == '5')
	return err == nil && sum == want && (old || holds(257, "ustar")(p))
}

// isDescriptor finds the text of a VMDK descriptor: its first line is a known
// comment, or the first word that is not in a comment is version=. Text that is
// only comments, as far as it is read, is taken for a descriptor too, not for a
// disk.
func isDescriptor(p probe) bool {
	p.head = bytes.TrimPrefix(p.head, []byte("\ufeff"))
	if bytes.HasPrefix(bytes.TrimSpace(p.head[:min(len(p.head), descriptorSize)]), []byte("# Disk DescriptorFile")) {
		return true
	}
	comments := false
	for rest := p.head[:min(len(p.head), descriptorSize)]; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0:
		case line[0] == '#':
			comments = true
		default:
			key, value, ok := bytes.Cut(line, []byte("="))
			value = bytes.TrimSpace(value)
			return ok && strings.EqualFold(string(bytes.TrimSpace(key)), "version") &&
				len(value) == 1 && value[0] >= '1' && value[0] <= '4'
		}
		rest = after
	}
	return comments && p.size > descriptorSize
}
