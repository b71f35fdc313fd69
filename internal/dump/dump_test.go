package dump_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"fastness/internal/dump"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/store/postgres"
	"fastness/internal/store/sqlite"
	"fastness/internal/store/storetest"
	"fastness/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// backend is a kind of store, empty.
type backend struct {
	name string
	open func(t *testing.T) store.Store
}

var schemas atomic.Int64

var backends = []backend{
	{"sqlite", func(t *testing.T) store.Store {
		s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
		return opened(t, s, err)
	}},
	{"postgres", func(t *testing.T) store.Store {
		server := testservers.Postgres(t)
		u := url.URL{Scheme: "postgres", User: url.UserPassword(server.Admin, testservers.AdminPassword), Host: server.Address(), Path: "postgres"}
		conn, err := pgx.Connect(t.Context(), u.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		name := fmt.Sprintf("dump_%d", schemas.Add(1))
		if _, err := conn.Exec(t.Context(), "CREATE SCHEMA "+name); err != nil {
			t.Fatal(err)
		}
		u.RawQuery = "search_path=" + name
		s, err := postgres.Open(t.Context(), postgres.Config{URL: u.String()})
		return opened(t, s, err)
	}},
}

func opened(t *testing.T, s store.Store, err error) store.Store {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// digestOf reads a whole store.
func digestOf(t *testing.T, s store.Snapshotter) *dump.Digest {
	t.Helper()
	var d dump.Digest
	err := s.Snapshot(t.Context(), func(r store.Reader) error {
		return dump.Read(r, func(row *dump.Row) error { _, err := d.Add(row); return err })
	})
	if err != nil {
		t.Fatal(err)
	}
	return &d
}

var errEnough = errors.New("enough")

// load loads one store into another, until so many rows are read.
func load(t *testing.T, from, to store.Store, most int64) (*dump.Loader, error) {
	t.Helper()
	l, err := dump.NewLoader(t.Context(), to, "a test")
	if err != nil {
		return nil, err
	}
	n := int64(0)
	err = from.Snapshot(t.Context(), func(r store.Reader) error {
		return dump.Read(r, func(row *dump.Row) error {
			if n++; n > most {
				return errEnough
			}
			line, err := row.Append(nil) // what travels is the line
			if err != nil {
				return err
			}
			if row, err = dump.ParseRow(line); err != nil {
				return err
			}
			return l.Row(row)
		})
	})
	if err == nil {
		_, err = l.Flush()
	}
	return l, err
}

// TestMove moves stores between all backends: what comes out of the target is,
// line by line, what came out of the source, its counters are right, and it
// works on.
func TestMove(t *testing.T) {
	for _, from := range backends {
		source := from.open(t)
		storetest.Fill(t, source)
		want := digestOf(t, source)
		for _, to := range backends {
			t.Run(from.name+" to "+to.name, func(t *testing.T) {
				target := to.open(t)
				_, err := load(t, source, target, 1<<40)
				if err != nil {
					t.Fatal(err)
				}
				if got := digestOf(t, target); got.Sum != want.Sum {
					t.Fatalf("the target has %v, the source %v", got.Counts(), want.Counts())
				}
				if _, err := dump.NewLoader(t.Context(), target, "another"); !errors.Is(err, dump.ErrOccupied) {
					t.Errorf("another source for a store that is being filled: %v", err)
				}
				if err := dump.Finish(t.Context(), target); err != nil {
					t.Fatal(err)
				}
				if _, err := dump.NewLoader(t.Context(), target, "a test"); !errors.Is(err, dump.ErrOccupied) {
					t.Errorf("filling a store that has been filled: %v", err)
				}
				compareUsage(t, source, target)
			})
		}
	}
}

func compareUsage(t *testing.T, source, target store.Store) {
	t.Helper()
	usage := func(s store.Store) (out []string) {
		err := s.View(t.Context(), func(r store.Reader) error {
			tenants, err := r.Tenants().List("", 10)
			if err != nil {
				return err
			}
			ids := []secret.TenantID{{}}
			for _, t := range tenants {
				ids = append(ids, t.ID)
			}
			for _, id := range ids {
				u, err := r.Secrets(id).Usage()
				if err != nil {
					return err
				}
				p, err := r.Principals().Count(id)
				if err != nil {
					return err
				}
				c, err := r.Credentials().Count(id)
				if err != nil {
					return err
				}
				out = append(out, fmt.Sprint(u, p, c))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got, want := fmt.Sprint(usage(target)), fmt.Sprint(usage(source)); got != want {
		t.Errorf("the target's counters are %s, the source's %s", got, want)
	}
}

// TestResume ends a load after every so many rows, and goes on with another
// loader.
func TestResume(t *testing.T) {
	source := backends[0].open(t)
	storetest.Fill(t, source)
	// More than one chunk's rows.
	want := digestOf(t, source)
	for want.Rows < 1200 {
		storetestMore(t, source)
		want = digestOf(t, source)
	}
	target := backends[0].open(t)
	for most := int64(100); ; most += 333 {
		l, err := load(t, source, target, most)
		if errors.Is(err, errEnough) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if l.Resumed() == 0 {
			t.Error("nothing was resumed")
		}
		break
	}
	if got := digestOf(t, target); got.Sum != want.Sum {
		t.Fatalf("the target has %v, the source %v", got.Counts(), want.Counts())
	}
}

// storetestMore adds many small rows.
func storetestMore(t *testing.T, s store.Store) {
	t.Helper()
	err := s.Update(t.Context(), func(tx store.Tx) error {
		for i := range 500 {
			if err := tx.SetMeta(fmt.Sprint("more", i, secret.NewUUID()), nil, []byte("value")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestResumeChanged: a source that has changed since its load began is not mixed
// with what it was.
func TestResumeChanged(t *testing.T) {
	source := backends[0].open(t)
	storetestMore(t, source)
	storetestMore(t, source)
	target := backends[0].open(t)
	if _, err := load(t, source, target, 700); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	err := source.Update(t.Context(), func(tx store.Tx) error { return tx.SetMeta("a new one", nil, []byte("x")) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, source, target, 1<<40); !errors.Is(err, dump.ErrChanged) {
		t.Fatalf("error is %v, want ErrChanged", err)
	}
}

// TestReadOnlyLeavesAlone reads a store that another one has open, and one that
// nobody has: no byte of the database changes.
func TestReadOnlyLeavesAlone(t *testing.T) {
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Fill(t, s)
	want := digestOf(t, s)
	if _, err := sqlite.OpenReadOnly(t.Context(), dir, true); !errors.Is(err, store.ErrLocked) {
		t.Errorf("reading alone beside a server: %v", err)
	}
	beside, err := sqlite.OpenReadOnly(t.Context(), dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := digestOf(t, beside); got.Sum != want.Sum {
		t.Error("reading beside a server gives something else")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "fastness.db"))
	if err != nil {
		t.Fatal(err)
	}
	alone, err := sqlite.OpenReadOnly(t.Context(), dir, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a server beside one who reads alone: %v", err)
	}
	if got := digestOf(t, alone); got.Sum != want.Sum {
		t.Error("reading alone gives something else")
	}
	if err := alone.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(filepath.Join(dir, "fastness.db"))
	if err != nil || string(after) != string(before) {
		t.Errorf("the database was written; error %v", err)
	}
	if _, err := sqlite.OpenReadOnly(t.Context(), t.TempDir(), true); err == nil {
		t.Error("a folder without a store was opened")
	}
}
