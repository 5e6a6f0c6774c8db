package benchdisk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Disk says what a disk with a file system is like. Sizes are in bytes.
type Disk struct {
	Size int64 // multiple of 1 MiB
	Data int64 // of all files
	Seed byte
}

const (
	sector    = 512
	partStart = 1 << 20 // where the partition begins
)

// MakeFileSystem writes a raw, sparse disk with a GPT, and in the first three quarters of it
// an ext4 with files of 4 KiB to 8 MiB. It is the same every time. It needs mke2fs, and room
// for the files beside the disk while it runs.
func MakeFileSystem(ctx context.Context, path string, d Disk) error {
	tree := path + ".tree"
	defer os.RemoveAll(tree)
	if err := makeTree(ctx, tree, d); err != nil {
		return err
	}
	partSize := d.Size / 4 * 3 &^ (partStart - 1)
	if err := makeGPT(path, d.Size, partSize); err != nil {
		return err
	}
	mke2fs := "mke2fs"
	if _, err := exec.LookPath(mke2fs); err != nil {
		mke2fs = "/usr/sbin/mke2fs" // where Debian has it, which is not in every user's PATH
	}
	const id = "5e7a11d0-0000-4000-8000-00000000000"
	cmd := exec.CommandContext(ctx, mke2fs, "-q", "-F", "-t", "ext4", "-b", "4096", "-d", tree, "-U", id+"3", "-E",
		fmt.Sprintf("offset=%d,hash_seed=%s4,root_owner=0:0,lazy_itable_init=1,nodiscard", partStart, id), path, fmt.Sprintf("%dk", partSize>>10))
	cmd.Env = append(os.Environ(), "E2FSPROGS_FAKE_TIME=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", mke2fs, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// makeTree writes the files, up to 100 in a folder.
func makeTree(ctx context.Context, tree string, d Disk) error {
	src := rand.NewChaCha8([32]byte{7, d.Seed})
	w := filler{src: src, r: rand.New(src)}
	left := d.Data
	for i := 0; left > 0; i++ {
		dir := filepath.Join(tree, fmt.Sprintf("d%03d", i/100))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		n := min(left, 4<<10<<w.r.IntN(12)+int64(w.r.IntN(4<<10)))
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%05d", i)), w.file(int(n)), 0o644); err != nil {
			return err
		}
		left -= n
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// makeGPT makes an empty disk with a table of one Linux partition: a protective master
// boot record in the first sector, the header of the table in the second and its 128 entries
// of 128 bytes in the 32 after it; copies of both, in the other order, end the disk. The
// fields are those of UEFI 2.10, section 5.3.
func makeGPT(path string, size, partSize int64) error {
	last := size/sector - 1
	entries := make([]byte, 128*128)
	copy(entries, guid(0x0FC63DAF, 0x8483, 0x4772, "\x8e\x79\x3d\x69\xd8\x47\x7d\xe4")) // Linux file system
	copy(entries[16:], guid(0x5E7A11D0, 0, 0x4000, "\x80\x00\x00\x00\x00\x00\x00\x02"))
	binary.LittleEndian.PutUint64(entries[32:], partStart/sector)
	binary.LittleEndian.PutUint64(entries[40:], uint64((partStart+partSize)/sector-1))
	header := func(at, other, table int64) []byte {
		h := make([]byte, sector)
		copy(h, "EFI PART\x00\x00\x01\x00")
		binary.LittleEndian.PutUint32(h[12:], 92)
		binary.LittleEndian.PutUint64(h[24:], uint64(at))
		binary.LittleEndian.PutUint64(h[32:], uint64(other))
		binary.LittleEndian.PutUint64(h[40:], 34)
		binary.LittleEndian.PutUint64(h[48:], uint64(last-33))
		copy(h[56:], guid(0x5E7A11D0, 0, 0x4000, "\x80\x00\x00\x00\x00\x00\x00\x01"))
		binary.LittleEndian.PutUint64(h[72:], uint64(table))
		binary.LittleEndian.PutUint32(h[80:], 128)
		binary.LittleEndian.PutUint32(h[84:], 128)
		binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(entries))
		binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
		return h
	}
	mbr := make([]byte, sector)
	copy(mbr[446:], []byte{0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0})
	binary.LittleEndian.PutUint32(mbr[446+12:], uint32(min(last, 1<<32-1)))
	copy(mbr[510:], []byte{0x55, 0xaa})
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	for _, part := range []struct {
		sector  int64
		content []byte
	}{{0, mbr}, {1, header(1, last, 2)}, {2, entries}, {last - 32, entries}, {last, header(last, 1, last-32)}} {
		_, werr := f.WriteAt(part.content, part.sector*sector)
		err = errors.Join(err, werr)
	}
	return errors.Join(err, f.Close())
}

// guid returns a GUID as it is on disks: its first three numbers have the least byte first.
func guid(a uint32, b, c uint16, rest string) []byte {
	p := binary.LittleEndian.AppendUint32(nil, a)
	p = binary.LittleEndian.AppendUint16(p, b)
	return append(binary.LittleEndian.AppendUint16(p, c), rest...)
}

// BlockSize is what Blocks and Change look at: a block of a snapshot.
const BlockSize = 512 << 10

// Blocks returns the indices of those blocks of a raw disk that are not all zeros.
func Blocks(ctx context.Context, path string) ([]int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var found []int64
	buf, zeros := make([]byte, BlockSize), make([]byte, BlockSize)
	for off := int64(0); off < st.Size(); off += BlockSize {
		n := min(BlockSize, st.Size()-off)
		if _, err := f.ReadAt(buf[:n], off); err != nil {
			return nil, err
		}
		if !bytes.Equal(buf[:n], zeros[:n]) {
			found = append(found, off/BlockSize)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Change writes 4 KiB anew in each of so many thousandths of the blocks of a raw disk, rounded
// down, which it chooses by the seed.
func Change(path string, blocks []int64, thousandths int, seed byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	src := rand.NewChaCha8([32]byte{8, seed})
	r := rand.New(src)
	page := make([]byte, 4096)
	for _, i := range r.Perm(len(blocks))[:len(blocks)*thousandths/1000] {
		_, _ = src.Read(page) // never fails
		if _, err = f.WriteAt(page, blocks[i]*BlockSize+4096*r.Int64N(BlockSize/4096)); err != nil {
			break
		}
	}
	return errors.Join(err, f.Close())
}
