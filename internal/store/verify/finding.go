package verify

import (
	"errors"
	"fmt"
	"strings"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// Part is what of the store a finding is about.
type Part string

// The parts.
const (
	Header   Part = "header"   // of a pack
	Trailer  Part = "trailer"  // of a pack
	Frame    Part = "frame"    // of a block, in a pack
	Page     Part = "page"     // of a manifest
	Root     Part = "root"     // of a snapshot
	Missing  Part = "file"     // that is not there
	Stray    Part = "stray"    // a file that no row knows
	Row      Part = "row"      // of the database
	Data     Part = "data"     // a block or page of a snapshot that can't be read
	Database Part = "database" // the engine's own structures
	Object   Part = "object"   // of the embedded S3
)

// advice says what to do about damage to a part.
var advice = map[Part]string{
	Header:   "its blocks can be read all the same, but for those that are named; diskport verify --repair moves them to a new pack",
	Trailer:  "its blocks can be read all the same, but for those that are named; diskport verify --repair moves them to a new pack",
	Frame:    "diskport verify --repair looks for another copy; with --from IMAGE it takes the block from the image that was imported",
	Page:     "diskport verify --repair --from IMAGE writes it anew from the image that was imported",
	Root:     "bring the file back from a backup; diskport verify --repair mends it only if another root is the snapshot's, and --from does not: import the image again, as another snapshot, and delete this one",
	Missing:  "bring the file back from a backup, then run diskport verify again; or diskport verify --repair looks for other copies of its blocks",
	Stray:    "diskport verify --rebuild enters it into the database; gc sets it aside for 30 days",
	Row:      "diskport verify --repair puts rows right, as far as the files tell",
	Data:     "diskport verify --repair looks for another copy; with --from IMAGE it takes it from the image that was imported",
	Object:   "upload the object again, or bring the file back from a backup; what was imported from it meanwhile may be damaged likewise",
	Database: "bring back the database from a backup; what the store holds beyond it is entered by diskport verify --rebuild",
}

// What to do about rows that are not put right from what lies in packs and pages files.
const (
	enterSnapshot  = "diskport verify --rebuild enters the snapshot again, as its root has it"
	enterDomain    = "diskport verify --rebuild enters the domain again, as the headers of packs have it"
	repairSnapshot = "diskport verify --repair makes the row say what the snapshot's root does; if it is found again after that, " + restoreRow
	repairDomain   = "diskport verify --repair makes the row say what the headers of its packs do; if it is found again after that, " + restoreRow
	restoreRow     = "bring back the database from a backup; what the store holds beyond it is entered by diskport verify --rebuild"
	unlockDomain   = "diskport verify --rebuild enters it once the KMS key of its domain can be used; until then gc sets it aside, for 30 days"
	restoreFile    = "another file lies in its place: bring it back from a backup, then run diskport verify again; or diskport verify --repair looks for other copies of its blocks"
)

// Finding is something that is not as it was written. Fields that do not apply are empty,
// numbers then -1.
type Finding struct {
	Part     Part
	Snapshot string // id
	Index    int64  // of a block in the snapshot
	Page     int64  // index of a page in the snapshot
	Block    string // its ID
	Object   string // of the embedded S3: its address, and where in it the file begins
	File     string // name in the store
	Offset   int64  // bytes, in the file
	Problem  string
	Harmless bool // nothing needs it any more

	advice string // if it is not that of the part
}

// Advice says what to do.
func (f Finding) Advice() string {
	if f.Harmless {
		return "nothing: no snapshot needs it, and gc or a compaction removes it"
	}
	if f.advice != "" {
		return f.advice
	}
	return advice[f.Part]
}

// advised returns f with something else to do than its part has.
func (f Finding) advised(what string) Finding {
	f.advice = what
	return f
}

// String says what was found, where.
func (f Finding) String() string {
	var s strings.Builder
	add := func(format string, a ...any) {
		if s.Len() > 0 {
			s.WriteString(", ")
		}
		fmt.Fprintf(&s, format, a...)
	}
	if f.Snapshot != "" {
		add("%s", f.Snapshot)
	}
	if f.Index >= 0 {
		add("block %d", f.Index)
	}
	if f.Page >= 0 {
		add("page %d", f.Page)
	}
	if f.Block != "" && f.Index < 0 {
		add("block %s", f.Block)
	}
	if f.Object != "" {
		add("%s", f.Object)
	}
	if f.File != "" {
		add("%s", f.File)
	}
	if f.Offset >= 0 {
		add("at %d", f.Offset)
	}
	if s.Len() == 0 {
		return f.Problem
	}
	return s.String() + ": " + f.Problem
}

// about returns a finding about a part, without a place.
func about(p Part, problem string) Finding {
	return Finding{Part: p, Index: -1, Page: -1, Offset: -1, Problem: problem}
}

// inFile returns a finding about something in a file; off is in bytes, or -1.
func inFile(p Part, f blockstore.File, off int64, err error) Finding {
	out := about(p, err.Error())
	out.File, out.Offset = f.Name(), off
	return out
}

// ofBlock returns a finding about a block at a place.
func ofBlock(p Part, id block.ID, at blockstore.Location, err error) Finding {
	out := inFile(p, at.File, int64(at.Off)*blockstore.Align, err)
	out.Block = id.String()
	return out
}

// ofPage returns a finding about blocks of a snapshot that are lost with their page.
func ofPage(rec snapshot.Record, page int64, blocks int, err error) Finding {
	f := about(Data, fmt.Sprintf("%d blocks, from %d on, are lost with their page: %v", blocks, page*snapshot.PageBlocks, err))
	f.Snapshot, f.Page = rec.ID, page
	if e, ok := errors.AsType[*snapshot.PageError](err); ok {
		f.File, f.Offset = e.File.Name(), e.Off
	}
	return f
}

// ofSnapshot returns a finding about a snapshot.
func ofSnapshot(p Part, rec snapshot.Record, err error) Finding {
	out := about(p, err.Error())
	out.Snapshot = rec.ID
	if rec.Root.ID != 0 {
		out.File = rec.Root.Name()
	}
	return out
}
