package ebsapi

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// request is one request after routing.
type request struct {
	*awshttp.Call
	id     string // snapshot
	index  string // of the block
	query  url.Values
	header http.Header
	start  startRequest // of a StartSnapshot: its body

	records map[string]snapshot.Record // that were looked up for it, by id
}

// snapshots returns the ids of the snapshots that an operation needs the right to.
func (r request) snapshots(operation string) []string {
	if operation == "ListChangedBlocks" && r.query.Get("firstSnapshotId") != "" {
		return []string{r.query.Get("firstSnapshotId"), r.id}
	}
	return []string{r.id}
}

// Bounds of maxResults, and its default.
const (
	leastResults = 100
	mostResults  = 10000
)

var snapshotID = regexp.MustCompile(`^snap-[0-9a-f]+$`)

// errBare is how the real service refuses most malformed parameters: without a
// reason and without a message.
var errBare = invalid("", "")

func checkID(id string) error {
	switch {
	case !snapshotID.MatchString(id):
		return errBare
	case !strings.HasPrefix(id, "snap-0"): // as all that are made here and at AWS
		return notASnapshot(id)
	}
	return nil
}

// pageOf is what the parameters of a list ask for.
type pageOf struct {
	from  int64  // first index
	max   int    // entries
	token string // instead of from
}

func (r request) page() (pageOf, error) {
	p := pageOf{max: mostResults, token: r.query.Get("pageToken")}
	if text := r.query.Get("maxResults"); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < leastResults || n > mostResults {
			return p, errBare
		}
		p.max = int(n)
	}
	if text := r.query.Get("startingBlockIndex"); text != "" {
		n, err := parseIndex(text)
		if err != nil {
			return p, err
		}
		p.from = n
	}
	return p, nil
}

// parseIndex reads a block index: an int32 that is not negative.
func parseIndex(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, errBare
	}
	return n, nil
}

// blocksOf returns how many blocks a volume of gib GiB has.
func blocksOf(gib int64) int64 { return gib * block.PerGiB }
