package flow

import "time"

// pace is the least rate at which a client must send or read.
type pace struct {
	rate     int64         // bytes a second
	patience time.Duration // the longest pause
}

// left returns how long the client may keep us waiting from now on, given how long it
// might have before it kept us waiting for so long and then moved n bytes. Bytes give
// back time, though never more than the patience: however fast a client was, it can't
// save up for a longer pause.
func (p pace) left(before, waited time.Duration, n int) time.Duration {
	left := float64(before-waited) + float64(n)/float64(p.rate)*float64(time.Second)
	return time.Duration(min(left, float64(p.patience)))
}

// piece returns how many bytes to write under one deadline: what a client at the least
// rate takes half of the patience for, if that is not more than most.
func (p pace) piece(most int) int {
	return max(1, int(min(float64(most), float64(p.rate)*p.patience.Seconds()/2)))
}
