//go:build bench

package main_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"fastness"
	"fastness/internal/vault"
)

const (
	rotatingTenants = 1_000
	rotatingEach    = 10
	// rotatingReaders is how many connections read of another tenant meanwhile.
	rotatingReaders = 16
)

// TestBenchRotation has a server find ten thousand secrets of a thousand
// tenants due at once, and compares the reads of another tenant while they are
// rotated with those afterwards.
func TestBenchRotation(t *testing.T) {
	dir, token := fillStore(t)
	fillDue(t, dir)
	started := time.Now()
	b := serveFilled(t, program, false, dir, token)
	const all = rotatingTenants * rotatingEach
	reads := job{Address: b.host, Connections: rotatingReaders, Duration: 500 * time.Millisecond, Requests: b.requests(http.MethodGet, "")}
	var during, worst []time.Duration
	for b.rotations() < all {
		r := load(t, reads)
		if b.rotations() < all {
			during, worst = append(during, r.P50), append(worst, r.P99)
		}
		if time.Since(started) > 10*time.Minute {
			t.Fatalf("%d of %d rotations in %v", b.rotations(), all, time.Since(started))
		}
	}
	took := time.Since(started)
	figure(t, true, fmt.Sprintf("%d secrets due at once: all rotated", all), fmt.Sprintf("%.1f s, %.0f/s", took.Seconds(), all/took.Seconds()), "")
	time.Sleep(time.Second) // the log has its checkpoint
	var quiet, worstQuiet []time.Duration
	for range during {
		r := load(t, reads)
		quiet, worstQuiet = append(quiet, r.P50), append(worstQuiet, r.P99)
	}
	m, q := medianTime(during), medianTime(quiet)
	figure(t, m <= 2*q, "read of another tenant meanwhile: median, ratio",
		fmt.Sprintf("%.2f (%.2f ms to %.2f ms, 99%% %.1f to %.1f ms)", float64(m)/float64(q), inMs(m), inMs(q), inMs(medianTime(worst)), inMs(medianTime(worstQuiet))), "<= 2.00")
	b.stop(t)
	checkRotated(t, dir)
}

// rotations counts those that the server says are finished.
func (b *benchServer) rotations() int {
	return strings.Count(b.stderr.String(), `"rotation finished"`)
}

func dueName(i int) (fastness.TenantName, fastness.Name) {
	return numbered(i / rotatingEach), fastness.Name(fmt.Sprintf("app-%d/password", i%rotatingEach))
}

// fillDue makes the secrets and asks for their rotation, which makes them due.
func fillDue(t *testing.T, dir string) {
	t.Helper()
	v := openVault(t, dir)
	inParallel(t, rotatingTenants, func(ctx context.Context, i int) error {
		made, err := v.Operator(v.Local(fastness.Origin{})).CreateTenant(ctx, numbered(i), fastness.AES256GCM)
		if err == nil {
			made.Release()
		}
		return err
	})
	inParallel(t, rotatingTenants*rotatingEach, func(ctx context.Context, i int) error {
		tenant, name := dueName(i)
		s := v.Session(v.Local(fastness.Origin{}), tenant)
		if err := putOne(ctx, s, name); err != nil {
			return err
		}
		if _, err := s.SetRotation(ctx, name, vault.RotationPolicy{Rotator: "password"}); err != nil {
			return err
		}
		_, err := s.AskRotation(ctx, name)
		return err
	})
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

// checkRotated checks that each secret has a new value.
func checkRotated(t *testing.T, dir string) {
	t.Helper()
	v := openVault(t, dir)
	defer v.Close()
	inParallel(t, rotatingTenants*rotatingEach, func(ctx context.Context, i int) error {
		tenant, name := dueName(i)
		r, err := v.Session(v.Local(fastness.Origin{}), tenant).Get(ctx, name, fastness.Selector{})
		if err != nil {
			return err
		}
		defer r.Value.Release()
		if string(r.Value.Bytes()) == benchValue {
			return fmt.Errorf("%s of %s was not rotated", name, tenant)
		}
		return nil
	})
}
