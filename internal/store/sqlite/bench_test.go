package sqlite_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/store/sqlite"
)

// open opens a store in a fresh folder for one test.
func open(t testing.TB, c sqlite.Config) *sqlite.Store {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	s, err := sqlite.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// populated is a store of many tenants with two secrets each, as the service
// would fill it.
type populated struct {
	*sqlite.Store
	tenants []secret.TenantID
	tokens  [][32]byte
}

var testTime = time.Unix(1_800_000_000, 0).UTC()

var secretNames = []secret.Name{"db/password", "payments/api-key"}

func populate(b testing.TB, s *sqlite.Store, tenants int) *populated {
	b.Helper()
	p := &populated{Store: s}
	now := time.Now()
	const group = 500
	for i := 0; i < tenants; i += group {
		err := s.Update(context.Background(), func(tx store.Tx) error {
			for j := i; j < min(i+group, tenants); j++ {
				if err := p.addTenant(tx, j, now); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return p
}

func (p *populated) addTenant(tx store.Tx, n int, now time.Time) error {
	t := &store.Tenant{
		ID: secret.NewTenantID(), Name: secret.TenantName(fmt.Sprintf("tenant-%07d", n)), Account: secret.NewAccountNumber(),
		Algorithm: secret.AES256GCM, Key: 1, Created: now, Revision: 1,
	}
	c := &store.Credential{
		ID: "tok_" + secret.NewUUID()[:16], Tenant: t.ID, Principal: "admin", Grants: []policy.Grant{{Role: policy.Admin}}, Created: now,
	}
	rand.Read(c.Hash[:])
	p.tenants, p.tokens = append(p.tenants, t.ID), append(p.tokens, c.Hash)
	err := errors.Join(
		tx.EditTenants().Create(t),
		tx.EditTenants().PutKey(t.ID, &store.TenantKey{Number: 1, KEK: random(70), Created: now}),
		tx.EditPrincipals().Create(&store.Principal{Tenant: t.ID, Name: c.Principal, Created: now}),
		tx.EditCredentials().Create(c))
	for _, name := range secretNames {
		err = errors.Join(err, addSecret(tx, t.ID, name, now))
	}
	tx.Audit(record(t.Name))
	return err
}

func addSecret(tx store.Tx, t secret.TenantID, name secret.Name, now time.Time) error {
	s := &store.Secret{
		ID: secret.NewID(), Name: name, Metadata: secret.Metadata{Algorithm: secret.AES256GCM, RotationInterval: schedule.Default},
		Labels: map[secret.Label]secret.Version{secret.Current: 1}, Last: 1, Versions: 1, Revision: 1,
		Created: now, Changed: now, LastRotated: now, NextRotation: schedule.Default.Next(now),
	}
	return errors.Join(tx.EditSecrets(t).Create(s), tx.EditSecrets(t).AddVersion(s.ID, &store.Version{
		Number: 1, ID: secret.NewVersionID(), Algorithm: secret.AES256GCM, Key: 1, Created: now,
		Envelope: random(66), Ciphertext: random(62),
	}))
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func record(t secret.TenantName) audit.Record {
	r, err := audit.NewRecord(audit.Entry{
		Timestamp: time.Now(), TenantID: t, Action: audit.Read, Result: audit.Success, SecretName: "db/password",
		UserID: "admin", IPAddress: "127.0.0.1", UserAgent: "fastness/0.1", CorrelationID: secret.NewUUID(), Version: "1",
	})
	if err != nil {
		panic(err)
	}
	return r
}

// authenticate and find are the two Views of a read.
func (p *populated) authenticate(ctx context.Context, n int) error {
	return p.View(ctx, func(r store.Reader) error {
		_, err := r.Credentials().ByHash(p.tokens[n])
		return err
	})
}

func (p *populated) find(ctx context.Context, n int) error {
	return p.View(ctx, func(r store.Reader) error {
		_, _, err := r.Secrets(p.tenants[n]).Find(secretNames[n&1], store.Selector{}, "admin")
		return err
	})
}

func BenchmarkView(b *testing.B) {
	p := populate(b, open(b, sqlite.Config{}), 10_000)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for name, f := range map[string]func(context.Context, int) error{"Credential": p.authenticate, "Find": p.find} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				if err := f(ctx, i*7919%len(p.tenants)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/parallel", func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if err := f(ctx, i*7919%len(p.tenants)); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkRecord measures audited accesses that share commits, beside what
// the disk does by itself: one page appended and synced at a time.
func BenchmarkRecord(b *testing.B) {
	b.Run("disk", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		page := make([]byte, 4096)
		for range b.N {
			if _, err := f.Write(page); err != nil {
				b.Fatal(err)
			}
			if err := datasync(f); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, n := range []int{1, 16, 64} {
		s := open(b, sqlite.Config{})
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			together(b, n, func(int) error { return s.Record(context.Background(), record("acme")) })
			stats, err := s.Stats(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(stats.GroupedOps)/float64(stats.GroupCommits), "ops/commit")
		})
	}
}

// BenchmarkRead is a whole audited read: two Views and a record.
func BenchmarkRead(b *testing.B) {
	p := populate(b, open(b, sqlite.Config{}), 10_000)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			together(b, n, func(i int) error {
				k := i * 7919 % len(p.tenants)
				return errors.Join(p.authenticate(ctx, k), p.find(ctx, k), p.Record(ctx, record("acme")))
			})
		})
	}
}

// BenchmarkPut is a new version with its entry, durable.
func BenchmarkPut(b *testing.B) {
	p := populate(b, open(b, sqlite.Config{}), 10_000)
	ctx := context.Background()
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			together(b, n, func(i int) error { return p.put(ctx, i*7919%len(p.tenants)) })
		})
	}
}

func (p *populated) put(ctx context.Context, n int) error {
	return p.Update(ctx, func(tx store.Tx) error {
		s, err := tx.Secrets(p.tenants[n]).Secret(secretNames[n&1])
		if err != nil {
			return err
		}
		s.Last++
		s.Labels[secret.Previous], s.Labels[secret.Current] = s.Labels[secret.Current], s.Last
		tx.Audit(record("acme"))
		w := tx.EditSecrets(p.tenants[n])
		return errors.Join(w.Update(s), w.AddVersion(s.ID, &store.Version{
			Number: s.Last, ID: secret.NewVersionID(), Algorithm: secret.AES256GCM, Key: 1, Created: s.Created,
			Envelope: random(66), Ciphertext: random(62),
		}))
	})
}

// together runs f in n goroutines until b.N calls are done.
func together(b *testing.B, n int, f func(i int) error) {
	b.SetParallelism(max(n/2, 1)) // times GOMAXPROCS
	next := make(chan int, 1024)
	go func() {
		for i := range b.N {
			next <- i
		}
		close(next)
	}()
	done := make(chan struct{})
	b.ResetTimer()
	for range n {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range next {
				if err := f(i); err != nil {
					b.Error(err)
				}
			}
		}()
	}
	for range n {
		<-done
	}
}

// BenchmarkPlace is one round of the sequencer with 10,000 entries.
func BenchmarkPlace(b *testing.B) {
	for _, tenants := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprint(tenants, "tenants"), func(b *testing.B) {
			s := open(b, sqlite.Config{})
			for range b.N {
				b.StopTimer()
				waiting(b, s, 10_000, tenants)
				p := placement(b, s)
				b.StartTimer()
				if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.EditLog().Place(p) }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// waiting records n entries in groups as of a busy server.
func waiting(b *testing.B, s *sqlite.Store, n, tenants int) {
	b.Helper()
	const group = 40
	for i := 0; i < n; i += group {
		var records []audit.Record
		for j := range group {
			records = append(records, record(secret.TenantName(fmt.Sprintf("tenant-%07d", (i+j)*7919%tenants))))
		}
		if err := s.Record(context.Background(), records...); err != nil {
			b.Fatal(err)
		}
	}
}

func placement(b testing.TB, s *sqlite.Store) (placed *store.Placed) {
	b.Helper()
	err := s.View(context.Background(), func(r store.Reader) error {
		old, err := r.Log().State()
		if err != nil {
			return err
		}
		pending, err := r.Log().Pending(1 << 30)
		if err != nil {
			return err
		}
		var records [][]audit.Record
		for _, p := range pending {
			records = append(records, p.Records)
		}
		heads, err := r.Log().Heads(audit.Tenants(records))
		if err != nil {
			return err
		}
		p, err := audit.Sequence(tlog.Tree{N: old.Size, Hash: old.Root}, r.Log(), heads, records)
		if err != nil {
			return err
		}
		placed = &store.Placed{
			Old: old, New: store.TreeState{Size: p.Tree.N, Root: p.Tree.Hash},
			Heads: p.Heads, Tiles: p.Tiles, Runs: make(map[secret.TenantName]store.Run),
		}
		for t, run := range p.Runs {
			placed.Runs[t] = store.Run(run)
		}
		for i, x := range pending {
			placed.Batches = append(placed.Batches, store.PlacedBatch{Node: x.Node, Batch: x.Batch, First: p.First[i], Places: p.Places[i]})
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return placed
}
