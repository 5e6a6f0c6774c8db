package objects

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// TestChecksumsOfParts compares the checksum that an upload gets from those of its
// parts with that of all bytes.
func TestChecksumsOfParts(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, 2*MinPart+77)
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	cuts := [][]byte{content[:MinPart], content[MinPart : 2*MinPart+5], content[2*MinPart+5:]}
	for _, a := range []Algorithm{CRC32, CRC32C, CRC64NVME} {
		t.Run(string(a), func(t *testing.T) {
			var parts []Part
			for i, cut := range cuts {
				parts = append(parts, Part{Number: i + 1, Size: int64(len(cut)), ETag: "00", Checksum: checksumOf(a, sumOf(a, cut))})
			}
			got, err := assembleChecksum(Upload{Algorithm: a, ChecksumType: FullObject}, parts)
			if err != nil {
				t.Fatal(err)
			}
			if want := checksumOf(a, sumOf(a, content)); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func sumOf(a Algorithm, b []byte) []byte {
	h := a.newHash()
	h.Write(b)
	return h.Sum(nil)
}

func TestCompositeChecksum(t *testing.T) {
	one, two := sumOf(SHA256, []byte("one")), sumOf(SHA256, []byte("two"))
	got, err := assembleChecksum(Upload{Algorithm: SHA256, ChecksumType: Composite}, []Part{
		{Number: 1, Checksum: checksumOf(SHA256, one)}, {Number: 2, Checksum: checksumOf(SHA256, two)},
	})
	want := base64.StdEncoding.EncodeToString(sumOf(SHA256, bytes.Join([][]byte{one, two}, nil))) + "-2"
	if err != nil || got != (Checksum{SHA256, Composite, want}) {
		t.Errorf("got %v, %v, want %s", got, err, want)
	}
}

func TestAssembleRefuses(t *testing.T) {
	uploaded := []Part{{Number: 1, Size: MinPart, ETag: "0a"}, {Number: 2, Size: 10, ETag: "0b"}, {Number: 4, Size: 20, ETag: "0c"}}
	one, two, four := CompletedPart{Number: 1, ETag: `"0a"`}, CompletedPart{Number: 2, ETag: "0b"}, CompletedPart{Number: 4, ETag: "0c"}
	var missing *PartError
	var small *SmallPartError
	var size *SizeError
	var kind *ChecksumTypeError
	for _, tt := range []struct {
		name string
		c    Completion
		want func(error) bool
	}{
		{"nothing", Completion{Size: -1}, func(err error) bool { return errors.Is(err, ErrPartOrder) }},
		{"out of order", Completion{Size: -1, Parts: []CompletedPart{two, one}}, func(err error) bool { return errors.Is(err, ErrPartOrder) }},
		{"twice", Completion{Size: -1, Parts: []CompletedPart{one, one}}, func(err error) bool { return errors.Is(err, ErrPartOrder) }},
		{"out of order and absent", Completion{Size: -1, Parts: []CompletedPart{{Number: 3, ETag: "0b"}, one}}, func(err error) bool { return errors.Is(err, ErrPartOrder) }},
		{"absent", Completion{Size: -1, Parts: []CompletedPart{one, {Number: 3, ETag: "0b"}}}, func(err error) bool { return errors.As(err, &missing) && missing.Number == 3 }},
		{"other ETag", Completion{Size: -1, Parts: []CompletedPart{{Number: 1, ETag: "0b"}}}, func(err error) bool { return errors.As(err, &missing) && missing.Number == 1 }},
		{"small", Completion{Size: -1, Parts: []CompletedPart{one, two, four}}, func(err error) bool { return errors.As(err, &small) && small.Number == 2 && small.Size == 10 }},
		{"other size", Completion{Size: 7, Parts: []CompletedPart{one, two}}, func(err error) bool { return errors.As(err, &size) && *size == SizeError{MinPart + 10, 7} }},
		{"other type of checksum", Completion{Size: -1, Parts: []CompletedPart{one, two}, Checksum: Checksum{Type: Composite}}, func(err error) bool { return errors.As(err, &kind) && kind.Type == FullObject }},
		{"other checksum", Completion{Size: -1, Parts: []CompletedPart{one, two}, Checksum: Checksum{CRC32, "", "AAAAAA=="}}, func(err error) bool { return errors.Is(err, ErrChecksum) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Assemble(tt.c, Upload{}, uploaded); !tt.want(err) {
				t.Errorf("got %v", err)
			}
		})
	}
	a, err := Assemble(Completion{Size: MinPart + 20, Parts: []CompletedPart{one, four}}, Upload{}, uploaded)
	if err != nil || a.Size != MinPart+20 || len(a.Parts) != 2 || a.ETag != "1ca4587abe5af266262997ae9a81d27e-2" {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestConditions(t *testing.T) {
	at, size, other := time.Unix(1000, 5000), int64(3), int64(4)
	object := &Object{ETag: "e", Modified: at, Size: size}
	for _, tt := range []struct {
		name    string
		present *Object
		c       Conditions
		want    error
	}{
		{"none", object, Conditions{}, nil},
		{"match", object, Conditions{Match: `"e"`}, nil},
		{"match without marks", object, Conditions{Match: "e"}, nil},
		{"match any", object, Conditions{Match: "*"}, nil},
		{"match another", object, Conditions{Match: `"f"`}, ErrPrecondition},
		{"match nothing", nil, Conditions{Match: "*"}, ErrNoSuchObject},
		{"match a marker", &Object{Marker: true}, Conditions{Match: "*"}, ErrNoSuchObject},
		{"new", nil, Conditions{NoneMatch: "*"}, nil},
		{"new over a marker", &Object{Marker: true}, Conditions{NoneMatch: "*"}, nil},
		{"not new", object, Conditions{NoneMatch: "*"}, ErrPrecondition},
		{"none match", object, Conditions{NoneMatch: `"f"`}, nil},
		{"time", object, Conditions{Modified: time.Unix(1000, 0)}, nil},
		{"another time", object, Conditions{Modified: time.Unix(1001, 0)}, ErrPrecondition},
		{"size", object, Conditions{Size: &size}, nil},
		{"another size", object, Conditions{Size: &other}, ErrPrecondition},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.c.Check(tt.present); !errors.Is(err, tt.want) || err != nil && tt.want == nil {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}
