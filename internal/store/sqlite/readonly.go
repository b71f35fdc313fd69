package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	sqlite3 "modernc.org/sqlite/lib"

	"fastness/internal/store"
)

// Snapshot implements store.Snapshotter. A snapshot keeps the log from being
// emptied, so that it grows meanwhile, and Scrub waits for it. A newer schema is
// refused: who copies rows would leave out what this release cannot see.
func (s *Store) Snapshot(ctx context.Context, f func(store.Reader) error) error {
	if !s.gate.enter() {
		return errClosed
	}
	defer s.gate.leave()
	if err := s.schema.newer(); err != nil {
		return err
	}
	return snapshot(ctx, s.path, openReadWrite, f)
}

// snapshot runs f over a snapshot on a connection of its own.
func snapshot(ctx context.Context, path string, access int32, f func(store.Reader) error) error {
	c, err := openConnAs(path, setupReader, access)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.run("begin_view"); err != nil {
		return err
	}
	defer c.run("rollback")
	r := &reader{ctx: ctx, conn: c}
	defer func() { r.conn = nil }()
	return f(r)
}

// ReadOnly is a store that is only read, and whose database is not written.
type ReadOnly struct {
	path string
	lock *os.File // nil: a server may have it open
}

var _ store.Snapshotter = (*ReadOnly)(nil)

// OpenReadOnly opens the store in a folder for reading alone. It makes nothing
// and migrates nothing: a schema that is not this release's is refused. alone
// keeps every other process out meanwhile, or fails with store.ErrLocked;
// otherwise a server may have the store open and go on.
func OpenReadOnly(ctx context.Context, dir string, alone bool) (_ *ReadOnly, err error) {
	s := &ReadOnly{path: filepath.Join(dir, databaseFile)}
	if _, err := os.Stat(s.path); err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	if alone {
		if s.lock, err = lockDir(dir); err != nil {
			return nil, fmt.Errorf("opening store: %w", err)
		}
	}
	if err := s.check(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening store in %s: %w", dir, err), s.Close())
	}
	return s, nil
}

// check looks at the schema.
func (s *ReadOnly) check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := openConnAs(s.path, setupReader, openReadOnly)
	if err != nil {
		return err
	}
	defer c.close()
	steps, err := migrations()
	if err != nil {
		return err
	}
	schema, err := readSchema(c, len(steps))
	if err != nil {
		return err
	}
	return errors.Join(schema.newer(), schema.older())
}

// Snapshot implements store.Snapshotter.
func (s *ReadOnly) Snapshot(ctx context.Context, f func(store.Reader) error) error {
	return snapshot(ctx, s.path, openReadOnly, f)
}

// Close lets others at the store.
func (s *ReadOnly) Close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// How a connection may use the file.
const (
	openReadWrite = int32(sqlite3.SQLITE_OPEN_READWRITE)
	openReadOnly  = int32(sqlite3.SQLITE_OPEN_READONLY)
)
