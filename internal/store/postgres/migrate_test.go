package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"fastness/internal/store"
	"fastness/internal/testservers"
)

// emptySchema makes an empty schema of its own in the test's PostgreSQL, and
// returns what connects to it.
func emptySchema(t *testing.T, name string) func() *pgx.Conn {
	t.Helper()
	s := testservers.Postgres(t)
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(s.Admin, testservers.AdminPassword), Host: s.Address(), Path: "postgres",
		RawQuery: "search_path=" + name,
	}
	connect := func() *pgx.Conn {
		conn, err := pgx.Connect(t.Context(), u.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.Background()) })
		return conn
	}
	if _, err := connect().Exec(t.Context(), "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	return connect
}

// knownSteps are the migrations.
func knownSteps(t *testing.T) []migration {
	t.Helper()
	steps, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

// laterSteps are the migrations and some of releases to come. Each would fail if
// two nodes made it at once, or one made it again.
func laterSteps(t *testing.T) []migration {
	t.Helper()
	steps := knownSteps(t)
	oldest := steps[len(steps)-1].oldest
	return append(steps,
		migration{oldest, []string{"CREATE TABLE later (x int8 NOT NULL PRIMARY KEY)", "INSERT INTO later VALUES (1)"}},
		migration{oldest, []string{"INSERT INTO later VALUES (2)"}})
}

// TestMigrateAtOnce has nodes start at once on an empty database and on one of
// each older schema: every step is made once.
func TestMigrateAtOnce(t *testing.T) {
	known := knownSteps(t)
	for from := range len(known) + 1 {
		connect := emptySchema(t, fmt.Sprint("at_once_", from))
		if from > 0 {
			if err := migrate(t.Context(), connect(), known[:from]); err != nil {
				t.Fatal(err)
			}
		}
		const nodes = 4
		var all sync.WaitGroup
		errs := make([]error, nodes)
		for i := range nodes {
			conn, steps := connect(), laterSteps(t)
			all.Go(func() { errs[i] = migrate(t.Context(), conn, steps) })
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Errorf("from schema %d: %v", from, err)
		}
		version, err := schemaVersion(t.Context(), connect(), len(known))
		if err != nil || version != int64(len(known)+2) {
			t.Errorf("from schema %d: it is schema %d, error %v", from, version, err)
		}
	}
}

// TestMigrateFromEach brings a database up to date from each schema that there
// was: it has the columns and indexes that an empty one gets.
func TestMigrateFromEach(t *testing.T) {
	known := knownSteps(t)
	var want []string
	for from := range known {
		connect := emptySchema(t, fmt.Sprint("from_each_", from))
		conn := connect()
		for _, to := range []int{from, len(known)} {
			if err := migrate(t.Context(), conn, known[:to]); err != nil {
				t.Fatalf("from schema %d to %d: %v", from, to, err)
			}
		}
		got := catalog(t, conn)
		if want == nil {
			want = got
		}
		if diff := cmp.Diff(got, want); diff != "" || len(got) < 50 {
			t.Errorf("from schema %d: got (-), want (+):\n%s", from, diff)
		}
	}
}

// catalog lists the columns and indexes of a connection's schema.
func catalog(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '')
FROM information_schema.columns WHERE table_schema = current_schema()
UNION ALL SELECT replace(indexdef, schemaname, '') FROM pg_indexes WHERE schemaname = current_schema()`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// TestMigrationsKeepOldest: what a schema has given up, a later one does not
// promise.
func TestMigrationsKeepOldest(t *testing.T) {
	last := int64(0)
	for n, step := range knownSteps(t) {
		if step.oldest < last || step.oldest > int64(n)+1 {
			t.Errorf("schema %d serves releases from schema %d on, that before it from %d on", n+1, step.oldest, last)
		}
		last = step.oldest
	}
}

// TestNoCopyOfNewerSchema: a node whose database goes on to a newer schema works
// on, but makes no copy, which would lack something.
func TestNoCopyOfNewerSchema(t *testing.T) {
	connect := emptySchema(t, "no_copy")
	conn := connect()
	config := Config{URL: conn.Config().ConnString()}
	s, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	look := func(store.Reader) error { return nil }
	if err := s.Snapshot(t.Context(), look); err != nil {
		t.Errorf("of its own schema: %v", err)
	}
	if err := migrate(t.Context(), conn, laterSteps(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.View(t.Context(), look); err != nil {
		t.Errorf("a read: %v", err)
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.SetMeta("k", nil, []byte("v")) }); err != nil {
		t.Errorf("a write: %v", err)
	}
	if err := s.Snapshot(t.Context(), look); !errors.Is(err, store.ErrNewerSchema) {
		t.Errorf("a copy: %v", err)
	}
	if _, err := OpenReadOnly(t.Context(), config); !errors.Is(err, store.ErrNewerSchema) {
		t.Errorf("for reading alone: %v", err)
	}
}
