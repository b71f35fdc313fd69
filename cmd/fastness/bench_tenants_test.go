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
	fewTenants      = 1_000
	randomReads     = 100_000
)

// TestBenchTenants fills a store with many tenants of two secrets each and
// reads at random over all of them, beside a store with few.
func TestBenchTenants(t *testing.T) {
	many := manyTenants
	if s := os.Getenv(tenantsVariable); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 9_999_999 {
			t.Fatalf("%s=%s is no number of tenants", tenantsVariable, s)
		}
		many = n
	}
	few := startPopulated(t, fewTenants)
	large := startPopulated(t, many)
	of := fmt.Sprintf("%d tenants", many)
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
		figure(t, ratio <= 1.5, fmt.Sprintf("random reads at a time: %d: median latency, ratio", connections),
			fmt.Sprintf("%.2f (%.2f ms to %.2f ms)", ratio, inMs(m), inMs(n)), "<= 1.5")
	}
	compare(16, randomReads)
	large.figureMemory(t, fmt.Sprintf("%s: memory after %d random reads", of, randomReads), "< 150 MiB")
	compare(4, randomReads/5)
	compare(1, randomReads/10)
}

// populated is a server on a store of many tenants.
type populated struct {
	*server
	tenants  int
	operator *api
	ready    time.Duration // from exec
}

func startPopulated(t *testing.T, tenants int) *populated {
	t.Helper()
	dir := t.TempDir()
	v := openVault(t, dir)
	v = fill(t, v, dir, tenants)
	token, err := v.Operator(v.Local(fastness.Origin{})).InitToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := &populated{tenants: tenants, operator: &api{token: string(token.Token.Bytes())}}
	token.Token.Release()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	p.server = startServer(t, dir)
	p.ready = time.Since(started)
	p.operator.base = p.address
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
