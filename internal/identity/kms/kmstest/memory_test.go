package kmstest

import (
	"testing"

	"github.com/diskport/diskport/internal/identity/kms"
)

func TestMemory(t *testing.T) { TestStore(t, func(*testing.T) kms.Store { return &Memory{} }) }
