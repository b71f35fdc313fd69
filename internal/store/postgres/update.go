package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, f func(store.Tx) error) error {
	if !s.gate.enter() {
		return errClosed
	}
	defer s.gate.leave()
	// Whether the caller still waits matters until f has run: then the outcome is
	// waited for.
	outcome := context.WithoutCancel(ctx)
	waiting := ctx
	met := 0
	return s.retry(outcome, func() error {
		if met >= crowded {
			s.turns.Lock()
			defer s.turns.Unlock()
		}
		err := s.attempt(waiting, f)
		if errors.Is(err, errConflict) {
			waiting = outcome
			met++
		}
		return err
	})
}

// crowded is how many conflicts of one operation tell of a row that many want.
// Where a snapshot must not be overtaken (SERIALIZABLE), one of all who wait
// for the row gets on, and the others begin again: so many would use up their
// attempts. From then on this node's take turns.
const crowded = 2

// attempt runs f in a transaction and commits it. If f fails, what it wrote is
// rolled back and what it recorded is committed by itself.
func (s *Store) attempt(ctx context.Context, f func(store.Tx) error) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	t := &tx{reader: reader{
		session: &session{ctx: context.WithoutCancel(ctx), store: s, conn: conn, begin: "begin"}, held: "_held",
	}}
	t.reader.flush, t.reader.saw = t.flush, t.saw
	defer t.end()
	committed := false
	defer func() {
		if !committed {
			t.takeBack()
		}
	}()
	err = s.call(f, t)
	switch {
	case t.fault != nil && (errors.Is(t.fault, errConflict) || errors.Is(t.fault, store.ErrUnavailable)):
		return t.fault
	case err == nil && t.fault != nil:
		err = t.fault // f went on after it, but the transaction cannot
	}
	if err == nil {
		err = s.commit(t)
		committed = err == nil
		return err
	}
	t.end()
	if len(t.records) == 0 {
		return err
	}
	if failed := s.recorder.do(context.WithoutCancel(ctx), t.records); failed != nil {
		return failed
	}
	return err
}

// call runs f. Of a panic the log gets what may be known; the caller, nothing.
func (s *Store) call(f func(store.Tx) error, t *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("operation panicked", "error", secret.Panicked(p).Error())
			err = errors.New("operation panicked")
		}
	}()
	return f(t)
}

// commit writes the counters and the audit records and commits, all on one
// journey.
func (s *Store) commit(t *tx) error {
	if !t.begun {
		t.end() // it has looked at nothing
		if len(t.records) == 0 {
			return nil
		}
		return s.recorder.do(t.ctx, t.records)
	}
	var batch pgx.Batch
	for _, id := range slices.SortedFunc(maps.Keys(t.counts), tenantOrder) {
		if c := t.counts[id]; c != (counts{}) {
			batch.Queue(queries["owner_count"], c.args(id)...)
		}
	}
	var number int64
	if len(t.records) > 0 {
		number = s.batches.next()
		batch.Queue(queries["batch_add"], s.batches.node, number, appendBatch(nil, t.records))
	}
	batch.Queue(queries["commit"])
	err := s.sendCommit(t, &batch)
	if err == nil {
		s.commits.Add(1)
		s.ops.Add(1)
		return nil
	}
	if refused(err) {
		return fmt.Errorf("committing: %w", s.translate(err))
	}
	t.end() // the connection's place may be the only one
	return s.settle(number, err)
}

// errRolledBack is a transaction that the server ended without a commit and
// without an error.
var errRolledBack = errors.New("the server rolled back")

func (s *Store) sendCommit(t *tx, batch *pgx.Batch) error {
	ctx, cancel := s.patience(t.ctx)
	defer cancel()
	results := t.conn.SendBatch(ctx, batch)
	var last string
	var err error
	for range batch.Len() {
		tag, failed := results.Exec()
		if failed != nil {
			err = failed
			break
		}
		last = tag.String()
	}
	if closing := results.Close(); err == nil {
		err = closing
	}
	if err == nil {
		t.begun = false // nothing is left to roll back
		if last != "COMMIT" {
			return fmt.Errorf("%w: %w", store.ErrUnavailable, errRolledBack)
		}
	}
	return err
}

// settleTimeout bounds finding out about a commit.
const settleTimeout = 10 * time.Second

// settle finds out what became of a commit whose answer got lost with cause. It
// returns nil if it happened, and an error that lets the operation be run again
// if it did not and never will.
func (s *Store) settle(number int64, cause error) error {
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	for attempt := 1; number != 0; attempt++ {
		committed, err := s.forbid(ctx, number)
		if err == nil && committed {
			err = s.confirm(ctx)
		}
		switch {
		case err == nil && committed:
			return nil
		case err == nil:
			return fmt.Errorf("%w: the connection was lost before the commit: %w", errConflict, cause)
		}
		if pause(ctx, attempt) != nil {
			break
		}
	}
	s.log.Error("the outcome of a commit is unknown", "error", cause.Error())
	return fmt.Errorf("%w: %w", store.ErrUnknownOutcome, cause)
}

// confirm commits something of no meaning. A commit that is there need not be on
// the standby yet: the server shows it once nobody waits for the standby any
// more, and who waited was cut off. It is there with this later one.
func (s *Store) confirm(ctx context.Context) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	_, err = conn.Exec(ctx, queries["batch_forbid"], s.batches.node, s.batches.next())
	return err
}

// forbid sees to it that a batch of this node is never committed, unless it
// has been. A transaction that is still about to is waited for: its row and
// this one have the same key.
func (s *Store) forbid(ctx context.Context, number int64) (committed bool, err error) {
	conn, err := s.acquire(ctx)
	if err != nil {
		return false, err
	}
	t := &tx{reader: reader{session: &session{ctx: ctx, store: s, conn: conn, begin: "begin"}}}
	defer t.end()
	added, err := t.exec("batch_forbid", s.batches.node, number)
	if err != nil {
		return false, err
	}
	if added == 0 {
		// It was forbidden before by a try that did not learn so, or it is there,
		// or was there and has been given its place.
		forbidden, err := t.exists("batch_forbidden", s.batches.node, number)
		return !forbidden, err
	}
	placed, err := t.exists("batch_placed", s.batches.node, number)
	if err != nil || placed {
		return placed, err
	}
	var batch pgx.Batch
	batch.Queue(queries["commit"])
	return false, s.sendCommit(t, &batch)
}
