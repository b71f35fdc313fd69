//go:build bench

package main_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"fastness"
)

const (
	// tenantsVariable is how many tenants TestBenchTenants makes.
	tenantsVariable = "FASTNESS_BENCH_TENANTS"
	manyTenants     = 1_000_000
	// movedTenants are those that move to PostgreSQL: more would take much longer
	// than ten minutes, which is why a million there needs the variable.
	movedTenants = 100_000
	fewTenants   = 1_000
	randomReads  = 100_000
)

// TestBenchTenants fills a store with many tenants of two secrets each and
// reads at random over all of them, beside a store with few; and then on PostgreSQL,
// to which such stores have moved.
func TestBenchTenants(t *testing.T) {
	few, large := makeTenants(t, fewTenants), makeTenants(t, tenantsToMake(t, manyTenants))
	t.Run("embedded", func(t *testing.T) { compareTenants(t, "", few, large) })
	t.Run("PostgreSQL", func(t *testing.T) {
		if n := tenantsToMake(t, movedTenants); n != large.tenants {
			large = makeTenants(t, n)
		}
		database := startBenchDatabase(t)
		for name, s := range map[string]*tenantStore{"few": few, "many": large} {
			s.move(t, database, name)
			database.tool(t, "vacuumdb", "--quiet", "--analyze", name)
		}
		compareTenants(t, "PostgreSQL, ", few, large)
	})
}

// tenantsToMake is what the variable says, or n.
func tenantsToMake(t *testing.T, n int) int {
	t.Helper()
	s := os.Getenv(tenantsVariable)
	if s == "" {
		return n
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 9_999_999 {
		t.Fatalf("%s=%s is no number of tenants", tenantsVariable, s)
	}
	return n
}

// compareTenants reads at random over many tenants and over few, in turns.
func compareTenants(t *testing.T, where string, fewTenants, manyTenants *tenantStore) {
	few, large := fewTenants.serve(t), manyTenants.serve(t)
	of := fmt.Sprintf("%s%d tenants", where, manyTenants.tenants)
	figure(t, large.ready < time.Second, of+": exec to ready", fmt.Sprintf("%.0f ms", inMs(large.ready)), "< 1000 ms")
	large.figureMemory(t, of+": memory, idle", "")

	const rounds = 4
	compare := func(connections int, reads int64) {
		var ours, theirs []time.Duration
		for range rounds {
			ours = append(ours, large.read(t, connections, reads/rounds).P50)
			theirs = append(theirs, few.read(t, connections, reads/rounds).P50)
		}
		m, n := medianTime(ours), medianTime(theirs)
		ratio := float64(m) / float64(n)
		figure(t, ratio <= 1.5, fmt.Sprintf("%srandom reads at a time: %d: median latency, ratio", where, connections),
			fmt.Sprintf("%.2f (%.2f ms to %.2f ms)", ratio, inMs(m), inMs(n)), "<= 1.5")
	}
	compare(16, randomReads)
	large.figureMemory(t, fmt.Sprintf("%s: memory after %d random reads", of, randomReads), "< 150 MiB")
	compare(4, randomReads/5)
	compare(1, randomReads/10)
	few.stop(t)
	large.stop(t)
}

// tenantStore is a store of many tenants.
type tenantStore struct {
	tenants int
	store   string // as a server is told
	token   string // of an operator
}

// makeTenants fills an embedded store.
func makeTenants(t *testing.T, tenants int) *tenantStore {
	t.Helper()
	dir := t.TempDir()
	v := fill(t, openVault(t, dir), dir, tenants)
	token, err := v.Operator(v.Local(fastness.Origin{})).InitToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer token.Token.Release()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	return &tenantStore{tenants, "sqlite:" + dir, string(token.Token.Bytes())}
}

// move moves the store to a new database.
func (s *tenantStore) move(t *testing.T, b *postgresBench, database string) {
	t.Helper()
	b.tool(t, "createdb", database)
	to, started := b.urlOf(database), time.Now()
	p := start(t, []string{"SECRETS_MASTER_KEY=" + masterKey}, "migrate", "--from", s.store, "--to", to)
	if <-p.ended; p.err != nil {
		t.Fatalf("moving %d tenants: %v: %s", s.tenants, p.err, p.stderr)
	}
	figure(t, true, fmt.Sprintf("PostgreSQL, %d tenants: moved", s.tenants), fmt.Sprintf("%.0f s", time.Since(started).Seconds()), "")
	s.store = to
}

// populated is a server on a store of many tenants.
type populated struct {
	*server
	tenants  int
	operator *api
	ready    time.Duration // from exec
}

func (s *tenantStore) serve(t *testing.T) *populated {
	t.Helper()
	address, started := freeAddress(t), time.Now()
	p := &populated{tenants: s.tenants, server: &server{address: "http://" + address}}
	p.operator = &api{token: s.token, base: p.address}
	p.process = start(t, []string{"SECRETS_MASTER_KEY=" + masterKey, "FASTNESS_STORE=" + s.store}, "server", "--listen", address)
	p.until(t, "readiness", func() bool { return isReady(p.address) })
	p.ready = time.Since(started)
	return p
}

// fill makes the tenants, then their secrets, and tells the price of each. It
// closes the vault in between, which brings everything home into one file.
func fill(t *testing.T, v *fastness.Vault, dir string, tenants int) *fastness.Vault {
	t.Helper()
	step := func(what string, n int, f func(ctx context.Context, i int) error) {
		before, started := sizeOf(t, dir), time.Now()
		inParallel(t, n, f)
		took := time.Since(started)
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		if tenants != fewTenants {
			figure(t, true, fmt.Sprintf("%d %s: made", n, what), fmt.Sprintf("%.0f/s", float64(n)/took.Seconds()), "")
			figure(t, true, fmt.Sprintf("%d %s: on disk, with audit entries", n, what), fmt.Sprintf("%d bytes each", (sizeOf(t, dir)-before)/int64(n)), "")
		}
		v = openVault(t, dir)
	}
	step("tenants", tenants, func(ctx context.Context, i int) error {
		made, err := v.Operator(v.Local(fastness.Origin{})).CreateTenant(ctx, numbered(i), fastness.AES256GCM)
		if err == nil {
			made.Release()
		}
		return err
	})
	names := []fastness.Name{"db/password", "payment/api-key"}
	step("secrets", len(names)*tenants, func(ctx context.Context, i int) error {
		return putOne(ctx, v.Session(v.Local(fastness.Origin{}), numbered(i/len(names))), names[i%len(names)])
	})
	return v
}

func numbered(i int) fastness.TenantName { return fastness.TenantName(fmt.Sprintf("tenant-%07d", i)) }

// sizeOf is the size of all files in a folder.
func sizeOf(t *testing.T, dir string) (total int64) {
	t.Helper()
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

// read reads the values of random tenants.
func (p *populated) read(t *testing.T, connections int, n int64) result {
	t.Helper()
	const mark = "NUMBER"
	before, after, _ := strings.Cut(string(p.operator.request("GET", valuePath("tenant-"+mark, "db/password"), "")), mark)
	return load(t, job{
		Address: strings.TrimPrefix(p.address, "http://"), Connections: connections, Total: n,
		Before: []byte(before), After: []byte(after), Count: p.tenants,
	})
}

func (p *populated) figureMemory(t *testing.T, what, target string) {
	t.Helper()
	now, most := residentKB(t, p.cmd.Process.Pid, "VmRSS")>>10, residentKB(t, p.cmd.Process.Pid, "VmHWM")>>10
	figure(t, now < 150, what, fmt.Sprintf("%d MiB (at most %d MiB)", now, most), target)
}
