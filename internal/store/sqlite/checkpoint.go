package sqlite

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// checkpointer brings the pages of the log home into the database file.
//
// Whenever the log has grown by some pages, it first copies what it can while
// the writer goes on (a passive checkpoint); then the writer pauses between
// two groups for the little that has come in since, after which the next
// commit starts the log over. So under constant load the log stays at some
// multiples of CheckpointPages. Only a reader can keep it growing: pages that
// a snapshot needs must stay, so the log grows by what is written while the
// longest View lasts. Views are short by contract.
type checkpointer struct {
	path   string
	log    *slog.Logger
	pages  int64
	writer *writer
	wake   chan struct{}
	cancel context.CancelFunc
	done   chan struct{}

	since atomic.Int64 // pages since the last checkpoint

	mu   sync.Mutex // held during a checkpoint
	conn *conn
}

func newCheckpointer(path string, c Config) *checkpointer {
	return &checkpointer{path: path, log: c.Logger, pages: c.CheckpointPages, wake: make(chan struct{}, 1)}
}

func (c *checkpointer) start(w *writer) error {
	conn, err := openConn(c.path, setupCheckpointer)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.conn, c.writer, c.cancel, c.done = conn, w, cancel, make(chan struct{})
	go c.loop(ctx)
	return nil
}

// stop ends the background work. It does nothing if start was not called.
func (c *checkpointer) stop() {
	if c.conn == nil {
		return
	}
	c.cancel()
	<-c.done
	c.conn.close()
}

// grown is told how many pages a commit added to the log.
func (c *checkpointer) grown(pages int64) {
	if c.since.Add(pages) < c.pages {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *checkpointer) loop(ctx context.Context) {
	defer close(c.done)
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		c.since.Store(0)
		err := c.bringHome(ctx)
		// A full disk fails every time: once is enough for the log.
		if err != nil && !failed && ctx.Err() == nil {
			c.log.Error("checkpoint failed", "error", err)
		}
		failed = err != nil
	}
}

// bringHome empties the log as far as readers allow. It does not wait for
// them: the next round comes soon.
func (c *checkpointer) bringHome(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.conn.checkpoint(sqlite3.SQLITE_CHECKPOINT_PASSIVE); err != nil {
		return err
	}
	_, err := c.whilePaused(ctx, sqlite3.SQLITE_CHECKPOINT_RESTART)
	return err
}

func (c *checkpointer) whilePaused(ctx context.Context, mode int32) (busy bool, err error) {
	release, err := c.writer.hold(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	return c.conn.checkpoint(mode)
}

// scrub empties the log and cuts it to nothing. Readers of older snapshots
// keep parts of it, so it tries until they are gone.
func (c *checkpointer) scrub(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	const shortest, longest = time.Millisecond, 50 * time.Millisecond
	for wait := shortest; ; wait = min(2*wait, longest) {
		busy, err := c.whilePaused(ctx, sqlite3.SQLITE_CHECKPOINT_TRUNCATE)
		if err != nil || !busy {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
