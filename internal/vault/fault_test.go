package vault_test

import (
	"bytes"
	"context"
	"database/sql"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	_ "modernc.org/sqlite"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/store/sqlite"
	"fastness/internal/vault"
)

// dyingStore is a store whose process dies at one of its writes: before it, or
// when it is on disk but nobody was told. No write succeeds after that.
type dyingStore struct {
	store.Store

	mu        sync.Mutex // guards what follows
	writes    int
	dieAt     int  // 0: never
	persisted bool // the last write is on disk
}

// die makes the n-th write from now on the last.
func (s *dyingStore) die(n int, persisted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes, s.dieAt, s.persisted = 0, n, persisted
}

// died reports whether the write at which it was to die was reached.
func (s *dyingStore) died() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dieAt > 0 && s.writes >= s.dieAt
}

func (s *dyingStore) write(do func() error) error {
	s.mu.Lock()
	s.writes++
	n, at, persisted := s.writes, s.dieAt, s.persisted
	s.mu.Unlock()
	if at > 0 && n > at || n == at && !persisted {
		return store.ErrUnavailable
	}
	err := do()
	if n == at && err == nil {
		return store.ErrUnknownOutcome
	}
	return err
}

func (s *dyingStore) Update(ctx context.Context, f func(store.Tx) error) error {
	return s.write(func() error { return s.Store.Update(ctx, f) })
}

func (s *dyingStore) Record(ctx context.Context, records ...audit.Record) error {
	return s.write(func() error { return s.Store.Record(ctx, records...) })
}

// mortal is a vault over a dyingStore. The test closes it.
type mortal struct {
	*fastnesstest.Fixture
	store *dyingStore
}

func openStore(tb testing.TB, dir string) *sqlite.Store {
	tb.Helper()
	return must(sqlite.Open(ctx, sqlite.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)}))(tb)
}

func openMortal(tb testing.TB, dir string, clock *fastnesstest.Clock, master, previous *secretbuf.Buffer) *mortal {
	tb.Helper()
	m, err := tryOpenMortal(tb, dir, clock, master, previous)
	check(tb, err)
	return m
}

func tryOpenMortal(tb testing.TB, dir string, clock *fastnesstest.Clock, master, previous *secretbuf.Buffer) (*mortal, error) {
	tb.Helper()
	log := &fastnesstest.Log{}
	s := openStore(tb, dir)
	m := &mortal{store: &dyingStore{Store: s}}
	v, err := vault.Open(ctx, vault.Config{Store: m.store, Master: master, PreviousMaster: previous, Now: clock.Now,
		Logger: slog.New(slog.NewJSONHandler(log, nil)), Node: "embedded", NoBackground: true})
	if err != nil {
		check(tb, s.Close())
		return nil, err
	}
	m.Fixture = &fastnesstest.Fixture{Vault: v, Clock: clock, Dir: dir, Log: log}
	return m, nil
}

// end closes a vault that has died, or not.
func (m *mortal) end(tb testing.TB) {
	tb.Helper()
	if err := m.Vault.Close(); err != nil && !m.store.died() {
		tb.Errorf("closing: %v", err)
	}
}

// eachDeath runs an operation that dies at its first write, its second, and so
// on, each failed and failed but persisted, until it lives. After each death
// it reopens the folder and hands it to recovered.
func eachDeath(t *testing.T, setup func() (dir string), open func(dir string) *mortal,
	operation func(*mortal) error, recovered func(*mortal)) {
	t.Helper()
	for _, persisted := range []bool{false, true} {
		for n := 1; ; n++ {
			dir := setup()
			m := open(dir)
			m.store.die(n, persisted)
			err := operation(m)
			died := m.store.died()
			m.end(t)
			if died && err == nil {
				t.Fatalf("death at write %d (persisted %v): success was told", n, persisted)
			}
			if !died && err != nil {
				t.Fatalf("alive through %d writes: %s", n, describe(err))
			}
			m = open(dir)
			recovered(m)
			m.end(t)
			if t.Failed() {
				t.Fatalf("after death at write %d (persisted %v)", n, persisted)
			}
			if !died {
				break
			}
		}
	}
}

// copyDir copies a closed store.
func copyDir(tb testing.TB, from string) string {
	tb.Helper()
	to := tb.TempDir()
	check(tb, os.CopyFS(to, os.DirFS(from)))
	return to
}

// database opens the file of a store beside it.
func database(tb testing.TB, dir string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "fastness.db"))
	check(tb, err)
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() { db.Close() })
	return db
}

// execute runs a statement that must change so many rows.
func execute(tb testing.TB, db *sql.DB, rows int64, query string, args ...any) {
	tb.Helper()
	r, err := db.Exec(query, args...)
	check(tb, err)
	if n := must(r.RowsAffected())(tb); n != rows {
		tb.Fatalf("%s changed %d rows, want %d", query, n, rows)
	}
}

// column reads the first column of all rows.
func column[T any](tb testing.TB, db *sql.DB, query string, args ...any) (out []T) {
	tb.Helper()
	rows, err := db.Query(query, args...)
	check(tb, err)
	defer rows.Close()
	for rows.Next() {
		var v T
		check(tb, rows.Scan(&v))
		out = append(out, v)
	}
	check(tb, rows.Err())
	return out
}

// holding names the files of a folder that hold any of the texts.
func holding(tb testing.TB, dir string, texts ...[]byte) (out []string) {
	tb.Helper()
	check(tb, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, text := range texts {
			if bytes.Contains(b, text) {
				out = append(out, filepath.Base(path)+": "+string(text))
			}
		}
		return err
	}))
	return out
}
