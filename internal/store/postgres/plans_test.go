package postgres

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"fastness/internal/testservers"
)

// TestWorkByIndex fills a store with a hundred thousand tenants whose secrets
// rotate later, and ten that are due: to find these, the server reads as many
// rows as there are, by the index, whether it plans for the time it is asked
// about or for any.
func TestWorkByIndex(t *testing.T) {
	ctx := t.Context()
	s := testservers.Postgres(t)
	u := url.URL{Scheme: "postgres", User: url.UserPassword(s.Admin, testservers.AdminPassword), Host: s.Address(), Path: "postgres", RawQuery: "search_path=test_plans"}
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec("CREATE SCHEMA test_plans")
	rows, err := Open(ctx, Config{URL: u.String()})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	exec(`INSERT INTO tenants (id, name, account, state, algorithm, key, created, revision)
		SELECT decode(lpad(to_hex(i), 32, '0'), 'hex'), convert_to('t' || i, 'UTF8'), i, 0, 1, 1, 0, 1 FROM generate_series(1, 100000) i`)
	exec(`INSERT INTO secrets (tenant, id, name, last, versions, revision, algorithm, rotation_required, rotation_interval, work_at)
		SELECT decode(lpad(to_hex(i), 32, '0'), 'hex'), decode(lpad(to_hex(i), 32, '0'), 'hex'), 'db', 1, 1, 1, 1, false, '', i * 1000 FROM generate_series(1, 100000) i`)
	exec("ANALYZE tenants, secrets")
	exec("PREPARE work (int8, int8) AS " + queries["secret_work_anywhere"])
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		exec("SET plan_cache_mode = " + mode)
		found, err := conn.Query(ctx, "EXPLAIN (ANALYZE, BUFFERS) EXECUTE work (10000, 256)", pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(found, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		plan := strings.Join(lines, "\n")
		if !strings.Contains(plan, "using secrets_work") || strings.Contains(plan, "Seq Scan") || !strings.Contains(plan, "rows=10") {
			t.Errorf("%s: %s", mode, plan)
		}
		t.Logf("%s:\n%s", mode, plan)
	}
}
