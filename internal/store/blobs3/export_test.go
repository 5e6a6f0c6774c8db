package blobs3

// SetPart makes parts smaller, before anything is written.
func SetPart(b *Bucket, bytes, room int) {
	b.part, b.buffers = int64(bytes), newBuffers(room, bytes)
}
