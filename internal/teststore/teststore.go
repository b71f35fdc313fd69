// Package teststore says where a test keeps a deployment: in a folder, or in a
// PostgreSQL that FASTNESS_TEST_STORE tells of, so that one and the same test
// runs on both stores. Only tests and what helps them import it.
//
// A test about the embedded store itself (its files, its lock, what is erased
// from them) begins with TestEmbedded, and is left out on PostgreSQL by its
// name; see the target "postgres" of the Makefile.
//
// Start with New, or with At for a folder that is there already.
package teststore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"fastness/internal/store"
	"fastness/internal/store/postgres"
	"fastness/internal/store/sqlite"
)

// Variable is the environment variable that brings tests to PostgreSQL: the URL
// of a database in which they may make schemas. A database that does not answer
// fails them.
const Variable = "FASTNESS_TEST_STORE"

// Shared reports whether tests run on a store that several nodes can have open.
func Shared() bool { return os.Getenv(Variable) != "" }

// Place is where a deployment is kept: one of the two is set, as in
// fastness.Config.
type Place struct {
	Dir string // of the embedded store
	URL string // of a database, with a schema of its own
}

// New returns a place that is empty.
func New(tb testing.TB) Place {
	tb.Helper()
	p, err := At(tb.TempDir())
	if err != nil {
		tb.Fatalf("making a place for a store: %v", err)
	}
	return p
}

// At returns the place that a folder stands for: itself, or a schema that is the
// same whenever the folder is.
func At(dir string) (Place, error) {
	database := os.Getenv(Variable)
	if database == "" {
		return Place{Dir: dir}, nil
	}
	return In(database, dir)
}

// In is At in a given database.
func In(database, dir string) (Place, error) {
	u, err := url.Parse(database)
	if err != nil {
		return Place{}, err
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return Place{}, err
	}
	defer conn.Close(ctx)
	schema := fmt.Sprintf("test_%x", sha256.Sum256([]byte(dir)))[:30]
	if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema); err != nil {
		return Place{}, err
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return Place{URL: u.String()}, nil
}

// Setting is the place as the setting "store" names it.
func (p Place) Setting() string {
	if p.URL != "" {
		return p.URL
	}
	return "sqlite:" + p.Dir
}

// Open opens the store.
func (p Place) Open(ctx context.Context, log *slog.Logger) (store.Store, error) {
	if p.URL != "" {
		return postgres.Open(ctx, postgres.Config{URL: p.URL, Logger: log})
	}
	return sqlite.Open(ctx, sqlite.Config{Dir: p.Dir, Logger: log})
}

// Open opens a store that is empty. Who is given it closes it.
func Open(tb testing.TB) store.Store {
	tb.Helper()
	s, err := New(tb).Open(context.Background(), slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatalf("opening a store: %v", err)
	}
	return s
}
