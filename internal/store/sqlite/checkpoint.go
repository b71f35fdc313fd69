package sqlite

import (
	"context"
	"log/slog"
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

	turn     chan struct{} // holds a token while nobody makes a checkpoint
	asked    atomic.Uint64 // scrubs begun
	scrubbed uint64        // the last one that ended well; for whoever has the turn
	conn     *conn         // likewise
}

func newCheckpointer(path string, c Config) *checkpointer {
	return &checkpointer{
		path: path, log: c.Logger, pages: c.CheckpointPages, wake: make(chan struct{}, 1), turn: make(chan struct{}, 1),
	}
}

func (c *checkpointer) start(w *writer) error {
	conn, err := openConn(c.path, setupCheckpointer)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.conn, c.writer, c.cancel, c.done = conn, w, cancel, make(chan struct{})
	c.turn <- struct{}{}
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

// take waits for the turn; give passes it on.
func (c *checkpointer) take(ctx context.Context) error {
	select {
	case <-c.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *checkpointer) give() { c.turn <- struct{}{} }

// bringHome empties the log as far as readers allow. It does not wait for
// them: the next round comes soon.
func (c *checkpointer) bringHome(ctx context.Context) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.give()
	_, err := c.checkpoint(ctx, sqlite3.SQLITE_CHECKPOINT_RESTART)
	return err
}

// checkpoint copies most of the log while the writer goes on, and the rest, as
// the mode demands, while it stands still.
func (c *checkpointer) checkpoint(ctx context.Context, mode int32) (busy bool, err error) {
	if _, err := c.conn.checkpoint(sqlite3.SQLITE_CHECKPOINT_PASSIVE); err != nil {
		return false, err
	}
	release, err := c.writer.hold(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	return c.conn.checkpoint(mode)
}

// scrub empties the log and cuts it to nothing. Readers of older snapshots
// keep parts of it, so it tries until they are gone; with pauses, since the
// writer waits 50 ms in each attempt. Calls that wait for their turn while
// another begins after them are served by that one.
func (c *checkpointer) scrub(ctx context.Context) error {
	before := c.asked.Load()
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.give()
	if c.scrubbed > before {
		return nil
	}
	this := c.asked.Add(1)
	const shortest, longest = time.Millisecond, 500 * time.Millisecond
	for wait := shortest; ; wait = min(2*wait, longest) {
		busy, err := c.checkpoint(ctx, sqlite3.SQLITE_CHECKPOINT_TRUNCATE)
		if err != nil {
			return err
		}
		if !busy {
			c.scrubbed = this
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
