package vmdk

import (
	"encoding/binary"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

const (
	cowdMagic   = "COWD"
	cowdVersion = 1
	cowdSectors = 4    // of the header
	cowdEntries = 4096 // of a grain table
	cowdRoot    = 1    // flag: builds upon no other
	cowdUnclean = 1648 // offset of the mark of a writer
)

// parseCOWD reads a COWD header into the fields that sparse images have.
func parseCOWD(p bounded.Part) header {
	le := binary.LittleEndian
	return header{
		part:       p,
		sectors:    cowdSectors,
		version:    le.Uint32(p.Data[4:]),
		flags:      le.Uint32(p.Data[8:]),
		capacity:   uint64(le.Uint32(p.Data[12:])),
		grain:      uint64(le.Uint32(p.Data[16:])),
		tableCount: cowdEntries,
		directory:  uint64(le.Uint32(p.Data[20:])),
		unclean:    le.Uint32(p.Data[cowdUnclean:]) != 0,
	}
}

// openCOWD opens an extent of type VMFSSPARSE and of a size in sectors.
func openCOWD(src bounded.Source, sectors uint64, limits diskimage.Limits) (header, *grainFinder, error) {
	start, err := src.Part("COWD header", 0, min(src.Size, cowdSectors*sector))
	if err != nil {
		return header{}, nil, err
	}
	if len(start.Data) < cowdSectors*sector || string(start.Data[:len(cowdMagic)]) != cowdMagic {
		return header{}, nil, start.Fault(diskimage.Malformed, "no COWD header, which the descriptor says is there")
	}
	head := parseCOWD(start)
	if err := head.validateCOWD(sectors); err != nil {
		return head, nil, err
	}
	flags := head.flags
	head.flags = 0 // those of a sparse header mean other things
	grains, err := newGrainFinder(src, head, int64(sectors)*sector, limits)
	head.flags = flags
	return head, grains, err
}

func (h header) validateCOWD(sectors uint64) error {
	entries := binary.LittleEndian.Uint32(h.part.Data[24:])
	switch {
	case h.version != cowdVersion:
		return h.fault(diskimage.Unsupported, "version", 4, uint64(h.version), "want %d", cowdVersion)
	case h.flags&cowdRoot == 0:
		return h.fault(diskimage.External, "flags", 8, uint64(h.flags), "the disk builds upon another")
	case h.capacity != sectors:
		return h.fault(diskimage.Malformed, "capacity", 12, h.capacity, "the descriptor says %#x", sectors)
	case h.grain == 0 || h.grain > maxGrain || h.grain&(h.grain-1) != 0:
		return h.fault(diskimage.Malformed, "grain size", 16, h.grain, "not a power of two up to %d sectors", maxGrain)
	case int64(entries) < h.tables():
		return h.fault(diskimage.Malformed, "grain directory entries", 24, uint64(entries), "want %d", h.tables())
	}
	return nil
}
