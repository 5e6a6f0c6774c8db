// Package ingest turns a range of a disk into blocks of a sink.
//
// Plan cuts a disk into ranges: runs of whole manifest pages that hold about the
// same amount of source data each. Run ingests one of them: workers take windows
// of consecutive blocks, read the window's source bytes in physical order with few
// large reads, and decode each block straight into the slot where it is hashed,
// framed and written. No data is copied between buffers: plain data is read into
// the slot, coded data is inflated into it. Work is parallel across windows and
// serial within one.
package ingest
