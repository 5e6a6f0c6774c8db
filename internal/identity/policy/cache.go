package policy

import (
	"crypto/sha256"

	"github.com/diskport/diskport/internal/cache"
)

// cached is how many documents a Cache keeps: the largest are some hundred
// kilobytes once parsed, usual ones a few.
const cached = 256

// Cache parses documents and keeps those that were used last, by their whole
// contents: what it returns is what Parse would. It may be used concurrently.
type Cache struct {
	documents *cache.Cache[contents, Document]
}

// contents are a document's, and what it was read as.
type contents struct {
	kind Kind
	sum  [sha256.Size]byte
}

// NewCache returns an empty Cache.
func NewCache() *Cache { return &Cache{cache.New[contents, Document](cached)} }

// Parse is the package's Parse.
func (c *Cache) Parse(text string, kind Kind) (Document, error) {
	return c.documents.Get(contents{kind, sha256.Sum256([]byte(text))}, func() (Document, error) { return Parse(text, kind) })
}
