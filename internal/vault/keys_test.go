package vault_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/envelope"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// TestAlgorithm: another algorithm re-wraps every version and leaves the
// sealed values alone.
func TestAlgorithm(t *testing.T) {
	f := open(t)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 5)
	versions(t, s, "other", 1)
	values := ciphertexts(t, f.store, "acme")
	for i, alg := range []secret.Algorithm{secret.HybridQuantum, secret.AES256GCM, secret.HybridQuantum} {
		info := must(s.Update(ctx, "db", secret.Patch{Algorithm: ptr(alg)}))(t)
		if info.Metadata.Algorithm != alg || info.Version != secret.Version(5+i) {
			t.Errorf("updated: %+v", info)
		}
		found := map[secret.Algorithm]int{}
		for _, v := range versionsOf(t, f.store, "acme") {
			_, a, err := envelope.EnvelopeKEK(v.Envelope)
			check(t, err)
			found[a]++
		}
		if wantFound := 5 + i; found[alg]-boolInt(alg == secret.AES256GCM) != wantFound {
			t.Errorf("after %s the envelopes are %v", alg, found)
		}
		equal(t, "sealed values", ciphertexts(t, f.store, "acme")[:5], values[:5])
		for n := range 5 {
			wantValue(t, s, "db", store.Selector{Number: secret.Version(n + 1)}, fmt.Sprint(n+1))
		}
		must(put(t, s, "db", "new", vault.Put{}))(t)
		wantValue(t, s, "db", store.Selector{}, "new")
		for _, v := range must(s.Versions(ctx, "db", 0, ""))(t).Items {
			if v.Algorithm != alg {
				t.Errorf("version %d is told to be %s", v.Version, v.Algorithm)
			}
		}
	}
	if k := keysOf(t, f.store, "acme"); len(k) != 1 || k[0].KEMSeed == nil || len(k[0].KEMPublic) != 1216 {
		t.Errorf("the tenant's key %+v has no KEM key pair", k)
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestEmbeddedRotateKey: every envelope is under the new key, the old one and what it
// sealed are gone from the files, and nothing else has changed.
func TestEmbeddedRotateKey(t *testing.T) {
	m := open(t)
	f := m.Fixture
	s, other := f.Tenant(t, "acme"), f.Tenant(t, "beta")
	versions(t, s, "db", 3)
	must(put(t, s, "pq", "v", vault.Put{Patch: secret.Patch{Algorithm: ptr(secret.HybridQuantum)}}))(t)
	must(s.Delete(ctx, "pq", secret.MinRecovery))(t)
	versions(t, other, "db", 1)
	gone := sealedBytes(t, m.store, "acme")
	values := ciphertexts(t, m.store, "acme")
	var progress []int64
	number := must(s.RotateKey(ctx, func(done int64) { progress = append(progress, done) }))(t)
	if info := must(s.Tenant(ctx))(t); number != 2 || info.Key != 2 {
		t.Errorf("key %d, tenant %+v", number, info)
	}
	equal(t, "progress", progress, []int64{4})
	wantKeys(t, m.store, "acme", 2)
	wantKeys(t, m.store, "beta", 1)
	for _, v := range versionsOf(t, m.store, "acme") {
		if v.Key != 2 {
			t.Errorf("version %d is under key %d", v.Number, v.Key)
		}
	}
	equal(t, "sealed values", ciphertexts(t, m.store, "acme"), values)
	if files := holding(t, f.Dir, gone...); len(files) > 0 {
		t.Errorf("%d old envelopes or keys are still in the files", len(files))
	}
	must(s.Restore(ctx, "pq"))(t)
	f.Close(t)
	f = fastnesstest.Open(t, &fastnesstest.Options{Dir: f.Dir, Clock: f.Clock})
	s = f.Tenant(t, "acme")
	wantValue(t, s, "pq", store.Selector{}, "v")
	wantValue(t, s, "db", store.Selector{Number: 1}, "1")
	wantValue(t, f.Tenant(t, "beta"), "db", store.Selector{}, "1")
	if number := must(s.RotateKey(ctx, nil))(t); number != 3 {
		t.Errorf("key %d", number)
	}
	var details []string
	for _, e := range entries(t, f, "acme", audit.Filter{Action: audit.KeyRotate}) {
		details = append(details, e.Detail)
	}
	equal(t, "entries", details, []string{"key 1 -> 2 begun", "key 2 in use, 4 versions re-wrapped", "key 2 -> 3 begun", "key 3 in use, 4 versions re-wrapped"})
}

// TestRotateKeyOnline rotates while others read, write, label, purge and change
// the algorithm: nobody notices.
func TestRotateKeyOnline(t *testing.T) {
	f := open(t)
	s := f.Tenant(t, "acme")
	const secrets = 8
	name := func(i int) secret.Name { return secret.Name(fmt.Sprintf("s%d", i%secrets)) }
	for i := range secrets {
		must(put(t, s, name(i), string(name(i)), vault.Put{}))(t)
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	worker := func(do func(i int) error) {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				if err := do(i); err != nil {
					t.Error(describe(err))
					return
				}
			}
		})
	}
	for range 3 {
		worker(func(i int) error {
			got, err := get(s, name(i), store.Selector{})
			if err == nil && got != string(name(i)) {
				return fmt.Errorf("%s reads %q", name(i), got)
			}
			return err
		})
	}
	worker(func(i int) error { return errOf(put(t, s, name(i), string(name(i)), vault.Put{})) })
	worker(func(i int) error {
		alg := []secret.Algorithm{secret.HybridQuantum, secret.AES256GCM}[i/secrets%2]
		return errOf(s.Update(ctx, name(i), secret.Patch{Algorithm: &alg}))
	})
	worker(func(i int) error {
		n := secret.Name(fmt.Sprintf("short%d", i))
		if err := errOf(put(t, s, n, "v", vault.Put{})); err != nil {
			return err
		}
		return s.Purge(ctx, n)
	})
	for i := range 4 {
		if number := must(s.RotateKey(ctx, nil))(t); number != uint32(i+2) {
			t.Errorf("key %d", number)
		}
	}
	stop.Store(true)
	wg.Wait()
	wantKeys(t, f.store, "acme", 5)
	for i := range secrets {
		for _, v := range must(s.Versions(ctx, name(i), 0, ""))(t).Items {
			wantValue(t, s, name(i), store.Selector{Number: v.Version}, string(name(i)))
		}
	}
}

// TestRotateKeyInterrupted: a rotation that its caller ends half-way leaves
// everything readable, and goes on with the key that it had made.
func TestRotateKeyInterrupted(t *testing.T) {
	m := open(t)
	s := m.Tenant(t, "acme")
	const many = 450 // more than two chunks
	for i := range many / 10 {
		versions(t, s, secret.Name(fmt.Sprintf("s%d", i)), 10)
	}
	read := func() {
		t.Helper()
		for i := range many / 10 {
			wantValue(t, s, secret.Name(fmt.Sprintf("s%d", i)), store.Selector{Number: 3}, "3")
		}
	}
	interrupted, cancel := context.WithCancel(ctx)
	_, err := s.RotateKey(interrupted, func(int64) { cancel() })
	want(t, err, secret.ErrUnavailable)
	wantKeys(t, m.store, "acme", 1, 2)
	old := 0
	for _, v := range versionsOf(t, m.store, "acme") {
		old += boolInt(v.Key == 1)
	}
	if old == 0 || old == many {
		t.Errorf("%d of %d versions under the old key", old, many)
	}
	read()
	m.end(t)
	m = openMortal(t, m.Dir, m.Clock, fastnesstest.MasterKey(), nil)
	defer m.end(t)
	s = m.Tenant(t, "acme")
	read()
	var progress int64
	if number := must(s.RotateKey(ctx, func(done int64) { progress = done }))(t); number != 2 || progress != int64(old) {
		t.Errorf("key %d after %d versions, want %d", number, progress, old)
	}
	wantKeys(t, m.store, "acme", 2)
	read()
}

// TestEmbeddedRotateKeyDeaths kills a rotation at each of its writes.
func TestEmbeddedRotateKeyDeaths(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 3)
	must(put(t, s, "pq", "v", vault.Put{Patch: secret.Patch{Algorithm: ptr(secret.HybridQuantum)}}))(t)
	f.Close(t)
	eachDeath(t, func() string { return copyDir(t, f.Dir) },
		func(dir string) *mortal { return openMortal(t, dir, f.Clock, fastnesstest.MasterKey(), nil) },
		func(m *mortal) error { return errOf(m.Session(local(m.Fixture), "acme").RotateKey(ctx, nil)) },
		func(m *mortal) {
			s := m.Tenant(t, "acme")
			read := func() {
				t.Helper()
				wantValue(t, s, "db", store.Selector{Number: 2}, "2")
				wantValue(t, s, "pq", store.Selector{}, "v")
			}
			read()
			number := must(s.RotateKey(ctx, nil))(t)
			read()
			wantKeys(t, m.store, "acme", number)
			if !bytes.Contains(export(t, m.Audit(local(m.Fixture), "acme"), vault.ExportOptions{}), []byte("key 1 -\u003e 2 begun")) {
				t.Error("no entry of the beginning")
			}
		})
}

// TestRotateKeyOfSuspended: an operator may give a suspended tenant a new key.
func TestRotateKeyOfSuspended(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 1)
	must(f.Operator().Suspend(ctx, "acme"))(t)
	must(s.RotateKey(ctx, nil))(t)
	must(f.Operator().Resume(ctx, "acme"))(t)
	wantValue(t, s, "db", store.Selector{}, "1")
	if e := entries(t, f, "acme", audit.Filter{Action: audit.KeyRotate}); len(e) != 2 || !strings.Contains(e[1].Detail, "1 versions") {
		t.Errorf("%+v", e)
	}
}
