// Package postgres is the store for several nodes: a PostgreSQL database, or
// one that speaks its protocol, which they share.
//
// A node keeps no state but its connections. Each Update is a transaction of
// its own, run again when it met another one. Its audit records are a row keyed
// by node and batch, so that no two requests meet on one row; those of
// concurrent Records share a row and a commit, and looks of concurrent reads a
// journey and a snapshot. Every statement is right at READ COMMITTED and above:
// changes compare revisions where they are made, and rows that a decision rests on
// are locked.
//
// A commit whose outcome got lost with its connection is found out: the number
// of its batch is looked for, and forbidden for ever if it is not there. One
// without records is reported as unknown.
//
// What is deleted is overwritten when and if the database does so; wrapped keys
// in its files, its log and its backups are worth nothing without the root key.
//
// Start with Open, then together.go and update.go, then queries.sql and migrations.
package postgres

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// Store is an open store. It implements store.Store.
type Store struct {
	pool     *pgxpool.Pool
	config   *pgxpool.Config
	log      *slog.Logger
	view     string // the statement that begins a View
	wait     time.Duration
	batches  batchClock
	recorder *recorder
	together *together // nil for a store of one snapshot

	commits, ops, retries atomic.Uint64

	turns sync.Mutex // held by an attempt of an Update that met too many others
	gate  gate
	size  measure
}

var _ store.Store = (*Store)(nil)

// Open opens a database, whose schema it makes or migrates first if need be. It
// fails with store.ErrNewerSchema if the database serves newer releases only.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	p, err := parse(c)
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	if err := prepare(ctx, p); err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	pool, err := pgxpool.NewWithConfig(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	s := &Store{pool: pool, config: p, log: c.Logger, view: "begin_view", wait: statementTimeout + lateness}
	if serializable(p) {
		s.view = "begin_view_serializable"
	}
	s.gate.init()
	s.batches.node = newNode()
	s.recorder, s.together = newRecorder(s), newTogether(s)
	return s, nil
}

// forgetAfter is when a commit that was forbidden can be forgotten: no session
// has lived that long without a word.
const forgetAfter = 24 * time.Hour

// prepare brings the database into the shape that this release works with.
func prepare(ctx context.Context, p *pgxpool.Config) error {
	steps, err := migrations()
	if err != nil {
		return fmt.Errorf("reading migrations: %w", err)
	}
	conn, err := pgx.ConnectConfig(ctx, forMigrating(p))
	if err != nil {
		return fmt.Errorf("%w: %v", store.ErrUnavailable, err) // as text: no caller is to take it for its own connection
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := migrate(ctx, conn, steps); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, queries["batch_forget"], time.Now().Add(-forgetAfter).UnixMicro())
	return err
}

// newNode draws this process's number.
func newNode() int64 {
	var b [8]byte
	rand.Read(b[:])
	return int64(binary.BigEndian.Uint64(b[:]) >> 1)
}

// batchClock numbers a node's batches by the time in microseconds, or by one
// more than the last. Safe for concurrent use.
type batchClock struct {
	node int64
	last atomic.Int64
}

func (c *batchClock) next() int64 {
	for {
		last := c.last.Load()
		if n := max(last+1, time.Now().UnixMicro()); c.last.CompareAndSwap(last, n) {
			return n
		}
	}
}

// patience bounds a call to the database, which outlives the end of its
// caller's context: a statement that is cut short costs the connection.
func (s *Store) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.wait)
}

// acquire takes a connection.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, max(acquireTimeout, s.config.ConnConfig.ConnectTimeout))
	defer cancel()
	conn, err := s.pool.Acquire(bounded)
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("connecting: %w", s.translate(err))
}

// translate is the package's translate, and gives all connections up once one
// of them tells that its server takes no writes any more: a standby took over.
func (s *Store) translate(err error) error {
	if hasState(err, stateReadOnly) {
		s.pool.Reset()
	}
	return translate(err)
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, f func(store.Reader) error) error {
	if !s.gate.enter() {
		return errClosed
	}
	defer s.gate.leave()
	return s.retry(ctx, func() error { return s.read(ctx, s.view, f) })
}

// Look implements store.Store. It saves the statements that begin and end a
// transaction.
func (s *Store) Look(ctx context.Context, f func(store.Reader) error) error {
	if !s.gate.enter() {
		return errClosed
	}
	defer s.gate.leave()
	return s.retry(ctx, func() error { return s.read(ctx, alone, f) })
}

// read runs f over a snapshot that it shares with others, if f looks for what can
// be looked for together; otherwise over its own.
func (s *Store) read(ctx context.Context, begin string, f func(store.Reader) error) error {
	err := s.readBy(&session{ctx: ctx, store: s, begin: begin, together: s.together}, f)
	if errors.Is(err, errApart) {
		err = s.readBy(&session{ctx: ctx, store: s, begin: begin}, f)
	}
	return err
}

func (s *Store) readBy(by *session, f func(store.Reader) error) error {
	if err := by.ctx.Err(); err != nil {
		return err
	}
	defer by.end()
	err := f(&reader{session: by})
	if by.fault != nil {
		return by.fault
	}
	return err
}

// Scrub implements store.Store. What the database overwrites, and when, is its
// own affair.
func (s *Store) Scrub(ctx context.Context) error {
	if !s.gate.enter() {
		return errClosed
	}
	defer s.gate.leave()
	return ctx.Err()
}

// Close implements store.Store. A second call does nothing.
func (s *Store) Close() error {
	if !s.gate.close() {
		return nil
	}
	s.recorder.stop()
	s.together.stop()
	s.pool.Close()
	return nil
}

// measure keeps the size of the tables, which takes a while to find out.
type measure struct {
	mu    sync.Mutex // held while the size is read
	bytes int64
	until time.Time
}

// measureLifetime is how old the size may be.
const measureLifetime = 30 * time.Second

// Stats implements store.Store.
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	if !s.gate.enter() {
		return store.Stats{}, errClosed
	}
	defer s.gate.leave()
	size, err := s.measure(ctx)
	return store.Stats{
		DataBytes: size, GroupCommits: s.commits.Load(), GroupedOps: s.ops.Load(), Retries: s.retries.Load(),
	}, err
}

func (s *Store) measure(ctx context.Context) (int64, error) {
	s.size.mu.Lock()
	defer s.size.mu.Unlock()
	if time.Now().Before(s.size.until) {
		return s.size.bytes, nil
	}
	err := s.read(ctx, alone, func(r store.Reader) error {
		n, err := row(r.(*reader).session, "size", number)
		s.size.bytes = n
		return err
	})
	if hasState(err, stateNoFunction) {
		err = nil // an engine that does not tell
	}
	if err != nil {
		return 0, err
	}
	s.size.until = time.Now().Add(measureLifetime)
	return s.size.bytes, nil
}

// retry runs f again while it meets other transactions.
func (s *Store) retry(ctx context.Context, f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
		if !errors.Is(err, errConflict) {
			return err
		}
		s.retries.Add(1)
		if attempt == maxAttempts {
			return fmt.Errorf("%w: given up after %d attempts: %w", store.ErrUnavailable, attempt, err)
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

const (
	// maxAttempts bounds how often an operation is run.
	maxAttempts = 40
	// minPause and maxPause bound the time between two attempts, which doubles.
	minPause, maxPause = time.Millisecond, 100 * time.Millisecond
)

// pause waits for a random time, so that those who met do not meet again.
func pause(ctx context.Context, attempt int) error {
	most := min(minPause<<min(attempt, 10), maxPause)
	var b [8]byte
	rand.Read(b[:])
	d := time.Duration(binary.BigEndian.Uint64(b[:])%uint64(most)) + 1
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// tenantOrder sorts ids, so that transactions lock rows in one order.
func tenantOrder(a, b secret.TenantID) int {
	for i := range a {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return 0
}
