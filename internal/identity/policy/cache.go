package policy

import (
	"crypto/sha256"

	"github.com/diskport/diskport/internal/cache"
)

// cached is the number of documents that a Cache keeps. Once parsed, the largest
// take some hundred kilobytes, usual ones a few.
const cached = 256

// Cache parses documents and keeps those used last, by kind and full text, so that
// Parse returns what the package's Parse would. It may be used concurrently.
type Cache struct {
	documents *cache.Cache[contents, Document]
}

// contents identifies a parsed document: the kind that it was parsed as, and the
// hash of its text.
type contents struct {
	kind Kind
	sum  [sha256.Size]byte
}

// NewCache returns an empty Cache.
func NewCache() *Cache { return &Cache{cache.New[contents, Document](cached)} }

// Parse is the package's Parse, with documents from the cache where possible.
func (c *Cache) Parse(text string, kind Kind) (Document, error) {
	return c.documents.Get(contents{kind, sha256.Sum256([]byte(text))}, func() (Document, error) { return Parse(text, kind) })
}
