package postgres_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fastness/internal/store"
	"fastness/internal/store/postgres"
	"fastness/internal/store/sqlite"
	"fastness/internal/store/storetest"
	"fastness/internal/testservers"
)

// TestMain runs fewer random streams than the embedded store's tests, each of whose
// statements is a journey here. -rapid.checks says otherwise.
func TestMain(m *testing.M) {
	flag.Set("rapid.checks", "40")
	testservers.Main(m)
}

var schemas atomic.Int64

// freshURL makes a schema in the test binary's PostgreSQL and returns the URL
// of a store within it.
func freshURL(t testing.TB, parameters ...string) string {
	t.Helper()
	s := testservers.Postgres(t)
	name := fmt.Sprintf("test_%d", schemas.Add(1))
	u := url.URL{Scheme: "postgres", User: url.UserPassword(s.Admin, testservers.AdminPassword), Host: s.Address(), Path: "postgres"}
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	u.RawQuery = strings.Join(append([]string{"search_path=" + name}, parameters...), "&")
	return u.String()
}

// patient has a store wait for a machine that is busy with other tests: what the
// suites below try is not how a store gives up.
const patient = "connect_timeout=60"

func TestConformance(t *testing.T) {
	for _, isolation := range []string{"read committed", "serializable"} {
		t.Run(strings.ReplaceAll(isolation, " ", "-"), func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) func() (store.Store, error) {
				config := postgres.Config{URL: freshURL(t, patient, "default_transaction_isolation="+url.PathEscape(isolation))}
				return func() (store.Store, error) { return postgres.Open(context.Background(), config) }
			})
		})
	}
}

// TestLikeSQLite holds this store to what the embedded one does.
func TestLikeSQLite(t *testing.T) {
	storetest.Compare(t, func(t *testing.T) func() (store.Store, error) {
		dir := t.TempDir()
		return func() (store.Store, error) { return sqlite.Open(context.Background(), sqlite.Config{Dir: dir}) }
	}, func(t *testing.T) func() (store.Store, error) {
		config := postgres.Config{URL: freshURL(t, patient)}
		return func() (store.Store, error) { return postgres.Open(context.Background(), config) }
	})
}

// TestNewerSchema opens a database that a newer release has written, and one
// that still serves this release.
func TestNewerSchema(t *testing.T) {
	config := postgres.Config{URL: freshURL(t)}
	reopen := func() error {
		s, err := postgres.Open(t.Context(), config)
		if err != nil {
			return err
		}
		return s.Close()
	}
	if err := reopen(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		oldest int
		want   error
	}{{1, nil}, {1000, store.ErrNewerSchema}} {
		conn, err := pgx.Connect(t.Context(), config.URL)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "UPDATE schema_version SET version = 1000, oldest = $1", c.oldest); err != nil {
			t.Fatal(err)
		}
		conn.Close(t.Context())
		if err := reopen(); !errors.Is(err, c.want) {
			t.Errorf("for releases from schema %d on: %v, want %v", c.oldest, err, c.want)
		}
	}
}

// TestMigrateAfterDeath: a node that died with the lease on the schema holds
// nobody up for long, and what it had done is done again.
func TestMigrateAfterDeath(t *testing.T) {
	config := postgres.Config{URL: freshURL(t)}
	s, err := postgres.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	conn, err := pgx.Connect(t.Context(), config.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), "UPDATE schema_version SET version = 0, holder = 'dead', expires = $1", time.Now().Add(300*time.Millisecond).UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	if s, err = postgres.Open(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	s.Close()
}
