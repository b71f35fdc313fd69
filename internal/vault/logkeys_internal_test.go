package vault

import (
	"bytes"
	"errors"
	"testing"

	"fastness/internal/audit"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/store/sqlite"
)

// Of nodes that start at once on a fresh store one makes the log's keys. The others
// take them, whenever they find that there were none: what was signed stays so.
func TestLogKeysAreMadeOnce(t *testing.T) {
	v := opened(t)
	before := meta(t, v, metaLogKeys)
	for name, do := range map[string]func(store.Tx) error{
		"found at once":          v.createLogKeys,
		"made since it was read": func(tx store.Tx) error { return v.createLogKeys(&earlier{Tx: tx, key: metaLogKeys}) },
	} {
		if err := v.store.Update(t.Context(), do); !errors.Is(err, store.ErrStale) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !bytes.Equal(meta(t, v, metaLogKeys), before) {
		t.Error("the keys were replaced")
	}
}

// What another node has changed since it was read is not written over: keys that it
// has announced, and a number that it has asked for.
func TestJournalRowsAreSwapped(t *testing.T) {
	v := opened(t)
	first := meta(t, v, metaLogKeys)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(v.announceKeys(t.Context(), v.Local(Origin{}).entry(v, audit.AuditKeysRotate)))
	_, err := v.ask(t.Context())
	must(err)
	one := meta(t, v, metaAsked)
	_, err = v.ask(t.Context())
	must(err)
	for key, change := range map[string]struct {
		row []byte // as it was read
		do  func(store.Tx) error
	}{
		metaLogKeys: {first, func(tx store.Tx) error {
			set, keys, err := readLogKeys(tx)
			if err != nil {
				return err
			}
			return putLogKeys(tx, set, keys)
		}},
		metaAsked: {one, func(tx store.Tx) error {
			n, row, err := counter(tx, metaAsked)
			if err != nil {
				return err
			}
			return setCounter(tx, metaAsked, row, n+1)
		}},
	} {
		before := meta(t, v, key)
		err := v.store.Update(t.Context(), func(tx store.Tx) error {
			return change.do(&earlier{Tx: tx, key: key, row: change.row})
		})
		if !errors.Is(err, store.ErrStale) || !bytes.Equal(meta(t, v, key), before) {
			t.Errorf("%s was written over, error %v", key, err)
		}
	}
}

// earlier is a transaction whose first look at a row shows what it held before another
// node changed it, as at READ COMMITTED.
type earlier struct {
	store.Tx
	key    string
	row    []byte // nil: absent
	looked bool
}

func (e *earlier) Meta(key string) ([]byte, error) {
	if key != e.key || e.looked {
		return e.Tx.Meta(key)
	}
	e.looked = true
	if e.row == nil {
		return nil, store.ErrAbsent
	}
	return e.row, nil
}

// opened is a vault on a fresh store.
func opened(t *testing.T) *Vault {
	t.Helper()
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
	t.Cleanup(func() { v.Close() })
	return v
}

// meta is a row as it is stored.
func meta(t *testing.T, v *Vault, key string) (row []byte) {
	t.Helper()
	err := v.store.View(t.Context(), func(r store.Reader) (err error) {
		row, err = r.Meta(key)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return row
}
