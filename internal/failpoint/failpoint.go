// Package failpoint names the steps between which a process may die, so that tests can
// have it die at each of them: before and after every commit of a transaction, and
// between the steps that make a file durable or remove it.
//
// The program that users get has none of it: these functions do nothing, and the
// compiler leaves them out. Built with -tags failpoints, a process kills itself at the
// point that $FAILPOINT names, and adds the points that it comes to to the file
// that $FAILPOINTS_SEEN names. docs/adr/0012-killed-and-cut-off.md has the
// reasons, e2e/torture the tests.
//
// A point of a transaction is named after the method of a store that is its event,
// "Tasks.FinishRange: before the commit"; a point of a file after what the file is,
// "pack: durable, without its name". "#3" behind a name is the third time that a process
// comes to it.
//
// A process may also be held at a point, for as long as a test needs to change the world
// around it, such as to fill the disk. The file that $FAILPOINTS_HOLD names holds the name of
// the point, and may be written at any time; whoever comes there renames it to one with
// ".held" behind its name, and goes on when that is gone. The others go on meanwhile.
package failpoint

// Of is the environment variable that arms a point, Seen that of the file of names, and Hold
// that of the file that names a point to be held at.
const (
	Of   = "FAILPOINT"
	Seen = "FAILPOINTS_SEEN"
	Hold = "FAILPOINTS_HOLD"
)

// Held is what the name of the Hold file gets behind it while a process is held.
const Held = ".held"

// The points around the commit of a transaction are the name of its event and one of
// these.
const (
	Before = ": before the commit"
	After  = ": after the commit"
)
