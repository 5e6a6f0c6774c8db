package policy

import (
	"strings"
	"unicode/utf8"
)

// A pattern is text in which two bytes that are in no UTF-8 stand for wildcards.
// So what is filled in for a policy variable is literal, and a user called "*"
// matches himself.
type pattern string

const (
	anyRun = "\xff" // *
	anyOne = "\xfe" // ?
)

var wildcards = strings.NewReplacer("*", anyRun, "?", anyOne)

// wild makes the pattern of text without variables. JSON lets only UTF-8 in.
func wild(text string) pattern { return pattern(wildcards.Replace(text)) }

// match reports whether all of text fits. What stands between two stars is
// looked for once, from where the part before it ended first: what comes after
// can only gain by that. So nothing is tried again, and the steps are len(text)
// once for every 64 characters between stars, however the pattern is made.
func (p pattern) match(w *Work, text string) bool {
	head, rest, star := strings.Cut(string(p), anyRun)
	end, ok := prefix(w, text, head)
	if !ok || !star {
		return ok && end == len(text)
	}
	for {
		text = text[end:]
		part, after, more := strings.Cut(rest, anyRun)
		if !more {
			return suffix(w, text, part)
		}
		if end, ok = find(w, text, part); !ok {
			return false
		}
		rest = after
	}
}

// prefix matches part, which has no star, with the beginning of text, and
// returns where it ends.
func prefix(w *Work, text, part string) (end int, ok bool) {
	if !strings.Contains(part, anyOne) {
		w.spend(1 + len(part)/16) // they are compared by the word
		return len(part), strings.HasPrefix(text, part)
	}
	for i := 0; i < len(part); i++ {
		switch {
		case end == len(text):
			return 0, false
		case part[i] == anyOne[0]:
			_, size := utf8.DecodeRuneInString(text[end:])
			end += size
		case part[i] == text[end]:
			end++
		default:
			return 0, false
		}
		w.spend(1)
	}
	return end, true
}

// suffix matches part, which has no star, with the end of text.
func suffix(w *Work, text, part string) bool {
	start := len(text)
	for range utf8.RuneCountInString(part) { // a wildcard counts as one too
		if start == 0 {
			return false
		}
		_, size := utf8.DecodeLastRuneInString(text[:start])
		start -= size
		w.spend(1)
	}
	end, ok := prefix(w, text[start:], part)
	return ok && start+end == len(text)
}

// find looks for the first place where part, which has no star, matches in text,
// and returns where it ends.
func find(w *Work, text, part string) (end int, ok bool) {
	if strings.Contains(part, anyOne) {
		return newSearch(w, part).run(w, text)
	}
	w.spend(1 + len(part))
	at := strings.Index(text, part)
	if at < 0 {
		w.spend(len(text))
		return 0, false
	}
	w.spend(at)
	return at + len(part), true
}

// search finds a part that has wildcards of one character. It walks over the text
// once and keeps, in one bit for each beginning of the part, whether what was
// read last fits it.
type search struct {
	fits map[rune][]uint64 // which places of the part a character may stand in
	any  []uint64          // which are wildcards
	last uint64            // bit of the whole part, in the last word
}

func newSearch(w *Work, part string) search {
	n := utf8.RuneCountInString(part)
	words := (n + 63) / 64
	s := search{map[rune][]uint64{}, make([]uint64, words), 1 << ((n - 1) % 64)}
	w.spend(n * words)
	place := 0
	for i := 0; i < len(part); place++ {
		r, size := utf8.DecodeRuneInString(part[i:])
		places := s.any
		if part[i] != anyOne[0] {
			if s.fits[r] == nil {
				s.fits[r] = make([]uint64, words)
			}
			places = s.fits[r]
		}
		places[place/64] |= 1 << (place % 64)
		i += size
	}
	return s
}

func (s search) run(w *Work, text string) (end int, ok bool) {
	state := make([]uint64, len(s.any))
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		at += size
		var fits []uint64
		if r != utf8.RuneError || size > 1 { // else no character
			fits = s.fits[r]
		}
		carry := uint64(1) // a match may begin anywhere
		for i, word := range state {
			places := s.any[i]
			if fits != nil {
				places |= fits[i]
			}
			state[i], carry = (word<<1|carry)&places, word>>63
		}
		if !w.spend(len(state)) {
			return 0, false
		}
		if state[len(state)-1]&s.last != 0 {
			return at, true
		}
	}
	return 0, false
}
