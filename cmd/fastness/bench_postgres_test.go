//go:build bench

package main_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"fastness"
	"fastness/internal/testservers"
)

// postgresBench is a filled database that syncs as one in use does, and the
// servers on it.
type postgresBench struct {
	database *testservers.Server
	url      string
	token    string // of the tenant's administrator
	nodes    []*benchServer
}

// pgbenchScript is what a read costs at least: a row by its key, and a row that
// tells of it, durable before the answer.
const pgbenchScript = `\set id random(0, 999)
SELECT value FROM bench_values WHERE tenant = 1 AND name = :id;
INSERT INTO bench_entries (node, entry) VALUES (:client_id, repeat('x', 400));
`

// TestBenchPostgres compares audited reads of values with what pgbench does by as
// many connections on the same database: one indexed SELECT and one INSERT.
func TestBenchPostgres(t *testing.T) {
	b := startPostgresBench(t)
	for _, nodes := range []int{1, 2, 3} {
		b.addNode(t)
		for _, connections := range []int{16, 64} {
			b.compare(t, nodes, connections)
		}
	}
}

// compare prints audited reads of some nodes beside pgbench, in turns.
func (b *postgresBench) compare(t *testing.T, nodes, connections int) {
	t.Helper()
	var ratios, ours, theirs []float64
	for range benchRounds {
		their, our := b.pgbench(t, connections), b.read(t, connections)
		theirs, ours, ratios = append(theirs, their), append(ours, our), append(ratios, our/their)
	}
	what := fmt.Sprintf("PostgreSQL, %d connections", connections)
	if nodes == 1 {
		m, best := medianAndBest(theirs)
		figure(t, true, what+": pgbench SELECT+INSERT", fmt.Sprintf("%.0f (%.0f)/s", m, best), "")
	}
	m, best := medianAndBest(ours)
	figure(t, true, fmt.Sprintf("%s: GET value, nodes: %d", what, nodes), fmt.Sprintf("%.0f (%.0f)/s", m, best), "")
	m, best = medianAndBest(ratios)
	target := ""
	if nodes == 1 {
		target = ">= 0.5"
	}
	figure(t, m >= 0.5, fmt.Sprintf("%s: ratio, nodes: %d", what, nodes), fmt.Sprintf("%.2f (%.2f)", m, best), target)
}

// startBenchDatabase starts a database that syncs.
func startBenchDatabase(t *testing.T) *postgresBench {
	t.Helper()
	return &postgresBench{database: testservers.StartPostgres(t, testservers.Options{Args: []string{
		"-c", "fsync=on", "-c", "log_statement=none", "-c", "log_min_duration_statement=-1", "-c", "shared_buffers=256MB",
	}})}
}

// urlOf is the URL of a store in one of the server's databases.
func (b *postgresBench) urlOf(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(b.database.Admin, testservers.AdminPassword), Host: b.database.Address(),
		Path: database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

func startPostgresBench(t *testing.T) *postgresBench {
	t.Helper()
	b := startBenchDatabase(t)
	b.url = b.urlOf("postgres")
	b.fill(t)
	b.tool(t, "psql", "--quiet", "--no-psqlrc", "--command", `CREATE TABLE bench_values (tenant int8, name int8, value bytea, PRIMARY KEY (tenant, name));
		INSERT INTO bench_values SELECT 1, n, decode(repeat('ab', 200), 'hex') FROM generate_series(0, 999) n;
		CREATE TABLE bench_entries (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, node int8, entry text);`)
	return b
}

// fill makes a tenant of benchSecrets secrets.
func (b *postgresBench) fill(t *testing.T) {
	t.Helper()
	key := fastness.NewValue([]byte(masterKey))
	defer key.Release()
	v, err := fastness.Open(t.Context(), fastness.Config{Store: b.url, MasterKey: key})
	if err != nil {
		t.Fatal(err)
	}
	tenant, err := v.Operator(v.Local(fastness.Origin{})).CreateTenant(t.Context(), "shop", fastness.AES256GCM)
	if err != nil {
		t.Fatal(err)
	}
	b.token = string(tenant.Token.Bytes())
	tenant.Release()
	inParallel(t, benchSecrets, func(ctx context.Context, n int) error {
		return putOne(ctx, v.Session(v.Local(fastness.Origin{}), "shop"), secretName(n))
	})
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

// addNode starts one more server, and warms it up.
func (b *postgresBench) addNode(t *testing.T) {
	t.Helper()
	n := &benchServer{server: &server{}, api: &api{token: b.token, client: http.DefaultClient}, host: freeAddress(t)}
	n.address = "http://" + n.host
	n.api.base = n.address
	n.process = start(t, []string{"SECRETS_MASTER_KEY=" + masterKey, "FASTNESS_STORE=" + b.url}, "server", "--listen", n.host)
	n.until(t, "readiness", func() bool { return isReady(n.address) })
	b.nodes = append(b.nodes, n)
	load(t, job{Address: n.host, Connections: 64, Duration: benchDuration, Requests: n.requests(http.MethodGet, "")})
}

// read measures reads of all nodes at once, which share the connections.
func (b *postgresBench) read(t *testing.T, connections int) (rate float64) {
	t.Helper()
	rates := make(chan float64)
	for _, n := range b.nodes {
		j := job{Address: n.host, Connections: connections / len(b.nodes), Warmup: benchWarmup, Duration: benchDuration, Requests: n.requests(http.MethodGet, "")}
		go func() { rates <- load(t, j).rate() }()
	}
	for range b.nodes {
		rate += <-rates
	}
	return rate
}

var pgbenchRate = regexp.MustCompile(`(?m)^tps = ([0-9.]+) \(without initial connection time\)$`)

// pgbenchDuration is longer than its connecting takes, which it counts in.
const pgbenchDuration = 2 * benchDuration

// pgbench measures its script.
func (b *postgresBench) pgbench(t *testing.T, connections int) (rate float64) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "read.sql")
	if err := os.WriteFile(script, []byte(pgbenchScript), 0o600); err != nil {
		t.Fatal(err)
	}
	out := b.tool(t, "pgbench", "--no-vacuum", "--protocol", "prepared", "--client", strconv.Itoa(connections), "--jobs", "2",
		"--time", strconv.Itoa(int(pgbenchDuration.Seconds())), "--file", script)
	found := pgbenchRate.FindSubmatch(out)
	if found == nil {
		t.Fatalf("pgbench said %s", out)
	}
	rate, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return rate
}

// tool runs one of PostgreSQL's programs on the database.
func (b *postgresBench) tool(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PGHOST="+b.database.Host, "PGPORT="+strconv.Itoa(b.database.Port), "PGUSER="+b.database.Admin,
		"PGPASSWORD="+testservers.AdminPassword, "PGDATABASE=postgres")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
	return out
}
