package sqlite_test

import (
	"testing"

	"fastness/internal/store"
	"fastness/internal/store/sqlite"
	"fastness/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() (store.Store, error) {
		dir := t.TempDir()
		return func() (store.Store, error) { return sqlite.Open(t.Context(), sqlite.Config{Dir: dir}) }
	})
}
