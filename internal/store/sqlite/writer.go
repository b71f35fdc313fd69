package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"

	sqlite3 "modernc.org/sqlite/lib"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
)

const (
	// maxGroup bounds how many operations share a commit, so that the first of
	// them does not wait for an endless queue.
	maxGroup = 256
	// maxQueue is how many operations may wait; others wait for a place in it.
	maxQueue = 1024
)

// op is an operation on its way through the writer.
type op struct {
	ctx     context.Context
	run     func(store.Tx) error // nil if there are only records
	records []audit.Record
	err     error // of run; the caller's once done
	state   atomic.Int32
	done    chan struct{}
}

// The states of an op. Whoever moves it on from queued owns it: the writer to
// run it, or its caller to withdraw it.
const (
	queued int32 = iota
	taken
	withdrawn
)

// writer owns the connection that writes.
type writer struct {
	path    string
	log     *slog.Logger
	grown   func(pages int64) // told how many pages each commit added to the log
	queue   chan *op
	pauses  chan chan struct{} // each holds the writer until it is closed
	stopped chan struct{}

	// For the writer's goroutine alone.
	conn    *conn // nil after a fault until it is opened again
	next    int64 // number of the next batch
	group   []*op
	batch   []byte
	written int64
	// What the group may have changed: who a caller is, and whose secrets.
	identity bool
	tenants  []secret.TenantID
	// batches says that operations have added batches, since next was read.
	batches bool

	commits, ops atomic.Uint64
	identities   atomic.Uint64
	secrets      [epochStripes]atomic.Uint64 // by the first byte of the tenant's id
}

// epochStripes is how many epochs the tenants share.
const epochStripes = 256

func newWriter(path string, c *conn, log *slog.Logger, grown func(int64)) (*writer, error) {
	w := &writer{
		path: path, log: log, grown: grown,
		queue: make(chan *op, maxQueue), pauses: make(chan chan struct{}), stopped: make(chan struct{}),
	}
	if err := w.adopt(c); err != nil {
		c.close()
		return nil, err
	}
	go w.loop()
	return w, nil
}

// adopt takes a connection into use.
func (w *writer) adopt(c *conn) error {
	last, err := row(c.query("batch_last"), number)
	if err != nil {
		return fmt.Errorf("reading the last batch: %w", err)
	}
	w.conn, w.next, w.written = c, last+1, c.written()
	return nil
}

// stop ends the writer after what is queued. No more may be queued.
func (w *writer) stop() {
	close(w.queue)
	<-w.stopped
}

// do queues an operation and waits for its outcome.
func (w *writer) do(ctx context.Context, o *op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.ctx, o.done = ctx, make(chan struct{})
	select {
	case w.queue <- o:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
	}
	if o.state.CompareAndSwap(queued, withdrawn) {
		return ctx.Err()
	}
	<-o.done
	return o.err
}

// loop serves groups until the queue is closed.
func (w *writer) loop() {
	ended := false
	defer func() {
		// An operation has ended its goroutine (runtime.Goexit), which was ours.
		if !ended {
			w.fail(w.group, errors.New("an operation ended the writer's goroutine"))
			go w.loop()
		}
	}()
	for {
		select {
		case resume := <-w.pauses:
			<-resume
		case o, ok := <-w.queue:
			if !ok {
				if w.conn != nil {
					w.conn.close()
				}
				ended = true
				close(w.stopped)
				return
			}
			w.gather(o)
			w.serve(w.group)
		}
	}
}

// gather makes a group of o and what else is queued right now. Before the
// group is closed, whoever is ready to run may run and join it: on a busy
// machine that makes groups larger, on an idle one it costs nothing, and no
// timer makes anybody wait.
func (w *writer) gather(o *op) {
	w.group = append(w.group[:0], o)
	for {
		n := len(w.group)
		runtime.Gosched()
		if !w.drain() || len(w.group) == n {
			return
		}
	}
}

// drain adds what is queued to the group, and reports whether there may be more.
func (w *writer) drain() bool {
	for len(w.group) < maxGroup {
		select {
		case o, ok := <-w.queue:
			if !ok {
				return false
			}
			w.group = append(w.group, o)
		default:
			return true
		}
	}
	return false
}

// serve runs and commits a group and answers it.
func (w *writer) serve(group []*op) {
	live := group[:0]
	for _, o := range group {
		if o.state.CompareAndSwap(queued, taken) {
			live = append(live, o)
		}
	}
	w.group = live
	if len(live) == 0 {
		return
	}
	err := w.transact(live)
	w.turnEpochs()
	if err != nil {
		w.fail(live, err)
		return
	}
	w.commits.Add(1)
	w.ops.Add(uint64(len(live)))
	w.answer(live)
	pages := w.conn.written()
	w.grown(pages - w.written)
	w.written = pages
}

// turnEpochs changes the epochs of what the group touched: before anybody is
// answered, and after a failed commit too, of which it is not known whether it
// reached the disk.
func (w *writer) turnEpochs() {
	if w.identity {
		w.identities.Add(1)
	}
	for _, t := range w.tenants {
		w.secrets[t[0]].Add(1)
	}
	w.identity, w.tenants = false, w.tenants[:0]
}

func (w *writer) answer(group []*op) {
	for _, o := range group {
		close(o.done)
	}
	clear(group) // what they held may go
	w.group = w.group[:0]
}

// transact runs a group in one transaction. After an error nothing of it is
// in the database.
func (w *writer) transact(group []*op) error {
	if w.conn == nil {
		if err := w.reopen(); err != nil {
			return err
		}
	}
	w.conn.fault = nil
	if err := w.conn.run("begin"); err != nil {
		return err
	}
	alone := count(group, func(o *op) bool { return o.run != nil }) == 1
	w.batch = w.batch[:0]
	for _, o := range group {
		if o.run != nil {
			if err := w.operate(o, alone); err != nil {
				return err
			}
		}
		for _, r := range o.records {
			w.batch = audit.AppendBatch(w.batch, r)
		}
	}
	if err := w.recount(); err != nil {
		return err
	}
	if len(w.batch) > 0 {
		w.batch = pad(w.batch, 0)
		if _, err := w.conn.query("batch_add").int(1, w.next).blob(2, w.batch).run(); err != nil {
			return err
		}
	}
	if err := w.conn.run("commit"); err != nil {
		return err
	}
	w.batches = false
	if len(w.batch) > 0 {
		w.next++
	}
	return nil
}

// recount finds out the number of the next batch again, if operations have
// added batches: in this group, or in one of which it is not known whether it
// was committed.
func (w *writer) recount() error {
	if !w.batches {
		return nil
	}
	last, err := row(w.conn.query("batch_last"), number)
	w.next = last + 1
	return err
}

func count[T any](list []T, is func(T) bool) (n int) {
	for _, v := range list {
		if is(v) {
			n++
		}
	}
	return n
}

// operate runs one operation. The operation's own error goes to its caller;
// what is returned ends the group.
func (w *writer) operate(o *op, alone bool) error {
	t := &tx{reader: reader{ctx: context.WithoutCancel(o.ctx), conn: w.conn}, alone: alone}
	defer func() { t.conn = nil }() // a Tx that was kept must not reach the next group
	o.err = w.call(o.run, t)
	o.records = t.records
	w.identity = w.identity || t.identity
	w.tenants = append(w.tenants, t.tenants...)
	w.batches = w.batches || t.batches
	if w.conn.fault != nil {
		return w.conn.fault
	}
	return t.finish(o.err == nil)
}

// call runs f. Of a panic the log gets what may be known; the caller, nothing.
func (w *writer) call(f func(store.Tx) error, t *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("operation panicked", "error", secret.Panicked(p).Error())
			err = errors.New("operation panicked")
		}
	}()
	return f(t)
}

// fail takes a group back and tells all of it so.
//
// After a fault of input or output the connection is given up: what the kernel
// holds of the log may no longer be what SQLite believes it to be, and a sync
// that failed once may report success the next time without having written. A
// commit whose sync failed was not acknowledged; should the machine stop before
// the next commit overwrites it, it may still be found in the log.
func (w *writer) fail(group []*op, cause error) {
	if w.conn != nil {
		if w.conn.inTransaction() {
			w.conn.run("rollback")
		}
		if w.conn.inTransaction() || !onlyFull(cause) {
			w.conn.close()
			w.conn = nil
		}
	}
	if !errors.Is(cause, store.ErrUnavailable) {
		cause = fmt.Errorf("%w: %w", store.ErrUnavailable, cause)
	}
	for _, o := range group {
		o.err = fmt.Errorf("committing: %w", cause)
	}
	w.answer(group)
}

// onlyFull reports whether the fault is a full disk and nothing else, after
// which the connection is as good as before.
func onlyFull(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == sqlite3.SQLITE_FULL
}

func (w *writer) reopen() error {
	c, err := openConn(w.path, setupWriter)
	if err != nil {
		return err
	}
	if err := w.adopt(c); err != nil {
		c.close()
		w.conn = nil
		return err
	}
	return nil
}

// hold stops the writer between two groups until release is called.
func (w *writer) hold(ctx context.Context) (release func(), err error) {
	resume := make(chan struct{})
	select {
	case w.pauses <- resume:
		return func() { close(resume) }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
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
	return s.writer.do(ctx, &op{records: records})
}
