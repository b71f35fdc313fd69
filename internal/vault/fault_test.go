package vault_test

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/store/sqlite"
	"fastness/internal/vault"
)

// dyingStore is a store whose process dies at one of its writes: before it, or
// when it is on disk but nobody was told. No write succeeds after that.
type dyingStore struct {
	store.Store

	mu        sync.Mutex // guards what follows
	writes    int
	dieAt     int  // 0: never
	persisted bool // the last write is on disk
}

// die makes the n-th write from now on the last.
func (s *dyingStore) die(n int, persisted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes, s.dieAt, s.persisted = 0, n, persisted
}

// died reports whether the write at which it was to die was reached.
func (s *dyingStore) died() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dieAt > 0 && s.writes >= s.dieAt
}

func (s *dyingStore) write(do func() error) error {
	s.mu.Lock()
	s.writes++
	n, at, persisted := s.writes, s.dieAt, s.persisted
	s.mu.Unlock()
	if at > 0 && n > at || n == at && !persisted {
		return store.ErrUnavailable
	}
	err := do()
	if n == at && err == nil {
		return store.ErrUnknownOutcome
	}
	return err
}

func (s *dyingStore) Update(ctx context.Context, f func(store.Tx) error) error {
	return s.write(func() error { return s.Store.Update(ctx, f) })
}

func (s *dyingStore) Record(ctx context.Context, records ...audit.Record) error {
	return s.write(func() error { return s.Store.Record(ctx, records...) })
}

// mortal is a vault over a dyingStore. The test closes it.
type mortal struct {
	*fastnesstest.Fixture
	store *dyingStore
}

func openStore(tb testing.TB, dir string) *sqlite.Store {
	tb.Helper()
	return must(sqlite.Open(ctx, sqlite.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)}))(tb)
}

func openMortal(tb testing.TB, dir string, clock *fastnesstest.Clock, master, previous *secretbuf.Buffer) *mortal {
	tb.Helper()
	m, err := tryOpenMortal(tb, dir, clock, master, previous)
	check(tb, err)
	return m
}

func tryOpenMortal(tb testing.TB, dir string, clock *fastnesstest.Clock, master, previous *secretbuf.Buffer) (*mortal, error) {
	tb.Helper()
	log := &fastnesstest.Log{}
	s := openStore(tb, dir)
	m := &mortal{store: &dyingStore{Store: s}}
	v, err := vault.Open(ctx, vault.Config{Store: m.store, Master: master, PreviousMaster: previous, Now: clock.Now,
		Logger: slog.New(slog.NewJSONHandler(log, nil)), Node: "embedded", NoBackground: true})
	if err != nil {
		check(tb, s.Close())
		return nil, err
	}
	m.Fixture = &fastnesstest.Fixture{Vault: v, Clock: clock, Dir: dir, Log: log}
	return m, nil
}

// end closes a vault that has died, or not.
func (m *mortal) end(tb testing.TB) {
	tb.Helper()
	if err := m.Vault.Close(); err != nil && !m.store.died() {
		tb.Errorf("closing: %v", err)
	}
}

// eachDeath runs an operation that dies at its first write, its second, and so
// on, each failed and failed but persisted, until it lives. After each death
// it reopens the folder and hands it to recovered.
func eachDeath(t *testing.T, setup func() (dir string), open func(dir string) *mortal,
	operation func(*mortal) error, recovered func(*mortal)) {
	t.Helper()
	for _, persisted := range []bool{false, true} {
		for n := 1; ; n++ {
			dir := setup()
			m := open(dir)
			m.store.die(n, persisted)
			err := operation(m)
			died := m.store.died()
			m.end(t)
			if died && err == nil {
				t.Fatalf("death at write %d (persisted %v): success was told", n, persisted)
			}
			if !died && err != nil {
				t.Fatalf("alive through %d writes: %s", n, describe(err))
			}
			m = open(dir)
			recovered(m)
			m.end(t)
			if t.Failed() {
				t.Fatalf("after death at write %d (persisted %v)", n, persisted)
			}
			if !died {
				break
			}
		}
	}
}

// copyDir copies a closed store.
func copyDir(tb testing.TB, from string) string {
	tb.Helper()
	to := tb.TempDir()
	check(tb, os.CopyFS(to, os.DirFS(from)))
	return to
}

// open opens a vault in a fresh folder, whose store can be reached beside it.
func open(tb testing.TB) *mortal {
	tb.Helper()
	m := openMortal(tb, tb.TempDir(), fastnesstest.NewClock(), fastnesstest.MasterKey(), nil)
	tb.Cleanup(func() { m.end(tb) })
	return m
}

// rows reads from a store behind its vault's back.
func rows[T any](tb testing.TB, s store.Store, read func(store.Reader) (T, error)) (out T) {
	tb.Helper()
	check(tb, s.View(ctx, func(r store.Reader) (err error) { out, err = read(r); return err }))
	return out
}

// edit writes to a store behind its vault's back.
func edit(tb testing.TB, s store.Store, f func(store.Tx) error) {
	tb.Helper()
	check(tb, s.Update(ctx, f))
}

// editDir edits a closed store.
func editDir(tb testing.TB, dir string, f func(store.Tx) error) {
	tb.Helper()
	s := openStore(tb, dir)
	defer func() { check(tb, s.Close()) }()
	edit(tb, s, f)
}

func tenantID(r store.Reader, name secret.TenantName) (secret.TenantID, error) {
	t, err := r.Tenants().ByName(name)
	if err != nil {
		return secret.TenantID{}, err
	}
	return t.ID, nil
}

// storedVersion is a version with what it belongs to.
type storedVersion struct {
	tenant secret.TenantID
	secret secret.ID
	*store.Version
}

// versionsOf reads all versions of a tenant, whole, by name and number.
func versionsOf(tb testing.TB, s store.Store, tenant secret.TenantName) []storedVersion {
	tb.Helper()
	return rows(tb, s, func(r store.Reader) (out []storedVersion, err error) {
		t, err := tenantID(r, tenant)
		if err != nil {
			return nil, err
		}
		for _, deleted := range []bool{false, true} {
			secrets, err := r.Secrets(t).List(store.Query{Limit: 1000, Deleted: deleted})
			if err != nil {
				return nil, err
			}
			for _, sec := range secrets {
				list, err := r.Secrets(t).Versions(sec.ID, 0, 1000)
				if err != nil {
					return nil, err
				}
				for _, v := range list {
					whole, err := r.Secrets(t).Version(sec.ID, v.Number)
					if err != nil {
						return nil, err
					}
					out = append(out, storedVersion{t, sec.ID, whole})
				}
			}
		}
		return out, nil
	})
}

// replace puts a version in the place of the one with its number.
func replace(tx store.Tx, t secret.TenantID, id secret.ID, v store.Version) error {
	if err := tx.EditSecrets(t).DeleteVersion(id, v.Number); err != nil {
		return err
	}
	return tx.EditSecrets(t).AddVersion(id, &v)
}

// keysOf reads a tenant's keys.
func keysOf(tb testing.TB, s store.Store, tenant secret.TenantName) []*store.TenantKey {
	tb.Helper()
	return rows(tb, s, func(r store.Reader) ([]*store.TenantKey, error) {
		t, err := tenantID(r, tenant)
		if err != nil {
			return nil, err
		}
		return r.Tenants().Keys(t)
	})
}

// wantKeys expects a tenant to have just these keys.
func wantKeys(tb testing.TB, s store.Store, tenant secret.TenantName, want ...uint32) {
	tb.Helper()
	var got []uint32
	for _, k := range keysOf(tb, s, tenant) {
		got = append(got, k.Number)
	}
	equal(tb, "keys", got, want)
}

// sealedBytes are all blobs that a tenant's key covers, and the key's own.
func sealedBytes(tb testing.TB, s store.Store, tenant secret.TenantName) (out [][]byte) {
	tb.Helper()
	for _, v := range versionsOf(tb, s, tenant) {
		out = append(out, v.Envelope)
	}
	for _, k := range keysOf(tb, s, tenant) {
		out = append(out, k.KEK)
		if k.KEMSeed != nil {
			out = append(out, k.KEMSeed)
		}
	}
	return out
}

// ciphertexts tells the sealed values of a tenant.
func ciphertexts(tb testing.TB, s store.Store, tenant secret.TenantName) (out []string) {
	tb.Helper()
	for _, v := range versionsOf(tb, s, tenant) {
		out = append(out, string(v.Ciphertext))
	}
	return out
}

// holding names the files of a folder that hold any of the texts.
func holding(tb testing.TB, dir string, texts ...[]byte) (out []string) {
	tb.Helper()
	check(tb, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, text := range texts {
			if bytes.Contains(b, text) {
				out = append(out, filepath.Base(path)+": "+string(text))
			}
		}
		return err
	}))
	return out
}
