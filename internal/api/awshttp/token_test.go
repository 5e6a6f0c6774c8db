package awshttp

import (
	"regexp"
	"testing"
	"time"
)

func TestMint(t *testing.T) {
	block := NewMint([]byte("key"), "block")
	token := block.Make([]byte("payload"), now, "snap-1", "7")
	if got, ok := block.Open(token, now, "snap-1", "7"); !ok || string(got) != "payload" {
		t.Fatalf("got %q %v", got, ok)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9+/=]{1,256}$`).MatchString(token) {
		t.Errorf("token %q has other characters than clients expect", token)
	}
	bad := map[string]func() bool{
		"expired":       func() bool { _, ok := block.Open(token, now.Add(time.Second), "snap-1", "7"); return ok },
		"other binding": func() bool { _, ok := block.Open(token, now, "snap-1", "8"); return ok },
		"shifted":       func() bool { _, ok := block.Open(token, now, "snap-17", ""); return ok },
		"purpose":       func() bool { _, ok := NewMint([]byte("key"), "page").Open(token, now, "snap-1", "7"); return ok },
		"key":           func() bool { _, ok := NewMint([]byte("kez"), "block").Open(token, now, "snap-1", "7"); return ok },
		"cut":           func() bool { _, ok := block.Open(token[:len(token)-4], now, "snap-1", "7"); return ok },
		"empty":         func() bool { _, ok := block.Open("", now, "snap-1", "7"); return ok },
	}
	for name, accepted := range bad {
		if accepted() {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzMintOpen(f *testing.F) {
	m := NewMint([]byte("key"), "p")
	good := m.Make([]byte("x"), now, "b")
	f.Add(good)
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		if _, ok := m.Open(token, now, "b"); ok && token != good {
			t.Errorf("forged %q", token)
		}
	})
}
