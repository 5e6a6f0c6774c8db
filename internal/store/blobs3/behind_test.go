package blobs3_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/diskport/diskport/internal/store/blobs3"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// TestAListingThatIsBehind: a file was set aside long ago and is brought back. A list that
// still has the mark in its place does not let it be purged.
func TestAListingThatIsBehind(t *testing.T) {
	f := newFakeS3()
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	ahead := time.Duration(0)
	b := open(t, blobs3.Options{
		Endpoint: srv.URL, Bucket: "bucket", Prefix: "store/", Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", ""), Backoff: time.Millisecond,
		Now: func() time.Time { return time.Now().Add(ahead) },
	})
	const file = "pack/01/1"
	data := content(2 * blockstore.Align)
	w := create(t, b, file)
	write(t, w, data, 0)
	for _, step := range []func() error{
		func() error { return w.Close(t.Context(), int64(len(data))) },
		func() error { return b.SetAside(t.Context(), file, time.Now()) },
		func() error { ahead = 31 * 24 * time.Hour; f.fallBehind(); return nil },
		func() error { return b.BringBack(t.Context(), file) },
		func() error { _, err := b.Purge(t.Context(), time.Now().Add(24*time.Hour)); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	same(t, b, file, data)
}
