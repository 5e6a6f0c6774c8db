package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// units are the suffixes of sizes, longest first.
var units = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// byteSize is a flag that takes a size.
type byteSize int64

func sizeVar(fs *pflag.FlagSet, p *byteSize, name string, value byteSize, usage string) {
	*p = value
	fs.Var(p, name, usage)
}

// Type implements pflag.Value.
func (b *byteSize) Type() string { return "size" }

// Set implements pflag.Value.
func (b *byteSize) Set(text string) error {
	n, err := parseSize(text)
	*b = byteSize(n)
	return err
}

// String returns the size in the largest unit that it is a multiple of.
func (b *byteSize) String() string {
	for i := int64(4); i > 0; i-- {
		if n := int64(*b); n > 0 && n%(1<<(10*i)) == 0 {
			return strconv.FormatInt(n>>(10*i), 10) + units[i-1].suffix
		}
	}
	return strconv.FormatInt(int64(*b), 10)
}

// parseSize reads "1GiB", "500MB" or "4096".
func parseSize(s string) (int64, error) {
	number, unit := s, int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(s, u.suffix); ok {
			number, unit = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is no size; write 1GiB, 500MB or a number of bytes", s)
	}
	return n * unit, nil
}
