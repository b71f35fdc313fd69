package postgres

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"fastness/internal/audit"
	"fastness/internal/store"
)

const (
	// maxGroup bounds how many Records share a commit.
	maxGroup = 256
	// maxQueue is how many may wait; others wait for a place in it.
	maxQueue = 1024
)

// entry is what one Record brings.
type entry struct {
	records []audit.Record
	state   atomic.Int32
	err     error // once done
	done    chan struct{}
}

// The states of an entry. Whoever moves it on from queued owns it.
const (
	queued int32 = iota
	taken
	withdrawn
)

// recorder commits the records of concurrent Records in one row: while one
// commit is on its way, those for the next gather. A lone one waits for nobody.
type recorder struct {
	store   *Store
	queue   chan *entry
	stopped chan struct{}
}

func newRecorder(s *Store) *recorder {
	r := &recorder{store: s, queue: make(chan *entry, maxQueue), stopped: make(chan struct{})}
	go r.loop()
	return r
}

// stop ends the recorder after what is queued. No more may be queued.
func (r *recorder) stop() {
	close(r.queue)
	<-r.stopped
}

// do queues records and waits until they are durable.
func (r *recorder) do(ctx context.Context, records []audit.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e := &entry{records: records, done: make(chan struct{})}
	select {
	case r.queue <- e:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-e.done:
		return e.err
	case <-ctx.Done():
	}
	if e.state.CompareAndSwap(queued, withdrawn) {
		return ctx.Err()
	}
	<-e.done
	return e.err
}

func (r *recorder) loop() {
	defer close(r.stopped)
	var group []*entry
	var blob []byte
	for e := range r.queue {
		group = gather(r.queue, append(group[:0], e), maxGroup)
		blob = blob[:0]
		live := group[:0]
		for _, e := range group {
			if e.state.CompareAndSwap(queued, taken) {
				live = append(live, e)
				blob = appendBatch(blob, e.records)
			}
		}
		if len(live) == 0 {
			continue
		}
		err := r.store.addBatch(blob)
		if err == nil {
			r.store.commits.Add(1)
			r.store.ops.Add(uint64(len(live)))
		}
		for _, e := range live {
			e.err = err
			close(e.done)
		}
		clear(group) // what they held may go
	}
}

// gather adds what else is queued right now, up to a size. Before the group is
// closed, whoever is ready to run may run and join it.
func gather[T any](queue <-chan T, group []T, most int) []T {
	for {
		n := len(group)
		runtime.Gosched()
		for more := true; more && len(group) < most; {
			select {
			case e, ok := <-queue:
				if more = ok; ok {
					group = append(group, e)
				}
			default:
				more = false
			}
		}
		if len(group) == n || len(group) == most {
			return group
		}
	}
}

// addBatch commits a batch row by itself.
func (s *Store) addBatch(blob []byte) error {
	ctx := context.Background()
	err := s.retry(ctx, func() error {
		number := s.batches.next()
		err := s.insertBatch(ctx, number, blob)
		if err == nil || errors.Is(err, store.ErrUnavailable) || refused(err) {
			return s.translate(err)
		}
		return s.settle(number, err)
	})
	if err == nil || errors.Is(err, store.ErrUnknownOutcome) {
		return err
	}
	if !errors.Is(err, store.ErrUnavailable) {
		err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return fmt.Errorf("committing: %w", err)
}

// insertBatch sends the row in a transaction that is this one statement.
func (s *Store) insertBatch(ctx context.Context, number int64, blob []byte) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	ctx, cancel := s.patience(ctx)
	defer cancel()
	_, err = conn.Exec(ctx, queries["batch_add"], s.batches.node, number, blob)
	return err
}

// Record implements store.Store.
func (s *Store) Record(ctx context.Context, records ...audit.Record) error {
	if len(records) == 0 {
		return ctx.Err()
	}
	if !s.gate.enter() {
		return errClosed
	}
	defer s.gate.leave()
	return s.recorder.do(ctx, records)
}
