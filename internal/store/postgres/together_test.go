package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/testservers"
)

// openInSchema opens a store in a fresh schema, and a connection there for the test.
func openInSchema(t *testing.T, schema string) (*Store, *pgx.Conn) {
	t.Helper()
	s := testservers.Postgres(t)
	u := url.URL{Scheme: "postgres", User: url.UserPassword(s.Admin, testservers.AdminPassword), Host: s.Address(), Path: "postgres", RawQuery: "search_path=" + schema}
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	run(t, conn, "CREATE SCHEMA "+schema)
	rows, err := Open(t.Context(), Config{URL: u.String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	})
	return rows, conn
}

func run(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// askAll makes each of the lists of looks an ask of one group, which it answers.
func askAll(s *Store, all ...[]look) []*ask {
	var group []*ask
	for _, looks := range all {
		group = append(group, &ask{ctx: context.Background(), looks: looks, done: make(chan struct{})})
	}
	s.together.travel(group)
	return group
}

// TestTogetherOnce: what several ask for is looked up once, and each gets the answer
// to its own question.
func TestTogetherOnce(t *testing.T) {
	s, _ := openInSchema(t, "test_together_once")
	var made []*store.Tenant
	for i := range 3 {
		made = append(made, &store.Tenant{
			ID: secret.NewTenantID(), Name: secret.TenantName(fmt.Sprint("t", i)), Account: secret.NewAccountNumber(),
			Algorithm: secret.AES256GCM, Key: 1, Revision: 1,
		})
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.EditTenants().Create(made[i]) }); err != nil {
			t.Fatal(err)
		}
	}
	byName := func(name string) look { return look{"tenant_by_name", []any{[]byte(name)}} }
	byHash := look{"credential_by_hash", []any{make([]byte, 32)}}
	group := askAll(s, []look{byName("t1"), byHash}, []look{byName("t0"), byName("t1")}, []look{byName("none"), byName("t2")})
	var got []string
	for _, a := range group {
		if a.err != nil {
			t.Fatal(a.err)
		}
		for _, k := range a.found {
			if k == nil {
				got = append(got, "-")
				continue
			}
			tenant, err := scanTenant(k)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(tenant.Name))
		}
	}
	if want := []string{"t1", "-", "t0", "t1", "-", "t2"}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	if group[0].found[0] != group[1].found[1] {
		t.Error("what two asked for was looked up twice")
	}
	if _, ok := group[0].answer(byName("t0")); ok {
		t.Error("an ask tells what it did not ask for")
	}
}

// TestTogetherApart: a statement that the database refuses fails for nobody else.
func TestTogetherApart(t *testing.T) {
	s, conn := openInSchema(t, "test_together_apart")
	run(t, conn, "ALTER TABLE documents RENAME TO lost")
	owner := secret.NewTenantID()
	for _, a := range askAll(s, []look{{"document", []any{owner[:], []byte("k"), []byte("i")}}}, []look{{"tenant_by_name", []any{[]byte("t")}}}) {
		if !errors.Is(a.err, errApart) {
			t.Errorf("error is %v", a.err)
		}
	}
	ahead := func(f func(store.Reader) error) error {
		return s.View(t.Context(), func(r store.Reader) error {
			store.LookAhead(r, func(r store.Reader) { f(r) })
			return f(r)
		})
	}
	err := ahead(func(r store.Reader) error { _, err := r.Documents().Document(owner, "k", "i"); return err })
	if !hasState(err, stateNoTable) {
		t.Errorf("the document: %v", err)
	}
	err = ahead(func(r store.Reader) error { _, err := r.Tenants().ByName("t"); return err })
	if !errors.Is(err, store.ErrAbsent) {
		t.Errorf("the tenant: %v", err)
	}
}

// TestOfOne tells faults of one look from those that everybody meets.
func TestOfOne(t *testing.T) {
	for code, want := range map[string]bool{
		"42P01": true, "22021": true, "XX001": true, stateSerialization: false, stateDeadlock: false, stateCanceled: false,
		stateLockTimeout: false, "53200": false, "08006": false,
	} {
		if got := ofOne(fmt.Errorf("around: %w", &pgconn.PgError{Severity: "ERROR", Code: code})); got != want {
			t.Errorf("%s: %t", code, got)
		}
	}
	for _, err := range []error{nil, errors.New("connection lost"), store.ErrUnavailable, &pgconn.PgError{Severity: "FATAL", Code: "XX000"}} {
		if ofOne(err) {
			t.Errorf("%v is one's", err)
		}
	}
}

// TestEachByIndex: looking for many keys at once takes an index for each of them, by
// one plan for any number of keys, made while the tables were empty.
func TestEachByIndex(t *testing.T) {
	_, conn := openInSchema(t, "test_each")
	for name, types := range eachKeys {
		run(t, conn, "PREPARE "+name+" AS "+eachQueries[name])
		execute := func(keys int) string {
			var args []string
			for _, of := range append(types, "int8") {
				args = append(args, "ARRAY["+strings.TrimSuffix(strings.Repeat("NULL,", keys), ",")+"]::"+of+"[]")
			}
			return "EXECUTE " + name + "(" + strings.Join(args, ", ") + ")"
		}
		for i := range 8 {
			run(t, conn, execute(1+i*i))
		}
		var generic int64
		if err := conn.QueryRow(t.Context(), "SELECT generic_plans FROM pg_prepared_statements WHERE name = $1", name).Scan(&generic); err != nil {
			t.Fatal(err)
		}
		if generic != 3 { // the first five are made for what they ask for
			t.Errorf("%s: one plan served %d of 8 times", name, generic)
		}
		found, err := conn.Query(t.Context(), "EXPLAIN "+execute(1), pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(found, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if plan := strings.Join(lines, "\n"); strings.Contains(plan, "Seq Scan") || !strings.Contains(plan, "Index") {
			t.Errorf("%s: %s", name, plan)
		}
	}
}
