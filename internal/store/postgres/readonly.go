package postgres

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fastness/internal/store"
)

// Snapshot implements store.Snapshotter. What other transactions replace
// meanwhile the database keeps until it is over. A newer schema, to which another
// node may have gone since this one was started, is refused: who copies rows would
// leave out what this release cannot see.
func (s *Store) Snapshot(ctx context.Context, f func(store.Reader) error) error {
	if !s.gate.enter() {
		return errClosed
	}
	defer s.gate.leave()
	return snapshot(ctx, s.config, s.log, f)
}

// snapshot runs f over a snapshot on a connection of its own, which may stand
// still for longer than those of requests.
func snapshot(ctx context.Context, p *pgxpool.Config, log *slog.Logger, f func(store.Reader) error) error {
	pool, err := pgxpool.NewWithConfig(ctx, forSnapshot(p))
	if err != nil {
		return fmt.Errorf("opening store: %w", err)
	}
	defer pool.Close()
	s := &Store{pool: pool, config: p, log: log, wait: statementTimeout + lateness}
	steps, err := migrations()
	if err != nil {
		return err
	}
	return s.read(ctx, "begin_view", func(r store.Reader) error {
		version, err := row(r.(*reader).session, "schema_number", number)
		if err == nil {
			err = newerSchema(version, len(steps))
		}
		if err != nil {
			return err
		}
		return f(r)
	})
}

// newerSchema refuses a schema that has more than this release can see.
func newerSchema(version int64, known int) error {
	if version > int64(known) {
		return fmt.Errorf("%w: schema %d, and this release knows up to %d, so that its copy would lack something; use the release that wrote it",
			store.ErrNewerSchema, version, known)
	}
	return nil
}

// ReadOnly is a database that is only read.
type ReadOnly struct {
	config *pgxpool.Config
	log    *slog.Logger
}

var _ store.Snapshotter = (*ReadOnly)(nil)

// OpenReadOnly opens a database for reading alone. It makes nothing and migrates
// nothing: a schema that is not this release's is refused.
func OpenReadOnly(ctx context.Context, c Config) (*ReadOnly, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	p, err := parse(c)
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	conn, err := pgx.ConnectConfig(ctx, p.ConnConfig.Copy())
	if err != nil {
		return nil, fmt.Errorf("opening store: %w: %v", store.ErrUnavailable, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := checkSchema(ctx, conn); err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	return &ReadOnly{config: p, log: c.Logger}, nil
}

// checkSchema refuses a schema that is not this release's.
func checkSchema(ctx context.Context, conn *pgx.Conn) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	version, err := schemaVersion(ctx, conn, len(steps))
	if hasState(err, stateNoTable) {
		return fmt.Errorf("%w: there is no store in this database", store.ErrAbsent)
	}
	if err == nil {
		err = newerSchema(version, len(steps))
	}
	if err == nil && version < int64(len(steps)) {
		err = fmt.Errorf("%w: %d, and this release has %d; start its server on the store once", store.ErrOlderSchema, version, len(steps))
	}
	return err
}

// Snapshot implements store.Snapshotter.
func (s *ReadOnly) Snapshot(ctx context.Context, f func(store.Reader) error) error {
	return snapshot(ctx, s.config, s.log, f)
}

// Close does nothing: every snapshot has a connection of its own.
func (s *ReadOnly) Close() error { return nil }
