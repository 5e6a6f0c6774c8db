package vhdx

import (
	"bytes"
	"encoding/binary"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// Bounds of a log. Writers make logs of 1 MiB; the zero ranges of one are few.
const (
	maxLog   = 64 * mib
	maxZeros = 16 << 10 // "zero" descriptors in the active sequence
	// maxChecked bounds the bytes that are read for checksums, in lengths of the
	// log: whole entries take up to one length, remains of older ones a few more.
	maxChecked = 16
	// maxAppended bounds how far a log may say that the object reached: twice
	// the largest volume.
	maxAppended = 128 << 40
)

// journal is the log, read whole.
type journal struct {
	head    header
	part    bounded.Part
	entries []entry // by the sector they begin at; without one: length 0
	checked int64   // bytes summed so far
}

// entry is a valid log entry (2.3.1).
type entry struct {
	off         int64 // in the log, as the next two
	length      int64
	tail        int64
	sequence    uint64
	descriptors uint32
	flushed     uint64 // file offsets
	last        uint64
}

// Bytes of an entry's header, of a descriptor and of a "data" sector's content.
const (
	entryHeader    = 64
	descriptorSize = 32
	dataBytes      = 4084
)

// replay reads the log of src and returns src with the log's changes applied.
func replay(src bounded.Source, head header, limits diskimage.Limits) (bounded.Source, error) {
	length := int64(head.logLength)
	if length > min(maxLog, limits.MetadataBytes) {
		return src, head.fault(diskimage.Limit, "log length", 68, uint64(length), "more than %d bytes", min(maxLog, limits.MetadataBytes))
	}
	data := make([]byte, length)
	if err := src.ReadFull("log", data, int64(head.logOffset)); err != nil {
		return src, err
	}
	j := &journal{head: head, part: src.NewPart("log", int64(head.logOffset), data)}
	if err := j.scan(); err != nil {
		return src, err
	}
	active := j.active()
	if len(active) == 0 {
		return src, j.part.Fault(diskimage.Malformed, "is in use and holds no whole sequence of entries")
	}
	return j.apply(src, active)
}

// scan finds the valid entries.
func (j *journal) scan() error {
	j.entries = make([]entry, len(j.part.Data)/logSector)
	for i := range j.entries {
		e, err := j.parseEntry(int64(i) * logSector)
		if err != nil {
			return err
		}
		j.entries[i] = e
	}
	return nil
}

// parseEntry returns the entry at off, or an empty one when there is no valid
// one: what is not valid is the remains of an older round of the ring.
func (j *journal) parseEntry(off int64) (entry, error) {
	le := binary.LittleEndian
	size := int64(len(j.part.Data))
	p := j.part.Data[off : off+logSector]
	if string(p[:4]) != "loge" || guid(p[32:48]) != j.head.logGUID {
		return entry{}, nil
	}
	e := entry{
		off: off, length: int64(le.Uint32(p[8:])), tail: int64(le.Uint32(p[12:])), sequence: le.Uint64(p[16:]),
		descriptors: le.Uint32(p[24:]), flushed: le.Uint64(p[48:]), last: le.Uint64(p[56:]),
	}
	fits := int64(e.descriptors) <= (e.length-entryHeader)/descriptorSize
	if e.length == 0 || e.length%logSector != 0 || e.length > size || e.tail%logSector != 0 || e.tail >= size ||
		e.sequence == 0 || !fits {
		return entry{}, nil
	}
	if j.checked += e.length; j.checked > maxChecked*size {
		return entry{}, j.part.Fault(diskimage.Limit, "its entries overlap too much")
	}
	whole := j.slice(off, e.length)
	if !intact(whole, "loge") || !e.coherent(whole) {
		return entry{}, nil
	}
	return e, nil
}

// slice returns n bytes of the ring at off.
func (j *journal) slice(off, n int64) []byte {
	data := j.part.Data
	if off+n <= int64(len(data)) {
		return data[off : off+n]
	}
	return append(bytes.Clone(data[off:]), data[:off+n-int64(len(data))]...)
}

// sectors returns how many sectors the header and the descriptors fill.
func (e entry) sectors() int64 {
	return (entryHeader + int64(e.descriptors)*descriptorSize + logSector - 1) / logSector
}

// descriptor returns the i-th descriptor of the entry's bytes.
func descriptor(whole []byte, i uint32) []byte {
	at := entryHeader + int(i)*descriptorSize
	return whole[at : at+descriptorSize]
}

// coherent reports whether every descriptor and data sector of the entry's bytes is
// valid and belongs to it: a torn data sector has an older sequence.
func (e entry) coherent(whole []byte) bool {
	le := binary.LittleEndian
	data := whole[e.sectors()*logSector:]
	for i := range e.descriptors {
		d := descriptor(whole, i)
		if le.Uint64(d[24:]) != e.sequence {
			return false
		}
		switch string(d[:4]) {
		case "zero":
		case "desc":
			if len(data) < logSector || string(data[:4]) != "data" ||
				le.Uint32(data[4:]) != uint32(e.sequence>>32) || le.Uint32(data[logSector-4:]) != uint32(e.sequence) {
				return false
			}
			data = data[logSector:]
		default:
			return false
		}
	}
	return true
}

// active returns the active sequence, from its tail to its head: of all whole
// sequences the one whose head has the highest number.
func (j *journal) active() []entry {
	var best entry
	length := 0
	for _, head := range j.entries {
		if head.length == 0 || head.sequence <= best.sequence {
			continue
		}
		if n := j.sequence(head); n > 0 {
			best, length = head, n
		}
	}
	active := make([]entry, 0, length)
	for at := best.tail; len(active) < length; at = j.after(active[len(active)-1]) {
		active = append(active, j.entries[at/logSector])
	}
	return active
}

// sequence returns how many entries there are from head's tail to head, or 0
// when they are not consecutive.
func (j *journal) sequence(head entry) int {
	size := int64(len(j.part.Data))
	last := &j.entries[head.tail/logSector]
	total := last.length
	for n := 1; last.length > 0 && total <= size; n++ {
		if last.off == head.off {
			return n
		}
		e := &j.entries[j.after(*last)/logSector]
		if e.sequence != last.sequence+1 {
			return 0
		}
		last, total = e, total+e.length
	}
	return 0
}

// after returns where in the log the entry after e begins.
func (j *journal) after(e entry) int64 { return (e.off + e.length) % int64(len(j.part.Data)) }

// apply lays the changes of the sequence over src.
func (j *journal) apply(src bounded.Source, active []entry) (bounded.Source, error) {
	head := active[len(active)-1]
	if head.flushed > uint64(src.Size) {
		return src, j.fault(head, diskimage.Truncated, "flushed file offset", 48, head.flushed, "the object has %d bytes", src.Size)
	}
	if head.last > maxAppended {
		return src, j.fault(head, diskimage.Malformed, "last file offset", 56, head.last, "more than %d", int64(maxAppended))
	}
	o := &overlay{base: src.R, baseSize: src.Size, size: max(src.Size, int64(head.last))}
	zeros := 0
	for _, e := range active {
		whole := j.slice(e.off, e.length)
		data := whole[e.sectors()*logSector:]
		for i := range e.descriptors {
			d := descriptor(whole, i)
			c, err := j.change(e, i, d, data)
			if err != nil {
				return src, err
			}
			if c.data != nil {
				data = data[logSector:]
			} else if zeros++; zeros > maxZeros {
				return src, j.part.Fault(diskimage.Limit, "more than %d zero descriptors", maxZeros)
			}
			o.put(c)
		}
	}
	src.R, src.Size = o, o.size
	return src, nil
}

// change decodes descriptor i of e; data begins with its data sector, if it has
// one. The headers and the log itself are not changed through the log.
func (j *journal) change(e entry, i uint32, d, data []byte) (change, error) {
	le := binary.LittleEndian
	off, length := le.Uint64(d[16:]), uint64(logSector)
	var page []byte
	if string(d[:4]) == "zero" {
		length = le.Uint64(d[8:])
	} else {
		page = append(append(append(make([]byte, 0, logSector), d[8:16]...), data[8:8+dataBytes]...), d[4:8]...)
	}
	at := entryHeader + int64(i)*descriptorSize
	log := region{off: j.part.Off, end: j.part.Off + int64(len(j.part.Data))}
	switch end := off + length; {
	case off%logSector != 0 || length%logSector != 0 || length == 0:
		return change{}, j.fault(e, diskimage.Malformed, "descriptor", at, off, "%d bytes, not whole pages of 4 KiB", length)
	case end < off || end > 1<<62:
		return change{}, j.fault(e, diskimage.Malformed, "descriptor", at, off, "%d bytes there are past any object", length)
	case off < region1 || log.overlaps(int64(off), int64(end)):
		return change{}, j.fault(e, diskimage.Malformed, "descriptor", at, off, "changes the headers or the log")
	}
	return change{int64(off), int64(off + length), page}, nil
}

func (j *journal) fault(e entry, c diskimage.Class, field string, at int64, value uint64, reason string, args ...any) error {
	p := j.part
	p.Name, p.Off = "log entry", p.Off+e.off
	return p.FieldFault(c, bounded.Field{Name: field, At: at, Value: value}, reason, args...)
}
