package bounded_test

import (
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage/internal/bounded"
)

func TestCheckTags(t *testing.T) {
	long := strings.Repeat("x", 20_000)
	for text, ok := range map[string]bool{
		"":                               true,
		"<a>" + long + "</a>":            true,
		"<a>it's " + long + "</a>":       true,
		"<!-- it's --><a>" + long:        true,
		"<a b='>'>" + long:               true,
		"<a b='\">'>" + long + "<":       true,
		"<a " + long + ">":               false,
		"<a b='>' " + long + ">":         false,
		"<a b=\">" + long + "\">":        false,
		"<a/><b><!-- " + long + " -->":   false,
		"<a>" + long + "<b " + long:      false,
		"<!DOCTYPE x [" + long + "]>":    false,
		"<a b=\"" + long[:9000] + "\"/>": true,
	} {
		p := bounded.Source{Format: "x"}.NewPart("text", 0, []byte(text))
		if err := p.CheckTags(); (err == nil) != ok {
			t.Errorf("%.40q: got %v", text, err)
		}
	}
}
