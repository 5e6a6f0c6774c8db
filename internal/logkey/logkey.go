// Package logkey has the keys of structured log records that more than one package
// writes, so that a search for a task finds every line about it. A test of the
// module keeps other spellings out.
package logkey

// The keys.
const (
	Request  = "request"  // id of a request, as its answer has it
	Account  = "account"  // whose what the line is about is
	Task     = "task"     // id of an import task, or of a draft
	Snapshot = "snapshot" // id
	Unit     = "unit"     // number of a unit of work
	Kind     = "kind"     // of a unit of work
	Error    = "error"    // a cause
)
