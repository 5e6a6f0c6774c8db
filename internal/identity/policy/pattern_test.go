package policy

import (
	"context"
	"strings"
	"testing"
	"unicode/utf8"
)

// reference matches by the definition: it compares tokens with characters, one by
// one.
func reference(want, text []rune) bool {
	fits := make([]bool, len(text)+1) // the part of want read so far matches text[:i]
	fits[0] = true
	for _, token := range want {
		next := make([]bool, len(fits))
		for i := range fits {
			switch token {
			case '*':
				next[i] = fits[i] || i > 0 && next[i-1]
			case '?':
				next[i] = i > 0 && fits[i-1]
			default:
				next[i] = i > 0 && fits[i-1] && text[i-1] == token
			}
		}
		fits = next
	}
	return fits[len(text)]
}

func FuzzMatch(f *testing.F) {
	long := strings.Repeat("?", 70) + "b"
	for _, c := range [][2]string{
		{"", ""}, {"*", ""}, {"?", ""}, {"a*b", "ab"}, {"a*b*", "axbx"}, {"*ab?*", "aabab"}, {"*?*?", "xy"}, {"?é*é", "éééé"},
		{"*" + long + "*", strings.Repeat("a", 90) + "b"}, {"*" + long, strings.Repeat("b", 71)}, {"**a", "a"}, {"a?", "aé"}, {"*a?c*", "abababc"},
	} {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, want, text string) {
		if !utf8.ValidString(want) || !utf8.ValidString(text) || len(want) > 300 || len(text) > 300 {
			return // patterns come from JSON, and the reference reads characters
		}
		got := wild(want).match(NewWork(t.Context()), text)
		if expected := reference([]rune(want), []rune(text)); got != expected {
			t.Errorf("%q on %q: got %v, want %v", want, text, got, expected)
		}
	})
}

// TestTextThatIsNoUTF8 matches text with invalid bytes, among them those that stand
// for wildcards in patterns.
func TestTextThatIsNoUTF8(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"a?c", "a\xffc", true}, {"a*c", "a\xff\xfec", true}, {"a�c", "a\xffc", false}, {"*�*", "a\xffc", false},
		{"*�?", "a�\xfe", true}, {"*?�", "\xff�", true}, {"*", "\xff", true}, {"abc", "a\xffc", false}, {"*b?d*", "ab\xffd\xfe", true},
	} {
		if got := wild(c.pattern).match(NewWork(t.Context()), c.text); got != c.want {
			t.Errorf("%q on %q: got %v, want %v", c.pattern, c.text, got, c.want)
		}
	}
}

// hostile are patterns that take a matcher with backtracking very long.
var hostile = map[string]string{
	"stars":               strings.Repeat("a*", 1000) + "b",
	"stars and wildcards": strings.Repeat("*?a", 600) + "b",
	"one long part":       "*" + strings.Repeat("a", 1900) + "b*",
	"a part of wildcards": "*" + strings.Repeat("a?", 900) + "b*",
	"wildcards":           "*" + strings.Repeat("?", 1900) + "b",
	"a short part":        "*a?a?a?a?b*",
}

// TestMatchingIsLinear counts steps: no more than the length of the text for each
// 64 characters between stars.
func TestMatchingIsLinear(t *testing.T) {
	for name, text := range hostile {
		t.Run(name, func(t *testing.T) {
			p := wild(text)
			longest := 0
			for part := range strings.SplitSeq(text, "*") {
				longest = max(longest, len(part))
			}
			for _, n := range []int{500, 1000, 2000, 4000} {
				w := NewWork(t.Context())
				if p.match(w, strings.Repeat("a", n)) {
					t.Fatal("matches")
				}
				if most := (longest/64 + 2) * (n + 2*len(text)); w.steps == 0 || w.steps > most {
					t.Errorf("%d steps on %d characters, want %d at most", w.steps, n, most)
				}
			}
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	subject := strings.Repeat("a", 2000)
	patterns := map[string]string{"usual": "arn:aws:s3:::images/*"}
	for name, text := range hostile {
		patterns[name] = text
	}
	for name, text := range patterns {
		b.Run(name, func(b *testing.B) {
			p := wild(text)
			for b.Loop() {
				p.match(NewWork(context.Background()), subject)
			}
		})
	}
}

func BenchmarkEvaluate(b *testing.B) {
	text := document(importRole + "," + home)
	r := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::shared/home/ann/disk.raw", Context: contextOf("aws:username=ann")}
	b.Run("parsed anew", func(b *testing.B) {
		for b.Loop() {
			d, err := Parse(text, Identity)
			if err != nil || d.Evaluate(NewWork(b.Context()), r) != Allow {
				b.Fatal(err)
			}
		}
	})
	b.Run("cached", func(b *testing.B) {
		c := NewCache()
		for b.Loop() {
			d, err := c.Parse(text, Identity)
			if err != nil || d.Evaluate(NewWork(b.Context()), r) != Allow {
				b.Fatal(err)
			}
		}
	})
}
