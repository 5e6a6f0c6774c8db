package objects

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func TestPinOutlivesTheName(t *testing.T) {
	b := bucket(t, "outlives")
	for _, tt := range []struct {
		name string
		hurt func(t *testing.T, key string)
	}{
		{"deleted", func(t *testing.T, key string) { remove(t, b, key) }},
		{"replaced", func(t *testing.T, key string) { put(t, b, key, "something else") }},
		{"tagged", func(t *testing.T, key string) {
			_, err := clientOf(accountA).CopyObject(t.Context(), &s3.CopyObjectInput{
				Bucket: &b, Key: &key, CopySource: aws.String(b + "/" + key),
				MetadataDirective: "REPLACE", Metadata: map[string]string{"a": "b"},
			})
			if err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key := "dir/" + tt.name
			put(t, b, key, "content")
			pin, err := shared.store.Pin(t.Context(), b, key, "imp-"+tt.name)
			if err != nil {
				t.Fatal(err)
			}
			wantETag := fmt.Sprintf(`"%x"`, md5.Sum([]byte("content")))
			if pin.Size != 7 || pin.ETag != wantETag {
				t.Errorf("pinned %d bytes, ETag %s; want 7, %s", pin.Size, pin.ETag, wantETag)
			}
			tt.hurt(t, key)
			if got := read(t, pin); got != "content" {
				t.Errorf("pinned bytes are now %q", got)
			}
		})
	}
}

func TestPinOfMultipartUpload(t *testing.T) {
	b, key := bucket(t, "multipart"), "disk.vmdk"
	c := clientOf(accountA)
	upload, err := c.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &b, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	input := &s3.CompleteMultipartUploadInput{Bucket: &b, Key: &key, UploadId: upload.UploadId, MultipartUpload: completed(t, c, upload)}
	done, err := c.CompleteMultipartUpload(t.Context(), input)
	if err != nil {
		t.Fatal(err)
	}
	pin, err := shared.store.Pin(t.Context(), b, key, "multipart")
	if err != nil || pin.Size != 5<<20+3 || pin.ETag != *done.ETag || !strings.HasSuffix(pin.ETag, `-2"`) {
		t.Errorf("Pin = %+v, %v; want %d bytes, ETag %s", pin, err, 5<<20+3, *done.ETag)
	}
}

func TestPinRefuses(t *testing.T) {
	b := bucket(t, "refuses")
	put(t, b, "dir/object", "content")
	put(t, b, "folder/", "")
	if err := os.WriteFile(filepath.Join(shared.dir, "outside"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../outside", objectFile(b, "symlink")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, bucket, key string }{
		{"absent", b, "absent"},
		{"absent bucket", "no-such-bucket", "x"},
		{"folder", b, "dir"},
		{"directory object", b, "folder/"},
		{"object as folder", b, "dir/object/x"},
		{"object with slash", b, "dir/object/"},
		{"empty key", b, ""},
		{"escape", b, "../../outside"},
		{"inner dots", b, "x/../dir/object"},
		{"NUL", b, "dir/object\x00"},
		{"too long", b, strings.Repeat("x", 300)},
		{"longer than any key", b, strings.Repeat("x/", 600) + "x"},
		{"gateway's folder", b, gatewayTemp + "/multipart"},
		{"symbolic link", b, "symlink"},
		{"bucket dots", "..", "outside"},
		{"bucket path", "../s3/" + b, "dir/object"},
		{"gateway's locks", ".vgwlocks", "x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := shared.store.Pin(t.Context(), tt.bucket, tt.key, "refused")
			if !errors.Is(err, ErrNoSuchObject) {
				t.Errorf("got %v, want ErrNoSuchObject", err)
			}
			if _, err := os.Lstat(filepath.Join(shared.dir, pinsDir, "refused")); !os.IsNotExist(err) {
				t.Errorf("a refused pin left a link behind: %v", err)
			}
		})
	}
	for _, id := range []string{"", "../x", "a/b", ".hidden", "a\x00", strings.Repeat("i", 129)} {
		if _, err := shared.store.Pin(t.Context(), b, "dir/object", id); err == nil {
			t.Errorf("pin id %q was accepted", id)
		}
	}
}

func TestPinWhileReplaced(t *testing.T) {
	b := bucket(t, "concurrent")
	contents := []string{strings.Repeat("a", 4096), strings.Repeat("b", 8192)}
	put(t, b, "k", contents[0])
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range 40 {
			put(t, b, "k", contents[i%2])
		}
	})
	for i := range 40 {
		pin, err := shared.store.Pin(t.Context(), b, "k", fmt.Sprintf("concurrent-%d", i))
		if err != nil {
			t.Fatal(err)
		}
		got := read(t, pin)
		if !slices.Contains(contents, got) || fmt.Sprintf(`"%x"`, md5.Sum([]byte(got))) != pin.ETag {
			t.Errorf("pin %d: %d bytes are not those of ETag %s", i, len(got), pin.ETag)
		}
	}
	writer.Wait()
}

func TestReleaseAndList(t *testing.T) {
	b := bucket(t, "releases")
	put(t, b, "k", "content")
	pin, err := shared.store.Pin(t.Context(), b, "k", "released")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shared.store.Pin(t.Context(), b, "k", "released"); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second pin under one id: %v, want ErrExist", err)
	}
	if ids, err := shared.store.Pins(t.Context()); err != nil || !slices.Contains(ids, "released") {
		t.Errorf("Pins = %v, %v; want released among them", ids, err)
	}
	open, err := shared.store.Open(t.Context(), pin)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	for range 2 {
		if err := shared.store.Release(t.Context(), "released"); err != nil {
			t.Errorf("Release: %v", err)
		}
	}
	if _, err := shared.store.Open(t.Context(), pin); !errors.Is(err, ErrNoSuchPin) {
		t.Errorf("Open after Release: %v, want ErrNoSuchPin", err)
	}
	if err := open.Check(); err != nil {
		t.Errorf("an open file after Release: %v", err)
	}
	if ids, err := shared.store.Pins(t.Context()); err != nil || slices.Contains(ids, "released") {
		t.Errorf("Pins = %v, %v; want released gone", ids, err)
	}
}

func TestOpenSeesChange(t *testing.T) {
	b := bucket(t, "changed")
	put(t, b, "k", "content")
	pin, err := shared.store.Pin(t.Context(), b, "k", "changed")
	if err != nil {
		t.Fatal(err)
	}
	open, err := shared.store.Open(t.Context(), pin)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := os.WriteFile(objectFile(b, "k"), []byte("CONTENT, in place"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open.Check(); !errors.Is(err, ErrChanged) {
		t.Errorf("Check: %v, want ErrChanged", err)
	}
	if _, err := shared.store.Open(t.Context(), pin); !errors.Is(err, ErrChanged) {
		t.Errorf("Open: %v, want ErrChanged", err)
	}
}

func remove(t *testing.T, bucket, key string) {
	t.Helper()
	if _, err := clientOf(accountA).DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: &key}); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, pin GatewayPin) string {
	t.Helper()
	f, err := shared.store.Open(t.Context(), pin)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, f.Size())
	if _, err := f.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// completed uploads a part of 5 MiB and one of 3 bytes.
func completed(t *testing.T, c *s3.Client, upload *s3.CreateMultipartUploadOutput) *types.CompletedMultipartUpload {
	t.Helper()
	var parts []types.CompletedPart
	for i, content := range [][]byte{bytes.Repeat([]byte{1}, 5<<20), []byte("end")} {
		number := int32(i + 1)
		part, err := c.UploadPart(t.Context(), &s3.UploadPartInput{
			Bucket: upload.Bucket, Key: upload.Key, UploadId: upload.UploadId, PartNumber: &number, Body: bytes.NewReader(content),
		})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{ETag: part.ETag, PartNumber: &number, ChecksumCRC32: part.ChecksumCRC32})
	}
	return &types.CompletedMultipartUpload{Parts: parts}
}

func TestBucketsAreAnAccounts(t *testing.T) {
	b := bucket(t, "owned-by-a")
	mine, err := shared.store.Buckets(t.Context(), accountA)
	if err != nil || !slices.Contains(mine, b) {
		t.Errorf("buckets %v, %v, want %s among them", mine, err, b)
	}
	if others, err := shared.store.Buckets(t.Context(), accountB); err != nil || len(others) != 0 {
		t.Errorf("buckets %v, %v of an account without any", others, err)
	}
}
