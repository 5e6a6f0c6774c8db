package policy

import (
	"strings"
	"unicode/utf8"
)

// A pattern is text in which two bytes that never occur in UTF-8 stand for
// wildcards. So the value of a policy variable is always taken literally, and a
// user called "*" matches only himself.
type pattern string

const (
	anyRun = "\xff" // *
	anyOne = "\xfe" // ?
)

var wildcards = strings.NewReplacer("*", anyRun, "?", anyOne)

// wild makes a pattern of text without variables. The text came out of JSON, so it
// is valid UTF-8.
func wild(text string) pattern { return pattern(wildcards.Replace(text)) }

// match reports whether the pattern matches the whole text. The part between two
// stars is searched for once, from where the part before it first ended: an earlier
// end can only help what comes after. So there is no backtracking, and the steps
// are at most len(text) for every 64 characters between stars, whatever the
// pattern.
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

// prefix matches part, which has no star, with the beginning of text, and returns
// the end of the match.
func prefix(w *Work, text, part string) (end int, ok bool) {
	if !strings.Contains(part, anyOne) {
		w.spend(1 + len(part)/16) // bytes are compared in words
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

// suffix reports whether text ends with a match of part, which has no star.
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

// find looks for the first match of part, which has no star, in text, and returns
// its end.
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

// search finds a part that has wildcards for one character. It goes over the text
// once. For each beginning of the part it keeps a bit that says whether the
// characters read last match it.
type search struct {
	fits map[rune][]uint64 // the positions in the part that a character may have
	any  []uint64          // the positions of wildcards
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
		if r != utf8.RuneError || size > 1 { // else it is not a character
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
