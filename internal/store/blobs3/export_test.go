package blobs3

import "crypto/tls"

// SetTLS has b trust a server, before anything is asked of it.
func SetTLS(b *Bucket, c *tls.Config) { b.base.TLSClientConfig = c }

// SetPart makes parts smaller, before anything is written.
func SetPart(b *Bucket, bytes, room int) {
	b.part, b.buffers = int64(bytes), newBuffers(room, bytes)
}
