package inflate

// symbols decodes the rest of a block with the codes in d.lit and d.dist.
func (d *Decoder) symbols() error {
	for {
		done, err := d.fast()
		if done || err != nil {
			return err
		}
		if done, err = d.symbol(); done || err != nil {
			return err
		}
	}
}

// symbol decodes one literal, pair of literals or match, and trusts nothing.
// done means the end of the block.
func (d *Decoder) symbol() (done bool, err error) {
	d.refill() // as much as the longest symbol takes: 15+5+15+13 bits
	e, err := d.lookup(d.lit[:], litBits)
	if err != nil {
		return false, err
	}
	if e&isLit != 0 {
		return false, d.literals(e)
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
	copyMatch(d.dst[d.out-dist:d.out+n], dist)
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
	if e&isLit == 0 && e&flagLink != 0 && e&flagRare != 0 {
		if d.nbits < primary {
			return 0, ErrTruncated
		}
		d.drop(primary)
		e = table[uint64(e>>shiftValue&maskLink)+d.bits&(1<<(e>>shiftCode&maskCode)-1)]
	}
	switch {
	case e&isLit == 0 && e&flagRare != 0 && e&flagEnd == 0:
		return 0, ErrCorrupt
	case d.nbits < uint(e&maskTotal) && e&isLit != 2<<shiftCount:
		return 0, ErrTruncated
	}
	return e, nil
}

// literals writes one or two literals. If the second one's bits or room are
// missing, the first is still good.
func (d *Decoder) literals(e uint32) error {
	for range e >> shiftCount & maskCount {
		n := uint(e >> shiftCode & maskCode) // of the first literal
		if n > d.nbits {
			return ErrTruncated
		}
		if d.out == len(d.dst) {
			return ErrLong
		}
		d.dst[d.out] = byte(e >> shiftValue)
		d.out++
		d.drop(n)
		e = uint32(d.lit[d.bits&(1<<litBits-1)])
	}
	return nil
}

// value takes a length or distance code with its extra bits.
func (d *Decoder) value(e uint32) int {
	extra := d.bits >> (e >> shiftCode & maskCode) & (1<<(e>>shiftExtra&maskExtra) - 1)
	d.drop(uint(e & maskTotal))
	return int(e>>shiftValue) + int(extra)
}

// copyMatch fills b, from dist on, with what lies dist before.
func copyMatch(b []byte, dist int) {
	for done := dist; done < len(b); {
		done += copy(b[done:], b[:done])
	}
}
