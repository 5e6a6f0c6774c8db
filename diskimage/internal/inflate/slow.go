package inflate

// symbols decodes the rest of a block with the codes in d.lit and d.dist.
func (d *Decoder) symbols() error {
	done, err := d.fast()
	for !done && err == nil {
		done, err = d.symbol()
	}
	return err
}

// symbol decodes one literal or match, and trusts nothing.
// done means the end of the block.
func (d *Decoder) symbol() (done bool, err error) {
	d.refill() // as much as the longest symbol takes: 15+5+15+13 bits
	e, err := d.lookup(d.lit[:], litBits)
	if err != nil {
		return false, err
	}
	if e&flagLit != 0 {
		if d.out == len(d.dst) {
			return false, ErrLong
		}
		d.dst[d.out] = byte(e >> shiftValue)
		d.out++
		d.drop(uint(e & maskTotal))
		return false, nil
	}
	if e&flagRare != 0 {
		d.drop(uint(e & maskTotal))
		return true, nil
	}
	length := d.value(e)
	if e, err = d.lookup(d.dist[:], distBits); err != nil {
		return false, err
	}
	dist := d.value(e)
	if dist > d.out {
		return false, ErrCorrupt
	}
	n := min(length, len(d.dst)-d.out)
	copyRest(d.dst[d.out-dist:d.out+n], dist)
	d.out += n
	if n < length {
		return false, ErrLong
	}
	return false, nil
}

// lookup returns the entry for the next bits, following a link. An entry that is
// rare is the end of the block.
func (d *Decoder) lookup(table []uint32, primary uint) (uint32, error) {
	e := table[d.bits&(1<<primary-1)]
	if e&(flagRare|flagLink) == flagRare|flagLink {
		if d.nbits < primary {
			return 0, ErrTruncated
		}
		d.drop(primary)
		e = table[follow(e, d.bits)]
	}
	switch {
	case e&(flagRare|flagEnd) == flagRare:
		return 0, ErrCorrupt
	case d.nbits < uint(e&maskTotal):
		return 0, ErrTruncated
	}
	return e, nil
}

// value takes a length or distance code with its extra bits.
func (d *Decoder) value(e uint32) int {
	extra := extraBits(e, d.bits)
	d.drop(uint(e & maskTotal))
	return int(e>>shiftValue) + extra
}

// copyRest fills b, from dist on, with the bytes dist before.
func copyRest(b []byte, dist int) {
	for done := dist; done < len(b); {
		done += copy(b[done:], b[:done])
	}
}
