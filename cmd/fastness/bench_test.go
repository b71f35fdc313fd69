//go:build bench

package main_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fastness"
)

// The benchmarks print what they measure as ratios of one run, since figures of
// one machine say little about another: each side is measured in turns, and the
// median of the rounds counts. A target that is missed fails the benchmark.
const (
	benchRounds   = 5
	benchDuration = 2 * time.Second
	benchWarmup   = 300 * time.Millisecond
	benchSecrets  = 1000
)

var headOnce sync.Once

// figure prints a line of the table.
func figure(t *testing.T, ok bool, what, measured, target string) {
	t.Helper()
	headOnce.Do(func() {
		fmt.Printf("\n%s, %d CPUs\n%-52s %-40s %-12s\n", runtime.Version(), runtime.NumCPU(), "what", "median (best)", "target")
	})
	verdict := "ok"
	switch {
	case target == "":
		verdict = ""
	case !ok:
		verdict = "MISSED"
		t.Errorf("%s: %s, target %s", what, measured, target)
	}
	fmt.Printf("%-52s %-40s %-12s %s\n", what, measured, target, verdict)
}

// medianAndBest are of a series where more is better.
func medianAndBest(all []float64) (median, best float64) {
	s := slices.Sorted(slices.Values(all))
	return s[len(s)/2], s[len(s)-1]
}

func medianTime(all []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(all))[len(all)/2]
}

// benchServer is a server whose store was filled before it started.
type benchServer struct {
	*server
	api         *api // as the administrator of the tenant shop
	host        string
	certificate []byte // PEM; nil for plain HTTP
}

// startFilled makes a store and starts a server on it.
func startFilled(t *testing.T) *benchServer {
	t.Helper()
	return startBench(t, program, false)
}

// fillStore makes a store with a tenant of benchSecrets secrets, and returns
// its administrator's token.
func fillStore(t *testing.T) (dir, token string) {
	t.Helper()
	dir = t.TempDir()
	v := openVault(t, dir)
	tenant, err := v.Operator(v.Local(fastness.Origin{})).CreateTenant(t.Context(), "shop", fastness.AES256GCM)
	if err != nil {
		t.Fatal(err)
	}
	token = string(tenant.Token.Bytes())
	tenant.Release()
	inParallel(t, benchSecrets, func(ctx context.Context, n int) error {
		return putOne(ctx, v.Session(v.Local(fastness.Origin{}), "shop"), secretName(n))
	})
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, token
}

func secretName(n int) fastness.Name {
	return fastness.Name("service-" + strconv.Itoa(n) + "/db/password")
}

func openVault(t *testing.T, dir string) *fastness.Vault {
	t.Helper()
	key := fastness.NewValue([]byte(masterKey))
	defer key.Release()
	v, err := fastness.Open(t.Context(), fastness.Config{Dir: dir, MasterKey: key})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// benchValue is as long as most passwords.
const benchValue = "correct-horse-battery-staple-042"

func putOne(ctx context.Context, s *fastness.Session, name fastness.Name) error {
	value := fastness.NewValue([]byte(benchValue))
	defer value.Release()
	_, err := s.Put(ctx, name, fastness.Put{Value: value})
	return err
}

// inParallel runs f for 0 to n-1 with as many goroutines as share a commit.
func inParallel(t *testing.T, n int, f func(ctx context.Context, i int) error) {
	t.Helper()
	var next atomic.Int64
	var failed atomic.Value
	var all sync.WaitGroup
	for range 256 {
		all.Go(func() {
			for failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := f(t.Context(), i); err != nil {
					failed.Store(err)
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		t.Fatal(err)
	}
}

// request writes a request as a loader sends it.
func (a *api) request(method, path, body string) []byte {
	_, host, _ := strings.Cut(a.base, "://")
	r := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: loader\r\nAuthorization: Bearer %s\r\n", method, path, host, a.token)
	if body != "" {
		r = fmt.Appendf(r, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	return append(append(r, "\r\n"...), body...)
}

// requests are one a secret.
func (b *benchServer) requests(method, body string) [][]byte {
	all := make([][]byte, benchSecrets)
	for n := range all {
		all[n] = b.api.request(method, valuePath("shop", string(secretName(n))), body)
	}
	return all
}

// TestBenchRead compares reads of values with a bare net/http server that
// answers the same bytes and records nothing.
func TestBenchRead(t *testing.T) {
	b := startFilled(t)
	bare := startBare(t, b.api.do(t, http.StatusOK, http.MethodGet, valuePath("shop", string(secretName(0))), nil))
	reads := b.requests(http.MethodGet, "")
	load(t, job{Address: b.host, Connections: 64, Duration: 2 * benchDuration, Requests: reads}) // warm
	for _, c := range []struct {
		connections int
		target      float64
	}{{64, 0.30}, {16, 0.22}} {
		var ratios, ours, theirs []float64
		var latency []time.Duration
		disturbed := quietRounds(t, b.process, bare.process, func() func() {
			j := job{Connections: c.connections, Warmup: benchWarmup, Duration: benchDuration, Requests: reads}
			j.Address = bare.address
			their := load(t, j)
			j.Address = b.host
			our := load(t, j)
			return func() {
				theirs, ours = append(theirs, their.rate()), append(ours, our.rate())
				latency, ratios = append(latency, our.P50), append(ratios, our.rate()/their.rate())
			}
		})
		what := fmt.Sprintf("GET value, %d connections", c.connections)
		m, best := medianAndBest(theirs)
		figure(t, true, what+": bare net/http", fmt.Sprintf("%.0f (%.0f)/s", m, best), "")
		m, best = medianAndBest(ours)
		figure(t, true, what+": fastness", fmt.Sprintf("%.0f (%.0f)/s, median latency %v", m, best, medianTime(latency).Round(10*time.Microsecond)), "")
		m, best = medianAndBest(ratios)
		figure(t, m >= c.target, what+": ratio", fmt.Sprintf("%.2f (%.2f)%s", m, best, disturbed), fmt.Sprintf(">= %.2f", c.target))
	}
	figure(t, true, "memory after it", fmt.Sprintf("%d MiB", residentKB(t, b.cmd.Process.Pid, "VmRSS")>>10), "")
}

// TestBenchWrite compares durable writes of new versions with what the disk
// does by itself.
func TestBenchWrite(t *testing.T) {
	b := startFilled(t)
	writes := b.requests(http.MethodPut, `{"value":"`+benchValue+`"}`)
	var ratios, ours, disk []float64
	disturbed := quietRounds(t, b.process, nil, func() func() {
		appends := syncedAppends(t, filepath.Dir(t.TempDir()))
		r := load(t, job{Address: b.host, Connections: 64, Warmup: benchWarmup, Duration: benchDuration, Requests: writes})
		return func() {
			disk, ours, ratios = append(disk, appends), append(ours, r.rate()), append(ratios, r.rate()/appends)
		}
	})
	m, best := medianAndBest(disk)
	figure(t, true, "fsync'ed appends of 4 KiB", fmt.Sprintf("%.0f (%.0f)/s", m, best), "")
	m, best = medianAndBest(ours)
	figure(t, true, "PUT of a version, 64 connections", fmt.Sprintf("%.0f (%.0f)/s", m, best), "")
	m, best = medianAndBest(ratios)
	figure(t, m >= 1.3, "PUT of a version: ratio", fmt.Sprintf("%.2f (%.2f)%s", m, best, disturbed), ">= 1.3")
}

// syncedAppends measures how many appends of 4 KiB a second the disk takes if
// each is synced before the next.
func syncedAppends(t *testing.T, dir string) float64 {
	t.Helper()
	f, err := os.CreateTemp(dir, "append")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 4096)
	n := 0
	started := time.Now()
	for ; time.Since(started) < benchDuration; n++ {
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	return float64(n) / time.Since(started).Seconds()
}

// TestBenchStart measures what a person waits for: a command, and a server.
func TestBenchStart(t *testing.T) {
	d := startDev(t)
	env := clientEnv(d.Address, d.Token, d.Tenant)
	run(t, env, []byte(benchValue), "put", "name").succeed(t)
	var get, dev []time.Duration
	for range 50 {
		cmd := exec.Command(program, "get", "name")
		cmd.Env = environment(t.TempDir(), env...)
		started := time.Now()
		out, err := cmd.Output()
		get = append(get, time.Since(started))
		if err != nil || string(out) != benchValue {
			t.Fatalf("fastness get: %q, %v", out, err)
		}
	}
	m := medianTime(get)
	figure(t, m < 30*time.Millisecond, "fastness get, exec to value", fmt.Sprintf("%.1f (%.1f) ms", inMs(m), inMs(slices.Min(get))), "< 30 ms")
	for range 11 {
		address := freeAddress(t)
		started := time.Now()
		p := start(t, nil, "dev", "--data", t.TempDir(), "--listen", address)
		awaitAnswer(t, p, address)
		dev = append(dev, time.Since(started))
		p.kill()
	}
	m = medianTime(dev)
	figure(t, m < 300*time.Millisecond, "fastness dev, exec to answers", fmt.Sprintf("%.0f (%.0f) ms", inMs(m), inMs(slices.Min(dev))), "< 300 ms")
	time.Sleep(2 * time.Second)
	figure(t, true, "memory of an idle dev server", fmt.Sprintf("%d MiB", residentKB(t, d.cmd.Process.Pid, "VmRSS")>>10), "")
}

func inMs(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// awaitAnswer waits until a server is ready, without adding to what is measured.
func awaitAnswer(t *testing.T, p *process, address string) {
	t.Helper()
	p.until(t, "an answer", func() bool {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		c.Close()
		return isReady("http://" + address)
	})
}
