package blobtest_test

import (
	"testing"

	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
)

func TestMemory(t *testing.T) { blobtest.Run(t, blobtest.NewMemory()) }

func TestJournal(t *testing.T) {
	var j blobtest.Journal
	blobtest.Run(t, j.Backend(blobtest.NewMemory()))
}
