package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

var rowCases = []testcase{
	{"Read", testReadRows},
	{"Pages", testRowPages},
	{"Add", testAddRows},
	{"Batches", testAddBatches},
	{"Leases", func(t *testing.T, d *db) {
		d.update(func(tx store.Tx) error {
			_, err := tx.Leases().Acquire("one", "me", epoch, time.Minute)
			return err
		})
		held := func(at time.Time) []store.Lease {
			return get(d, func(r store.Reader) ([]store.Lease, error) { return r.Rows().Held(at) })
		}
		same(t, held(epoch.Add(time.Second)), []store.Lease{{Name: "one", Holder: "me", Expires: epoch.Add(time.Minute)}})
		same(t, held(epoch.Add(2*time.Minute)), nil)
	}},
	{"Snapshot", testLongSnapshot},
}

// Fill puts rows of every kind into an empty store, with every field set in some
// of them: two tenants, one of which is erased, an operator, and a log with
// checkpoints and entries that wait.
func Fill(t *testing.T, s store.Store) {
	t.Helper()
	d := &db{Store: s, t: t}
	d.update(func(tx store.Tx) error {
		return errors.Join(tx.SetMeta("empty", nil, []byte{}), tx.SetMeta("a key", nil, []byte("a value")))
	})
	d.fillOwned(secret.TenantID{}, store.OperatorKind)
	full, erased := d.addTenant("full"), d.addTenant("erased")
	d.fillTenant(full)
	d.fillTenant(erased)
	d.update(func(tx store.Tx) error { return tx.EditTenants().Erase(erased.ID) })
	erased.State = store.Erased
	d.update(func(tx store.Tx) error { return tx.EditTenants().Update(erased) })
	d.fillLog()
}

func (d *db) fillTenant(t *store.Tenant) {
	d.t.Helper()
	d.update(func(tx store.Tx) error {
		return errors.Join(tx.EditTenants().PutKey(t.ID, &store.TenantKey{Number: 1, KEK: []byte("kek 1"), Created: epoch}),
			tx.EditTenants().PutKey(t.ID, &store.TenantKey{
				Number: 2, KEK: []byte("kek 2"), KEMPublic: []byte("public"), KEMSeed: []byte("seed"), Created: epoch,
			}))
	})
	d.fillOwned(t.ID, store.Service)
	for i := range 3 {
		s := newSecret(fmt.Sprint("secret/", i))
		s.Versions, s.Last = 2, 2
		s.Labels = map[secret.Label]secret.Version{secret.Current: 2, secret.Previous: 1, "CUSTOM": 1}
		if i == 1 {
			s.Deletion = epoch.Add(days(7))
			s.Metadata.Description, s.Metadata.Tags = "what for", map[string]string{"k": "v"}
			s.Metadata.AccessPolicy = secret.AccessPolicy{AllowedServices: []string{}, RequiresMFA: true}
			s.Metadata.RotationRequired, s.WorkAt = true, epoch
			s.AWS = secret.AWS{KMSKeyID: "alias/x", Replicas: []secret.AWSReplica{{Region: "eu-west-1"}}}
		}
		d.update(func(tx store.Tx) error {
			w := tx.EditSecrets(t.ID)
			v2 := newVersion(2)
			v2.ID, v2.Kind, v2.Algorithm, v2.Key = "a-token-of-the-clients-own-that-is-no-uuid", secret.Binary, secret.HybridQuantum, 2
			return errors.Join(w.Create(s), w.AddVersion(s.ID, newVersion(1)), w.AddVersion(s.ID, v2),
				w.Touch(store.VersionRef{Secret: s.ID, Number: 2}, "alice", 20000), w.Touch(store.VersionRef{Secret: s.ID, Number: 2}, "bob", 20001))
		})
	}
}

// fillOwned adds what tenants and the deployment have alike.
func (d *db) fillOwned(owner secret.TenantID, kind store.PrincipalKind) {
	d.t.Helper()
	p := &store.Principal{Tenant: owner, Name: "alice", Kind: kind, Created: epoch, Revision: 7}
	q := &store.Principal{
		Tenant: owner, Name: "bob", Kind: store.Person, Grants: []policy.Grant{{Role: policy.Reader, Patterns: []string{"db/*"}}},
		Service: "web", Environment: secret.Prod, Subject: "sub-" + owner.String(), Created: epoch, Disabled: epoch.Add(days(1)),
		LastUsed: 20000, LastRead: 20001, Revision: 1,
	}
	token := &store.Credential{
		ID: "tok_" + owner.String()[:8] + secret.NewUUID()[:8], Kind: store.Token, Tenant: owner, Principal: "alice", Hash: [32]byte{1, owner[0], owner[1], owner[2]},
		Grants: []policy.Grant{}, Created: epoch, Expires: epoch.Add(days(1)), Revision: 1,
	}
	key := &store.Credential{
		ID: "AKIA" + owner.String()[:16], Kind: store.AccessKey, Tenant: owner, Principal: "bob", Sealed: []byte("sealed"), Key: 2,
		Service: "s", Environment: secret.Dev, Created: epoch, Revoked: epoch, LastUsed: 20002, MFA: epoch, Locked: true, Source: "login:x", Revision: 3,
	}
	d.update(func(tx store.Tx) error {
		return errors.Join(tx.EditPrincipals().Create(p), tx.EditPrincipals().Create(q),
			tx.EditCredentials().Create(token), tx.EditCredentials().Create(key),
			tx.EditDocuments().Create(&store.Document{Owner: owner, Kind: "k", ID: "1", Data: []byte("clear"), Created: epoch, Changed: epoch, Revision: 1}),
			tx.EditDocuments().Create(&store.Document{Owner: owner, Kind: "k", ID: "2", Sealed: []byte("sealed"), Key: 2, Expires: epoch.Add(days(1)), Revision: 9}),
			tx.EditDocuments().Create(&store.Document{Owner: owner, Kind: "j", ID: "3", Data: []byte{}, Revision: 1}))
	})
}

// fillLog adds entries, most of which get their place.
func (d *db) fillLog() {
	d.t.Helper()
	for i := range 300 {
		records := make([]audit.Record, 1+i%3)
		for j := range records {
			records[j] = newRecord([]secret.TenantName{"", "full", "erased"}[(i+j)%3], fmt.Sprint("r", i, ".", j))
		}
		if err := d.Record(d.t.Context(), records...); err != nil {
			d.t.Fatal(err)
		}
		if i%40 == 0 {
			d.update(func(tx store.Tx) error { return sequence(tx, 1<<20) })
		}
		if i == 200 {
			state := d.state()
			d.update(func(tx store.Tx) error {
				c := store.Checkpoint{Size: state.Size, Root: state.Root, Created: epoch}
				return errors.Join(tx.EditLog().AddCheckpoint(c), tx.EditLog().SignCheckpoint(state.Size, []byte("note")),
					tx.EditLog().AddCheckpoint(store.Checkpoint{Size: state.Size + 1, Created: epoch}))
			})
		}
	}
}

// everything is all that RowReader lists, read in pages of some length.
type everything struct {
	Metas       []store.MetaRow
	Secrets     []*store.Secret
	Versions    []*store.VersionRow
	Consumers   []store.ConsumerRow
	Documents   []*store.Document
	Runs        []store.RunRow
	Tiles       []store.Tile
	Checkpoints []store.Checkpoint
}

func (d *db) everything(t *store.Tenant, limit int) (out everything) {
	d.t.Helper()
	d.view(func(r store.Reader) error {
		rows := r.Rows()
		var err error
		if out.Metas, err = rows.Metas(); err != nil {
			return err
		}
		return errors.Join(
			all(&out.Secrets, limit, func(last *store.Secret) ([]*store.Secret, error) { return rows.Secrets(t.ID, last.Name, limit) }, new(store.Secret)),
			all(&out.Versions, limit, func(last *store.VersionRow) ([]*store.VersionRow, error) {
				return rows.Versions(t.ID, store.VersionRef{Secret: last.Secret, Number: last.Number}, limit)
			}, new(store.VersionRow)),
			all(&out.Consumers, limit, func(last store.ConsumerRow) ([]store.ConsumerRow, error) { return rows.Consumers(t.ID, last, limit) }, store.ConsumerRow{}),
			all(&out.Documents, limit, func(last *store.Document) ([]*store.Document, error) {
				return rows.Documents(t.ID, store.DocumentRef{Kind: last.Kind, ID: last.ID}, limit)
			}, new(store.Document)),
			all(&out.Runs, limit, func(last store.RunRow) ([]store.RunRow, error) { return rows.Runs(t.Name, last.First, limit) }, store.RunRow{}),
			all(&out.Tiles, limit, func(last store.Tile) ([]store.Tile, error) {
				return rows.Tiles(audit.TileID{Level: last.ID.Level, N: last.ID.N + 1}, limit)
			}, store.Tile{ID: audit.TileID{N: -1}}),
			all(&out.Checkpoints, limit, func(last store.Checkpoint) ([]store.Checkpoint, error) {
				return rows.Checkpoints(last.Size, limit)
			}, store.Checkpoint{Size: -1}))
	})
	return out
}

// all reads pages until one is not full.
func all[T any](dst *[]T, limit int, page func(last T) ([]T, error), before T) error {
	for last := before; ; {
		items, err := page(last)
		if err != nil {
			return err
		}
		*dst = append(*dst, items...)
		if len(items) < limit {
			return nil
		}
		last = items[len(items)-1]
	}
}

func (d *db) filled() *store.Tenant {
	d.t.Helper()
	Fill(d.t, d.Store)
	return get(d, func(r store.Reader) (*store.Tenant, error) { return r.Tenants().ByName("full") })
}

// testReadRows compares what RowReader lists with what the other roles tell.
func testReadRows(t *testing.T, d *db) {
	tenant := d.filled()
	got := d.everything(tenant, 1000)
	same(t, got.Metas, []store.MetaRow{{Key: "a key", Data: []byte("a value")}, {Key: "empty"}})
	if len(got.Secrets) != 3 || len(got.Versions) != 6 || len(got.Documents) != 3 || len(got.Consumers) != 9 || len(got.Checkpoints) != 2 {
		t.Fatalf("%d secrets, %d versions, %d documents, %d consumers, %d checkpoints",
			len(got.Secrets), len(got.Versions), len(got.Documents), len(got.Consumers), len(got.Checkpoints))
	}
	d.view(func(r store.Reader) error {
		for _, s := range got.Secrets {
			want, err := r.Secrets(tenant.ID).Secret(s.Name)
			if err != nil {
				return err
			}
			same(t, s, want)
		}
		for _, v := range got.Versions {
			want, err := r.Secrets(tenant.ID).Version(v.Secret, v.Number)
			if err != nil {
				return err
			}
			want.LastRead = 0
			same(t, &v.Version, want)
		}
		for _, doc := range got.Documents {
			want, err := r.Documents().Document(tenant.ID, doc.Kind, doc.ID)
			if err != nil {
				return err
			}
			same(t, doc, want)
		}
		for _, tile := range got.Tiles {
			want, err := r.Log().ReadTiles([]audit.TileID{tile.ID})
			if err != nil {
				return err
			}
			same(t, tile.Data, want[0])
		}
		last := got.Runs[len(got.Runs)-1]
		heads, err := r.Log().Heads([]secret.TenantName{"full"})
		same(t, heads["full"], audit.Head{Seq: last.First + uint64(last.Count) - 1, Index: last.Last, Hash: last.Hash})
		return err
	})
}

// testRowPages: pages of any length make the same list.
func testRowPages(t *testing.T, d *db) {
	tenant := d.filled()
	want := d.everything(tenant, 1000)
	for _, limit := range []int{1, 2, 7} {
		same(t, d.everything(tenant, limit), want)
	}
}

// testAddRows adds what no other role adds, and what must be refused.
func testAddRows(t *testing.T, d *db) {
	tenant := d.addTenant("acme")
	s, _ := d.addSecret(tenant, "db/password")
	consumer := store.ConsumerRow{Secret: s.ID, Consumer: store.Consumer{Version: 1, Principal: "alice", Day: 5}}
	everybody, nobody := consumer, consumer
	everybody.Principal, everybody.Day, nobody.Version = "", 9, 2
	run := store.RunRow{Run: store.Run{First: 1, Count: 2, Indices: []byte("indices")}, Last: 1}
	tile := store.Tile{ID: audit.TileID{Level: 1, N: 2}, Data: []byte("tile")}
	signed, unsigned := store.Checkpoint{Size: 2, Created: epoch, Note: []byte("note")}, store.Checkpoint{Size: 3, Created: epoch}
	tree := store.TreeState{Size: 3}
	tree.Root[0] = 1
	adds := []func(store.RowWriter) error{
		func(w store.RowWriter) error { return w.Consumer(tenant.ID, consumer) },
		func(w store.RowWriter) error { return w.Consumer(tenant.ID, everybody) },
		func(w store.RowWriter) error { return w.Run(tenant.Name, run) },
		func(w store.RowWriter) error { return w.Tile(tile) },
		func(w store.RowWriter) error { return w.Checkpoint(signed) },
		func(w store.RowWriter) error { return w.Checkpoint(unsigned) },
	}
	for _, add := range adds {
		d.update(func(tx store.Tx) error { return add(tx.AddRows()) })
		d.refused(store.ErrTaken, func(tx store.Tx) error { return add(tx.AddRows()) })
	}
	d.update(func(tx store.Tx) error { return tx.AddRows().Tree(tree) })
	d.refused(store.ErrStale, func(tx store.Tx) error { return tx.AddRows().Tree(tree) })
	d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.AddRows().Consumer(tenant.ID, nobody) })
	d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.AddRows().Consumer(secret.NewTenantID(), consumer) })

	got := d.everything(tenant, 10)
	same(t, got.Consumers, []store.ConsumerRow{everybody, consumer})
	same(t, got.Runs, []store.RunRow{run})
	same(t, got.Tiles, []store.Tile{tile})
	same(t, got.Checkpoints, []store.Checkpoint{signed, unsigned})
	same(t, d.state(), tree)
	same(t, get(d, func(r store.Reader) (*store.Version, error) { return r.Secrets(tenant.ID).Version(s.ID, 1) }).LastRead, 9)
}

// testAddBatches: batches that were added stand before those that commit later,
// in the same transaction too, and all of them get their places.
func testAddBatches(t *testing.T, d *db) {
	record := func(id string) []audit.Record { return []audit.Record{newRecord("acme", id)} }
	p, err := audit.Sequence(audit.EmptyTree(), noTiles{}, nil, [][]audit.Record{record("0"), record("1")})
	if err != nil {
		t.Fatal(err)
	}
	run, head := p.Runs["acme"], p.Heads["acme"]
	failure := errors.New("taken back")
	for _, outcome := range []error{failure, nil} {
		err := d.Update(t.Context(), func(tx store.Tx) error {
			w := tx.AddRows()
			for i := range p.Places {
				if err := w.Batch(store.PlacedBatch{Node: 77, Batch: 99, First: int64(i), Places: p.Places[i], Records: record(fmt.Sprint(i))}); err != nil {
					return err
				}
			}
			for id, data := range p.Tiles {
				if err := w.Tile(store.Tile{ID: id, Data: data}); err != nil {
					return err
				}
			}
			return errors.Join(w.Pending(3, record("2")), w.Pending(4, record("3")),
				w.Run("acme", store.RunRow{Run: run, Last: head.Index, Hash: head.Hash}),
				w.Tree(store.TreeState{Size: 2, Root: p.Tree.Hash}), outcome)
		})
		if !errors.Is(err, outcome) {
			t.Fatalf("error is %v, want %v", err, outcome)
		}
	}
	d.record("acme", "4")
	same(t, d.correlations(), []string{"2", "3", "4"})
	d.reopen()
	d.record("acme", "5")
	d.update(func(tx store.Tx) error { return sequence(tx, 3) })
	d.update(func(tx store.Tx) error { return sequence(tx, 100) })
	if n := d.state().Size; n != 6 {
		t.Fatalf("the tree has %d entries, want 6", n)
	}
}

// testLongSnapshot: a snapshot does not move while others write, and a closed store
// gives none.
func testLongSnapshot(t *testing.T, d *db) {
	d.addTenant("acme")
	err := d.Snapshot(t.Context(), func(r store.Reader) error {
		for range 2 {
			n, err := r.Tenants().Count()
			if err != nil || n != 1 {
				return fmt.Errorf("%d tenants, error %v", n, err)
			}
			d.addTenant("t" + secret.NewUUID())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Snapshot(t.Context(), func(store.Reader) error { return errBusiness }); !errors.Is(err, errBusiness) {
		t.Fatalf("error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Snapshot(ctx, func(r store.Reader) error { _, err := r.Tenants().Count(); return err }); err == nil {
		t.Fatal("a canceled snapshot was read")
	}
}
