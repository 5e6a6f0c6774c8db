package server

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/diskport/diskport/internal/block"
)

// BenchmarkBlocks reads and writes blocks through the whole service but its sockets: front
// chain, signature, authorisation, catalog, frame. Writers are several at a time, so that they
// share commits.
//
//	go test ./internal/server -run '^$' -bench Blocks
func BenchmarkBlocks(b *testing.B) {
	cfg := config(filepath.Join(b.TempDir(), "data"))
	cfg.RequestRate = -1
	s := openStill(b, cfg)
	id, secret := s.Credentials()
	root := key{id, secret}
	s.query(root, "iam", iamVersion, "CreateRole", "RoleName", "importer", "AssumeRolePolicyDocument",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole"}}`)
	snapshot := s.imports(root, handedOver, 64*block.Size, 1)
	var list struct{ Blocks []struct{ BlockToken string } }
	if err := json.Unmarshal(s.call(root, "ebs", "GET", "/snapshots/"+snapshot+"/blocks", "", nil).Body.Bytes(), &list); err != nil {
		b.Fatal(err)
	}
	b.Run("get", func(b *testing.B) {
		b.SetBytes(block.Size)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			n := i % len(list.Blocks)
			s.call(root, "ebs", "GET", fmt.Sprintf("/snapshots/%s/blocks/%d?blockToken=%s", snapshot, n, url.QueryEscape(list.Blocks[n].BlockToken)), "", nil)
		}
	})
	b.Run("put", func(b *testing.B) {
		var draft struct{ SnapshotId string }
		if err := json.Unmarshal(s.call(root, "ebs", "POST", "/snapshots", `{"VolumeSize":1000}`, nil).Body.Bytes(), &draft); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(block.Size)
		b.ReportAllocs()
		b.SetParallelism(4)
		var stamp atomic.Uint64
		b.RunParallel(func(pb *testing.PB) {
			content := make([]byte, block.Size)
			for pb.Next() {
				n := stamp.Add(1)
				binary.LittleEndian.PutUint64(content, n)
				sum := sha256.Sum256(content)
				s.call(root, "ebs", "PUT", fmt.Sprintf("/snapshots/%s/blocks/%d", draft.SnapshotId, n), string(content), http.Header{
					"X-Amz-Data-Length": {fmt.Sprint(len(content))}, "X-Amz-Checksum": {base64.StdEncoding.EncodeToString(sum[:])},
					"X-Amz-Checksum-Algorithm": {"SHA256"},
				})
			}
		})
	})
}
