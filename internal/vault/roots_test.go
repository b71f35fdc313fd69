package vault_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
)

func newMaster() *secretbuf.Buffer {
	return secretbuf.Take([]byte("another-root-key-material-of-this-test-abcdefghijklmnopqrstuvwxyz-0123456789"))
}

// files reads all files of a folder but the lock.
func files(tb testing.TB, dir string) string {
	tb.Helper()
	var b strings.Builder
	for _, entry := range must(os.ReadDir(dir))(tb) {
		if entry.Name() != "lock" {
			fmt.Fprintf(&b, "%s %x\n", entry.Name(), must(os.ReadFile(filepath.Join(dir, entry.Name())))(tb))
		}
	}
	return b.String()
}

// wantOpen opens a folder with one or two root keys, and expects an error or
// none. A refusal must leave the files as they were.
func wantOpen(tb testing.TB, dir string, clock *fastnesstest.Clock, master, previous *secretbuf.Buffer, want error) *fastnesstest.Fixture {
	tb.Helper()
	before := files(tb, dir)
	f, err := fastnesstest.TryOpen(tb, &fastnesstest.Options{Dir: dir, Clock: clock, Master: master, Previous: previous})
	if !errors.Is(err, want) {
		tb.Fatalf("opening: %v, want %v", err, want)
	}
	if err != nil && files(tb, dir) != before {
		tb.Error("a refused root key has changed the files")
	}
	return f
}

// TestWrongRootKey: a key that is not the store's is refused, clearly, and
// touches nothing; the right one opens it afterwards.
func TestWrongRootKey(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	versions(t, f.Tenant(t, "acme"), "db", 1)
	size := must(f.Stats(ctx))(t).TreeSize
	f.Close(t)
	wantOpen(t, f.Dir, f.Clock, newMaster(), nil, vault.ErrWrongRootKey)
	wantOpen(t, f.Dir, f.Clock, newMaster(), newMaster(), vault.ErrWrongRootKey)
	if !strings.Contains(vault.ErrWrongRootKey.Error(), "SECRETS_MASTER_KEY") {
		t.Error("the error does not name the variable")
	}
	f = wantOpen(t, f.Dir, f.Clock, nil, nil, nil)
	if now := must(f.Stats(ctx))(t).TreeSize; now < size || now > size+10 {
		t.Errorf("tree of %d entries was %d", now, size)
	}
	wantValue(t, f.Tenant(t, "acme"), "db", store.Selector{}, "1")
	f.Close(t)
	// The right key with a previous one that is of no use.
	f = wantOpen(t, f.Dir, f.Clock, nil, newMaster(), nil)
	want(t, errOf(f.Operator().RotateRoot(ctx, nil)), secret.ErrConflict)
}

// TestEmbeddedRotateRoot changes the root key of some hundred tenants, interrupted
// after the first chunk, and goes on after a restart.
func TestEmbeddedRotateRoot(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	const tenants = 230
	name := func(i int) secret.TenantName { return secret.TenantName(fmt.Sprintf("t%d", i)) }
	for i := range tenants {
		s := f.Tenant(t, name(i))
		if i%20 == 0 {
			must(put(t, s, "db", string(name(i)), vault.Put{}))(t)
			must(put(t, s, "pq", "pq", vault.Put{Patch: secret.Patch{Algorithm: ptr(secret.HybridQuantum)}}))(t)
		}
	}
	read := func() {
		t.Helper()
		for i := 0; i < tenants; i += 20 {
			wantValue(t, f.Tenant(t, name(i)), "db", store.Selector{}, string(name(i)))
			wantValue(t, f.Tenant(t, name(i)), "pq", store.Selector{}, "pq")
		}
	}
	want(t, errOf(f.Operator().RotateRoot(ctx, nil)), secret.ErrInvalid) // with one key
	f.Close(t)
	closed := openStore(t, f.Dir)
	var oldWraps [][]byte
	for i := range tenants {
		oldWraps = append(oldWraps, keysOf(t, closed, name(i))[0].KEK)
		if seed := keysOf(t, closed, name(i))[0].KEMSeed; seed != nil {
			oldWraps = append(oldWraps, seed)
		}
	}
	check(t, closed.Close())

	// With both keys, and before it begins, it is the old one that is used.
	f = wantOpen(t, f.Dir, f.Clock, newMaster(), fastnesstest.MasterKey(), nil)
	versions(t, f.Tenant(t, "made-before"), "db", 1)
	must(f.Audit(local(f), "").RotateKeys(ctx))(t)
	f.Close(t)
	f = wantOpen(t, f.Dir, f.Clock, nil, nil, nil)
	wantValue(t, f.Tenant(t, "made-before"), "db", store.Selector{}, "1")
	f.Close(t)

	f = wantOpen(t, f.Dir, f.Clock, newMaster(), fastnesstest.MasterKey(), nil)
	interrupted, cancel := context.WithCancel(ctx)
	_, err := f.Operator().RotateRoot(interrupted, func(int64) { cancel() })
	want(t, err, secret.ErrUnavailable)
	read()
	versions(t, f.Tenant(t, "made-meanwhile"), "db", 1)
	f.Close(t)

	wantOpen(t, f.Dir, f.Clock, nil, nil, vault.ErrRootKeyChanging)
	wantOpen(t, f.Dir, f.Clock, newMaster(), nil, vault.ErrRootKeyChanging)
	wantOpen(t, f.Dir, f.Clock, fastnesstest.MasterKey(), newMaster(), vault.ErrRootKeyChanging) // the wrong way round
	wantOpen(t, f.Dir, f.Clock, secretbuf.Take([]byte(strings.Repeat("third-key-", 8))), fastnesstest.MasterKey(), vault.ErrWrongRootKey)

	f = wantOpen(t, f.Dir, f.Clock, newMaster(), fastnesstest.MasterKey(), nil)
	read()
	var progress int64
	done := must(f.Operator().RotateRoot(ctx, func(n int64) { progress = n }))(t)
	if done != progress || done != tenants+1-200 {
		t.Errorf("%d keys re-wrapped after the restart, progress %d", done, progress)
	}
	read()
	want(t, errOf(f.Operator().RotateRoot(ctx, nil)), secret.ErrConflict)
	if left := holding(t, f.Dir, oldWraps...); len(left) > 0 {
		t.Errorf("%d keys under the old root key are still in the files", len(left))
	}
	verify(t, f, export(t, f.Audit(local(f), ""), vault.ExportOptions{}), audit.Options{})
	f.Close(t)

	wantOpen(t, f.Dir, f.Clock, nil, nil, vault.ErrWrongRootKey)
	f = wantOpen(t, f.Dir, f.Clock, newMaster(), nil, nil)
	read()
	wantValue(t, f.Tenant(t, "made-meanwhile"), "db", store.Selector{}, "1")
	must(f.Audit(local(f), "").RotateKeys(ctx))(t)
	verify(t, f, export(t, f.Audit(local(f), ""), vault.ExportOptions{}), audit.Options{})
	var begun int
	for _, e := range entries(t, f, "", audit.Filter{Action: audit.KeyRotate, Result: audit.Success}) {
		if strings.HasSuffix(e.Detail, " begun") {
			begun++
		}
	}
	if begun != 2 {
		t.Errorf("%d entries of a beginning", begun)
	}
}

// TestEmbeddedRotateRootDeaths kills a change of the root key at each of its writes.
func TestEmbeddedRotateRootDeaths(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	for _, tenant := range []secret.TenantName{"acme", "beta"} {
		must(put(t, f.Tenant(t, tenant), "pq", "v", vault.Put{Patch: secret.Patch{Algorithm: ptr(secret.HybridQuantum)}}))(t)
	}
	f.Close(t)
	eachDeath(t, func() string { return copyDir(t, f.Dir) },
		func(dir string) *mortal { return openMortal(t, dir, f.Clock, newMaster(), fastnesstest.MasterKey()) },
		func(m *mortal) error { return errOf(m.Operator().RotateRoot(ctx, nil)) },
		func(m *mortal) {
			wantValue(t, m.Tenant(t, "acme"), "pq", store.Selector{}, "v")
			if _, err := m.Operator().RotateRoot(ctx, nil); err != nil && !errors.Is(err, secret.ErrConflict) {
				t.Error(describe(err)) // a conflict: it had ended already
			}
			m.end(t)
			again := openMortal(t, m.Dir, f.Clock, newMaster(), nil)
			wantValue(t, again.Tenant(t, "acme"), "pq", store.Selector{}, "v")
			wantValue(t, again.Tenant(t, "beta"), "pq", store.Selector{}, "v")
			verify(t, again.Fixture, export(t, again.Audit(local(again.Fixture), ""), vault.ExportOptions{}), audit.Options{})
			again.end(t)
		})
}
