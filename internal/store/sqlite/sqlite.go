// Package sqlite is the embedded store: a folder with one SQLite database,
// owned by one process.
//
// One goroutine writes. It takes whatever operations are queued, runs each
// under a savepoint of its own in one transaction, adds one row with all their
// audit records, commits, and only then answers them: under load many
// operations share each sync of the disk, and a lone one waits for nobody.
// Readers have connections of their own and see snapshots. The log of changes
// (WAL) is brought home by a third party, off the writer's path.
//
// What is acknowledged is on disk (synchronous=FULL). After a fault of disk or
// file no operation of that group is acknowledged, and the store goes on once
// it can. Keys, envelopes and ciphertexts lie in rows that never move and are
// overwritten in place when they are deleted (cells.go); Scrub empties the log
// that may still hold them. Of other deleted text, such as names, secure_delete
// overwrites most but not all.
//
// Start with Open, then writer.go, then queries.sql and migrations.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	libsqlite "modernc.org/sqlite"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// Config says how a store is opened.
type Config struct {
	// Dir is the store's folder, made if it is not there.
	Dir string
	// Logger receives faults of background work; default slog.Default.
	Logger *slog.Logger
	// Readers is the number of connections for reading; default 4.
	Readers int
	// CheckpointPages is how many pages of 4 KiB the log takes before they are
	// brought home; default 2,048.
	CheckpointPages int64
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Readers <= 0 {
		c.Readers = 4
	}
	if c.CheckpointPages <= 0 {
		c.CheckpointPages = 2048
	}
	return c
}

// The files of a store. SQLite adds -wal and -shm beside the database.
const (
	databaseFile = "fastness.db"
	lockFile     = "lock"
)

// What every connection is set up with. Memory maps are off, since they count
// as resident memory; the caches are bounded; nothing is spilled to temporary
// files, which would have to be scrubbed too.
const (
	setupAll = `
PRAGMA busy_timeout = 5000;
PRAGMA mmap_size = 0;
PRAGMA temp_store = MEMORY;
PRAGMA trusted_schema = OFF;
PRAGMA cache_size = -8192;
`
	setupWriter = setupAll + `
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = ON;
PRAGMA wal_autocheckpoint = 0;
PRAGMA journal_size_limit = 67108864;
`
	setupReader = setupAll + `
PRAGMA query_only = ON;
`
	// The checkpointer waits 50 ms for readers to move on and tries again later:
	// the writer stands still meanwhile.
	setupCheckpointer = setupAll + `
PRAGMA synchronous = FULL;
PRAGMA secure_delete = ON;
PRAGMA wal_autocheckpoint = 0;
PRAGMA busy_timeout = 50;
PRAGMA cache_size = -256;
`
)

// Store is an open store. It implements store.Store.
type Store struct {
	path         string
	schema       schema
	gate         gate
	lock         *os.File
	writer       *writer
	readers      *pool
	checkpointer *checkpointer
}

var _ store.Store = (*Store)(nil)

// Open opens the store in a folder, and makes or migrates it first if need be.
// It fails with store.ErrLocked if another process has it open, and with
// store.ErrNewerSchema if it serves newer releases only.
func Open(ctx context.Context, c Config) (*Store, error) {
	c = c.withDefaults()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// The same durability at half the price: fdatasync leaves out times of files.
	// Where it does not exist, fsync is used.
	if _, err := libsqlite.Fdatasync(true); err != nil && !errors.Is(err, libsqlite.ErrFdatasyncUnavailable) {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	lock, err := lockDir(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	s := &Store{path: filepath.Join(c.Dir, databaseFile), lock: lock}
	s.gate.init()
	if err := s.open(c); err != nil {
		s.closeFiles()
		return nil, fmt.Errorf("opening store in %s: %w", c.Dir, err)
	}
	return s, nil
}

func (s *Store) open(c Config) error {
	if err := createFile(s.path); err != nil {
		return err
	}
	w, err := openConn(s.path, setupWriter)
	if err != nil {
		return err
	}
	if s.schema, err = prepare(w, c.Dir); err != nil {
		w.close()
		return err
	}
	s.checkpointer = newCheckpointer(s.path, c)
	if s.writer, err = newWriter(s.path, w, c.Logger, s.checkpointer.grown); err != nil {
		return err
	}
	if s.readers, err = newPool(s.path, c.Readers); err != nil {
		return err
	}
	return s.checkpointer.start(s.writer)
}

// prepare makes sure of what all else relies on.
func prepare(w *conn, dir string) (s schema, err error) {
	// SQLite keeps quiet where the file system cannot have it.
	wal, err := w.integer("SELECT journal_mode = 'wal' FROM pragma_journal_mode")
	if err != nil {
		return s, fmt.Errorf("reading journal mode: %w", err)
	}
	if wal != 1 {
		return s, errors.New("this file system cannot hold a write-ahead log")
	}
	steps, err := migrations()
	if err != nil {
		return s, fmt.Errorf("reading migrations: %w", err)
	}
	if s, err = migrate(w, steps); err != nil {
		return s, err
	}
	// The names of files that were just made are durable before their content counts.
	d, err := os.Open(dir)
	if err != nil {
		return s, err
	}
	defer d.Close()
	return s, d.Sync()
}

// createFile makes the database file readable by its owner alone; SQLite gives
// the files beside it the same mode.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, f func(store.Reader) error) error {
	if !s.gate.enter() {
		return errClosed
	}
	defer s.gate.leave()
	return s.readers.view(ctx, f)
}

// Look implements store.Store. A snapshot costs next to nothing here.
func (s *Store) Look(ctx context.Context, f func(store.Reader) error) error { return s.View(ctx, f) }

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, f func(store.Tx) error) error {
	if !s.gate.enter() {
		return errClosed
	}
	defer s.gate.leave()
	return s.writer.do(ctx, &op{run: f})
}

// Stats implements store.Store.
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	if !s.gate.enter() {
		return store.Stats{}, errClosed
	}
	defer s.gate.leave()
	data, err := os.Stat(s.path)
	if err != nil {
		return store.Stats{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	stats := store.Stats{
		DataBytes:    data.Size(),
		GroupCommits: s.writer.commits.Load(),
		GroupedOps:   s.writer.ops.Load(),
	}
	if log, err := os.Stat(s.path + "-wal"); err == nil {
		stats.LogBytes = log.Size()
	}
	return stats, ctx.Err()
}

// Scrub implements store.Store.
func (s *Store) Scrub(ctx context.Context) error {
	if !s.gate.enter() {
		return errClosed
	}
	defer s.gate.leave()
	return s.checkpointer.scrub(ctx)
}

// Close implements store.Store. A second call does nothing.
func (s *Store) Close() error {
	if !s.gate.close() {
		return nil
	}
	return s.closeFiles()
}

// closeFiles stops what was started. The writer's connection is the last to
// close, and with it SQLite empties and removes the log.
func (s *Store) closeFiles() error {
	if s.checkpointer != nil {
		s.checkpointer.stop()
	}
	if s.readers != nil {
		s.readers.close()
	}
	if s.writer != nil {
		s.writer.stop()
	}
	return s.lock.Close()
}

var errClosed = fmt.Errorf("%w: it is closed", store.ErrUnavailable)

// IdentityEpoch implements store.Epochs.
func (s *Store) IdentityEpoch() uint64 { return s.writer.identities.Load() }

// SecretsEpoch implements store.Epochs.
func (s *Store) SecretsEpoch(t secret.TenantID) uint64 { return s.writer.secrets[t[0]].Load() }
