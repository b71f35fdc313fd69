package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"fastness/internal/audit"
	"fastness/internal/store"
)

func openTest(t *testing.T, c Config) *Store {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func testRecord(t *testing.T, correlation string) audit.Record {
	t.Helper()
	r, err := audit.NewRecord(audit.Entry{Timestamp: time.Unix(1, 0), Action: audit.Read, Result: audit.Success, CorrelationID: correlation})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// pending returns the correlation ids of each batch that waits.
func pending(t *testing.T, s *Store) (out [][]string) {
	t.Helper()
	err := s.View(t.Context(), func(r store.Reader) error {
		batches, err := r.Log().Pending(1 << 30)
		for _, b := range batches {
			var ids []string
			for _, r := range b.Records {
				e, _ := r.Entry()
				ids = append(ids, e.CorrelationID)
			}
			out = append(out, ids)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// hold keeps the writer busy until release is called, so that what is queued
// meanwhile becomes one group.
func hold(t *testing.T, s *Store) (release func()) {
	t.Helper()
	release, err := s.writer.hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return sync.OnceFunc(release)
}

// queue starts calls one after the other, each once the one before is queued,
// and returns a function that waits for their errors.
func queue(s *Store, calls ...func() error) (wait func() []error) {
	errs := make([]error, len(calls))
	var wg sync.WaitGroup
	for i, f := range calls {
		before := len(s.writer.queue)
		wg.Go(func() { errs[i] = f() })
		for len(s.writer.queue) == before {
			runtime.Gosched()
		}
	}
	return func() []error { wg.Wait(); return errs }
}

func set(s *Store, ctx context.Context, key string, err error, records ...audit.Record) func() error {
	return func() error {
		return s.Update(ctx, func(tx store.Tx) error {
			for _, r := range records {
				tx.Audit(r)
			}
			return errors.Join(tx.SetMeta(key, nil, []byte(key)), err)
		})
	}
}

// has reports which of the keys are there.
func has(t *testing.T, s *Store, keys ...string) (out []string) {
	t.Helper()
	err := s.View(t.Context(), func(r store.Reader) error {
		for _, k := range keys {
			if _, err := r.Meta(k); err == nil {
				out = append(out, k)
			} else if !errors.Is(err, store.ErrAbsent) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var errTest = errors.New("refused")

// TestGroup: one failing operation rolls back alone, its record stays, and all
// records of the group are in one batch row, in order.
func TestGroup(t *testing.T) {
	s := openTest(t, Config{})
	ctx := t.Context()
	release := hold(t, s)
	wait := queue(s,
		set(s, ctx, "a", nil, testRecord(t, "1")),
		set(s, ctx, "b", errTest, testRecord(t, "2"), testRecord(t, "3")),
		func() error { return s.Record(ctx, testRecord(t, "4")) },
		set(s, ctx, "c", nil),
		set(s, ctx, "a", nil, testRecord(t, "5"))) // another has set it
	release()
	errs := wait()
	for i, want := range []error{nil, errTest, nil, nil, store.ErrStale} {
		if !errors.Is(errs[i], want) {
			t.Errorf("operation %d: %v, want %v", i, errs[i], want)
		}
	}
	if got := has(t, s, "a", "b", "c"); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("keys are %v", got)
	}
	if got := fmt.Sprint(pending(t, s)); got != "[[1 2 3 4 5]]" {
		t.Errorf("batches are %v", got)
	}
	if c, o := s.writer.commits.Load(), s.writer.ops.Load(); c != 1 || o != 5 {
		t.Errorf("%d commits of %d operations", c, o)
	}
}

// TestAlone: the only operation of a group has no savepoint; failing, it leaves
// its records and those of the group.
func TestAlone(t *testing.T) {
	s := openTest(t, Config{})
	ctx := t.Context()
	release := hold(t, s)
	wait := queue(s,
		func() error { return s.Record(ctx, testRecord(t, "1")) },
		set(s, ctx, "a", errTest, testRecord(t, "2")),
		func() error { return s.Record(ctx, testRecord(t, "3")) })
	release()
	if errs := wait(); errs[0] != nil || !errors.Is(errs[1], errTest) || errs[2] != nil {
		t.Errorf("errors are %v", errs)
	}
	if got := has(t, s, "a"); got != nil {
		t.Errorf("keys are %v", got)
	}
	if got := fmt.Sprint(pending(t, s)); got != "[[1 2 3]]" {
		t.Errorf("batches are %v", got)
	}
}

// TestWithdrawn: an operation whose context ends in the queue does not run.
func TestWithdrawn(t *testing.T) {
	s := openTest(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	release := hold(t, s)
	defer release()
	wait := queue(s,
		set(s, ctx, "a", nil, testRecord(t, "1")),
		func() error { return s.Record(ctx, testRecord(t, "2")) })
	cancel()
	for _, err := range wait() { // while the writer still stands
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
	}
	release()
	if err := s.Record(t.Context(), testRecord(t, "3")); err != nil {
		t.Fatal(err)
	}
	if got := has(t, s, "a"); got != nil {
		t.Errorf("keys are %v", got)
	}
	if got := fmt.Sprint(pending(t, s)); got != "[[3]]" {
		t.Errorf("batches are %v", got)
	}
}

// TestFault injects a fault of the disk into one operation. Nothing of its
// group is acknowledged or kept, even where the operation went on as if
// nothing had been, and the store serves the next group.
func TestFault(t *testing.T) {
	for name, code := range map[string]int32{
		"full": sqlite3.SQLITE_FULL, "write": sqlite3.SQLITE_IOERR_WRITE, "fsync": sqlite3.SQLITE_IOERR_FSYNC, "corrupt": sqlite3.SQLITE_CORRUPT,
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, Config{})
			ctx := t.Context()
			if err := set(s, ctx, "before", nil, testRecord(t, "0"))(); err != nil {
				t.Fatal(err)
			}
			release := hold(t, s)
			wait := queue(s,
				set(s, ctx, "a", nil, testRecord(t, "1")),
				func() error {
					return s.Update(ctx, func(w store.Tx) error {
						c := w.(*tx).conn
						c.check(code)
						return w.SetMeta("b", nil, []byte("b"))
					})
				},
				func() error { return s.Record(ctx, testRecord(t, "2")) })
			release()
			for i, err := range wait() {
				var cause *Error
				if !errors.Is(err, store.ErrUnavailable) || !errors.As(err, &cause) || cause.Code != int(code) {
					t.Errorf("operation %d: %v", i, err)
				}
			}
			if err := set(s, ctx, "after", nil, testRecord(t, "3"))(); err != nil {
				t.Fatal(err)
			}
			if got := has(t, s, "before", "a", "b", "after"); !slices.Equal(got, []string{"before", "after"}) {
				t.Errorf("keys are %v", got)
			}
			if got := fmt.Sprint(pending(t, s)); got != "[[0] [3]]" {
				t.Errorf("batches are %v", got)
			}
		})
	}
}

// TestRolledBackBySQLite: SQLite ends the transaction under an operation's
// feet, which only inTransaction tells.
func TestRolledBackBySQLite(t *testing.T) {
	s := openTest(t, Config{})
	ctx := t.Context()
	release := hold(t, s)
	wait := queue(s,
		set(s, ctx, "a", nil),
		func() error {
			return s.Update(ctx, func(w store.Tx) error { return w.(*tx).conn.run("rollback") })
		})
	release()
	for i, err := range wait() {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("operation %d: %v", i, err)
		}
	}
	if err := set(s, ctx, "b", nil)(); err != nil {
		t.Fatal(err)
	}
	if got := has(t, s, "a", "b"); !slices.Equal(got, []string{"b"}) {
		t.Errorf("keys are %v", got)
	}
}

// TestPanic: an operation that panics, or ends its goroutine, fails, and the
// writer goes on.
func TestPanic(t *testing.T) {
	var log strings.Builder
	s := openTest(t, Config{Logger: textLogger(&log)})
	ctx := t.Context()
	err := s.Update(ctx, func(tx store.Tx) error {
		tx.Audit(testRecord(t, "1"))
		if err := tx.SetMeta("a", nil, []byte("a")); err != nil {
			return err
		}
		panic("the value of the panic")
	})
	if err == nil || strings.Contains(err.Error()+log.String(), "the value") || !strings.Contains(log.String(), "sqlite.TestPanic.func") {
		t.Errorf("error is %v; log:\n%s", err, log.String())
	}
	if err := s.Update(ctx, func(store.Tx) error { runtime.Goexit(); return nil }); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error is %v", err)
	}
	if err := set(s, ctx, "b", nil)(); err != nil {
		t.Fatal(err)
	}
	if got := has(t, s, "a", "b"); !slices.Equal(got, []string{"b"}) {
		t.Errorf("keys are %v", got)
	}
	if got := fmt.Sprint(pending(t, s)); got != "[[1]]" {
		t.Errorf("batches are %v", got)
	}
}

// TestKept: a Reader or Tx that was kept reaches nothing.
func TestKept(t *testing.T) {
	s := openTest(t, Config{})
	var r store.Reader
	var w store.Tx
	if err := s.View(t.Context(), func(x store.Reader) error { r = x; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(x store.Tx) error { w = x; return nil }); err != nil {
		t.Fatal(err)
	}
	_, err1 := r.Meta("a")
	_, err2 := w.Meta("a")
	for _, err := range []error{err1, err2, w.SetMeta("a", nil, []byte("a")), w.Leases().Check("x", 1)} {
		if !errors.Is(err, errOver) {
			t.Errorf("error is %v", err)
		}
	}
}

// TestCloseWaits: Close waits for what runs, and what comes later is refused.
func TestCloseWaits(t *testing.T) {
	s := openTest(t, Config{})
	inside, leave, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	viewed := make(chan error)
	go func() {
		viewed <- s.View(t.Context(), func(r store.Reader) error {
			close(inside)
			<-leave
			_, err := r.Tenants().Count()
			return err
		})
	}()
	<-inside
	go func() { s.Close(); close(closed) }()
	for {
		if err := s.Record(t.Context(), testRecord(t, "1")); errors.Is(err, store.ErrUnavailable) {
			break
		}
	}
	select {
	case <-closed:
		t.Fatal("Close did not wait for a View")
	default:
	}
	close(leave)
	if err := <-viewed; err != nil {
		t.Error(err)
	}
	<-closed
}

// TestGroupSize: a group is bounded, and a full queue makes callers wait.
func TestGroupSize(t *testing.T) {
	s := openTest(t, Config{})
	release := hold(t, s)
	const n = 2*maxGroup + 10
	calls := make([]func() error, n)
	for i := range calls {
		calls[i] = func() error { return s.Record(t.Context(), testRecord(t, "x")) }
	}
	wait := queue(s, calls...)
	release()
	if err := errors.Join(wait()...); err != nil {
		t.Fatal(err)
	}
	for i, b := range pending(t, s) {
		if want := min(maxGroup, n-i*maxGroup); len(b) != want {
			t.Errorf("batch %d holds %d records, want %d", i, len(b), want)
		}
	}
}

func TestTranslate(t *testing.T) {
	for code, want := range map[int32]error{
		sqlite3.SQLITE_CONSTRAINT_UNIQUE:     store.ErrTaken,
		sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: store.ErrTaken,
		sqlite3.SQLITE_CONSTRAINT_ROWID:      store.ErrTaken,
		sqlite3.SQLITE_FULL:                  store.ErrUnavailable,
		sqlite3.SQLITE_IOERR:                 store.ErrUnavailable,
		sqlite3.SQLITE_IOERR_FSYNC:           store.ErrUnavailable,
		sqlite3.SQLITE_IOERR_SHMSIZE:         store.ErrUnavailable,
		sqlite3.SQLITE_CORRUPT_INDEX:         store.ErrUnavailable,
		sqlite3.SQLITE_NOTADB:                store.ErrUnavailable,
		sqlite3.SQLITE_BUSY_SNAPSHOT:         store.ErrUnavailable,
		sqlite3.SQLITE_READONLY:              store.ErrUnavailable,
		sqlite3.SQLITE_NOMEM:                 store.ErrUnavailable,
		sqlite3.SQLITE_CONSTRAINT_CHECK:      nil,
		sqlite3.SQLITE_CONSTRAINT_NOTNULL:    nil,
		sqlite3.SQLITE_TOOBIG:                nil,
		sqlite3.SQLITE_MISUSE:                nil,
	} {
		err := translate(code, "what happened")
		for _, e := range []error{store.ErrTaken, store.ErrUnavailable, store.ErrAbsent, store.ErrStale} {
			if errors.Is(err, e) != (e == want) {
				t.Errorf("code %d became %v", code, err)
			}
		}
		var cause *Error
		if !errors.As(err, &cause) || cause.Code != int(code) || !strings.Contains(err.Error(), "what happened") {
			t.Errorf("code %d became %v", code, err)
		}
	}
	if err := translate(sqlite3.SQLITE_CONSTRAINT_NOTNULL, "NOT NULL constraint failed: secrets.tenant"); !errors.Is(err, store.ErrAbsent) {
		t.Errorf("a tenant that was not found became %v", err)
	}
}
