//go:build bench

package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// idleConnections is how many connections do nothing when memory is measured.
const idleConnections = 2_000

// TestBenchMeasures tells what it costs that nothing is left behind in memory:
// reads of values beside those of a build with all measures switched off.
func TestBenchMeasures(t *testing.T) {
	without := filepath.Join(t.TempDir(), "fastness")
	if err := buildProgram(without, "-tags=measures_off"); err != nil {
		t.Fatal(err)
	}
	t.Run("plain", func(t *testing.T) {
		compareMeasures(t, "GET value", ">= 0.85", startBench(t, program, false), startBench(t, without, false))
	})
	t.Run("TLS", func(t *testing.T) {
		compareMeasures(t, "GET value, TLS", "", startBench(t, program, true), startBench(t, without, true))
	})
}

func compareMeasures(t *testing.T, what, target string, with, without *benchServer) {
	for _, b := range []*benchServer{with, without} {
		load(t, b.reads(64, benchDuration)) // warm
	}
	var ours, theirs []float64
	disturbed := quietRounds(t, with.process, without.process, func() func() {
		their := load(t, without.reads(64, benchDuration))
		our := load(t, with.reads(64, benchDuration))
		return func() { ours, theirs = append(ours, our.rate()), append(theirs, their.rate()) }
	})
	off, best := medianAndBest(theirs)
	figure(t, true, what+", 64 connections: measures off", fmt.Sprintf("%.0f (%.0f)/s", off, best), "")
	on, best := medianAndBest(ours)
	figure(t, true, what+", 64 connections: measures on", fmt.Sprintf("%.0f (%.0f)/s", on, best), "")
	figure(t, on/off >= 0.85, what+": on to off", fmt.Sprintf("%.2f%s", on/off, disturbed), target)
	figureMemories(t, what+": memory after it", with, without)
	with.hold(t, idleConnections)
	without.hold(t, idleConnections)
	figureMemories(t, fmt.Sprintf("%s: with %d idle connections", what, idleConnections), with, without)
}

// figureMemories lets both servers become idle first.
func figureMemories(t *testing.T, what string, with, without *benchServer) {
	t.Helper()
	time.Sleep(3 * time.Second)
	resident := func(b *benchServer) float64 { return float64(residentKB(t, b.cmd.Process.Pid, "VmRSS")) / 1024 }
	figure(t, true, what, fmt.Sprintf("%.0f MiB, measures off %.0f MiB", resident(with), resident(without)), "")
}

// startBench starts a build of fastness on a filled store.
func startBench(t *testing.T, build string, encrypted bool) *benchServer {
	t.Helper()
	dir, token := fillStore(t)
	return serveFilled(t, build, encrypted, dir, token)
}

// serveFilled starts a build of fastness on a store, for who has the token.
func serveFilled(t *testing.T, build string, encrypted bool, dir, token string) *benchServer {
	t.Helper()
	b := &benchServer{server: &server{}, api: &api{token: token, client: http.DefaultClient}, host: freeAddress(t)}
	args := []string{"server", "--store", "sqlite:" + dir, "--listen", b.host}
	b.address = "http://" + b.host
	if encrypted {
		certificate, key := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
		writeCertificate(t, certificate, key, 1)
		b.trust(t, certificate)
		args = append(args, "--tls-cert", certificate, "--tls-key", key)
	}
	b.api.base = b.address
	b.process = startBuild(t, build, []string{"SECRETS_MASTER_KEY=" + masterKey}, args...)
	b.until(t, "readiness", func() bool {
		ans, err := b.api.send(http.MethodGet, "/readyz", nil)
		return err == nil && ans.status == http.StatusOK
	})
	return b
}

// trust makes everything that speaks to b speak TLS.
func (b *benchServer) trust(t *testing.T, certificate string) {
	t.Helper()
	text, err := os.ReadFile(certificate)
	if err != nil {
		t.Fatal(err)
	}
	b.address, b.certificate = "https://"+b.host, text
	b.api.client = &http.Client{Transport: &http.Transport{TLSClientConfig: trusting(t, certificate)}}
}

// reads is the job of reading all values in turn.
func (b *benchServer) reads(connections int, d time.Duration) job {
	return job{Address: b.host, Certificate: b.certificate, Connections: connections, Warmup: benchWarmup, Duration: d,
		Requests: b.requests(http.MethodGet, "")}
}

// hold opens connections, reads a value over each, and leaves them open until
// the test ends.
func (b *benchServer) hold(t *testing.T, connections int) {
	t.Helper()
	j := job{Address: b.host, Certificate: b.certificate}
	for n := range connections {
		c, err := j.dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		request := b.api.request(http.MethodGet, valuePath("shop", string(secretName(n%benchSecrets))), "")
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		l := line{conn: c, in: make([]byte, 4<<10)}
		if status, err := l.receive(); err != nil || string(status) != "200" {
			t.Fatalf("status %s, error %v", status, err)
		}
	}
}
