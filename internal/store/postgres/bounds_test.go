package postgres

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"fastness/internal/store"
)

// openBounded opens a store whose URL has further parameters.
func openBounded(t *testing.T, schema string, parameters ...string) *Store {
	t.Helper()
	u, err := url.Parse(emptySchema(t, schema)().Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for i := 0; i < len(parameters); i += 2 {
		q.Set(parameters[i], parameters[i+1])
	}
	u.RawQuery = q.Encode()
	s, err := Open(t.Context(), Config{URL: u.String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestSessionsAreBounded reads from the server what holds for the connections of
// a store: as the package says, or as its URL does.
func TestSessionsAreBounded(t *testing.T) {
	for _, c := range []struct {
		schema     string
		parameters []string
		conns      int32
		want       [3]string
	}{
		{"bounds_own", nil, defaultConns, [3]string{"10s", "5s", "3s"}},
		{"bounds_given", []string{"pool_max_conns", "3", "statement_timeout", "7000", "lock_timeout", "800", "idle_in_transaction_session_timeout", "900"},
			3, [3]string{"7s", "800ms", "900ms"}},
	} {
		s := openBounded(t, c.schema, c.parameters...)
		if got := s.pool.Config().MaxConns; got != c.conns {
			t.Errorf("%s: %d connections at most, want %d", c.schema, got, c.conns)
		}
		var got [3]string
		err := s.pool.QueryRow(t.Context(), `SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),
			current_setting('idle_in_transaction_session_timeout')`).Scan(&got[0], &got[1], &got[2])
		if err != nil || got != c.want {
			t.Errorf("%s: %v, error %v; want %v", c.schema, got, err, c.want)
		}
	}
}

// TestSlowStatementIsGivenUp: a statement that runs for too long, one that waits
// for another transaction for too long, and a pool that has none left are the
// database's unavailability, and the store works on.
func TestSlowStatementIsGivenUp(t *testing.T) {
	s := openBounded(t, "bounds_slow", "pool_max_conns", "2", "statement_timeout", "300", "lock_timeout", "100", "idle_in_transaction_session_timeout", "0")
	_, err := s.pool.Exec(t.Context(), "SELECT pg_sleep(60)")
	if err = s.translate(err); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a slow statement: %v", err)
	}
	put := func(old, value string) error {
		return s.Update(t.Context(), func(tx store.Tx) error {
			var before []byte
			if old != "" {
				before = []byte(old)
			}
			return tx.SetMeta("k", before, []byte(value))
		})
	}
	if err := put("", "a"); err != nil {
		t.Fatal(err)
	}
	err = pgx.BeginFunc(t.Context(), s.pool, func(other pgx.Tx) error {
		if _, err := other.Exec(t.Context(), "SELECT value FROM meta WHERE key = 'k' FOR UPDATE"); err != nil {
			return err
		}
		if err := put("a", "b"); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("a row that another transaction keeps: %v", err)
		}
		second, err := s.pool.Acquire(t.Context())
		if err != nil {
			return err
		}
		defer second.Release()
		look := func(r store.Reader) error { _, err := r.Meta("k"); return err }
		if err := s.View(t.Context(), look); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("without a connection that is free: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := put("a", "c"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestRetriesAreBounded: what meets other transactions again and again is given
// up, and each repetition is counted.
func TestRetriesAreBounded(t *testing.T) {
	for _, state := range []string{stateSerialization, stateDeadlock} {
		var s Store
		runs := 0
		err := s.retry(context.Background(), func() error { runs++; return translate(&pgconn.PgError{Code: state}) })
		if !errors.Is(err, store.ErrUnavailable) || runs != maxAttempts || s.retries.Load() != maxAttempts {
			t.Errorf("%s: %d runs, %d counted, error %v", state, runs, s.retries.Load(), err)
		}
	}
	var s Store
	runs := 0
	err := s.retry(context.Background(), func() error {
		if runs++; runs < 3 {
			return translate(&pgconn.PgError{Code: stateSerialization})
		}
		return nil
	})
	if err != nil || runs != 3 || s.retries.Load() != 2 {
		t.Errorf("%d runs, %d counted, error %v", runs, s.retries.Load(), err)
	}
}
