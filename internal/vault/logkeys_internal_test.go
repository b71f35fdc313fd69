package vault

import (
	"bytes"
	"errors"
	"testing"

	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/store/sqlite"
)

// Of nodes that start at once on a fresh store one makes the log's keys. The others
// take them, whenever they find that there were none: what was signed stays so.
func TestLogKeysAreMadeOnce(t *testing.T) {
	rows, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	master := secretbuf.Take(bytes.Repeat([]byte("a root key of a test. "), 4))
	defer master.Release()
	v, err := Open(t.Context(), Config{Store: rows, Master: master, NoBackground: true})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	stored := func() (row []byte) {
		t.Helper()
		err := v.store.View(t.Context(), func(r store.Reader) (err error) {
			row, err = r.Meta(metaLogKeys)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return row
	}
	before := stored()
	if err := v.store.Update(t.Context(), v.createLogKeys); !errors.Is(err, store.ErrStale) {
		t.Errorf("made again: %v", err)
	}
	if !bytes.Equal(stored(), before) {
		t.Error("the keys were replaced")
	}
}
