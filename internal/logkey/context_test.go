package logkey

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
)

func TestLinesHaveWhatWasNoted(t *testing.T) {
	var out bytes.Buffer
	drop := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}
	log := slog.New(Handler(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: drop}))).With("a", 1)
	ctx := Begin(t.Context(), "r-1")
	Note(ctx, Account, "1")
	Note(ctx, Account, "2")
	Note(ctx, Task, "")
	for _, id := range []string{"snap-0123456789abcdef0", "snap-other", "import-ami-0/disk-1", "vol-1", "snap-\nnew line", "snap-" + strings.Repeat("a", 100)} {
		NoteID(ctx, id)
	}
	Note(context.Background(), Task, "nowhere")
	log.InfoContext(ctx, "x")
	log.InfoContext(ctx, "x", Request, "r-2")
	log.Info("x")
	if got := Noted(ctx, Account) + Noted(ctx, Unit) + Noted(context.Background(), Account); got != "1" {
		t.Errorf("noted was %q", got)
	}
	want := "msg=x a=1 account=1 request=r-1 snapshot=snap-0123456789abcdef0 task=import-ami-0/disk-1\n" +
		"msg=x a=1 request=r-2 account=1 snapshot=snap-0123456789abcdef0 task=import-ami-0/disk-1\n" +
		"msg=x a=1\n"
	if out.String() != want {
		t.Errorf("got %s, want %s", out.String(), want)
	}
}
